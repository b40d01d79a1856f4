import Foundation

/// The memory that this process may have.
package enum HostMemory {
  /// Bytes: the machine's, or what a control group (a container's, a batch system's) or `ulimit -v` leave of it.
  package static let limit: Int = {
    var limit = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    for file in ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"] {
      guard let text = try? String(contentsOfFile: file, encoding: .utf8),
        let bytes = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), bytes > 0
      else { continue }
      limit = min(limit, bytes)
    }
    #if os(Linux)
      var addresses = rlimit()
      if getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &addresses) == 0 {
        limit = min(limit, Int(clamping: addresses.rlim_cur))
      }
    #endif
    return limit
  }()

  /// Asks the system to back what is large of fresh memory with large pages: hundreds of times fewer faults at the first touch.
  package static func preferLargePages(_ memory: UnsafeMutableRawBufferPointer) {
    #if os(Linux)
      guard memory.count >= 2 * largePage, let start = memory.baseAddress else { return }
      let first = start.alignedUp(toMultipleOf: largePage)
      let length = (memory.count - (first - start)) / largePage * largePage
      _ = madvise(first, length, Int32(MADV_HUGEPAGE))
    #endif
  }

  package static let largePage = 2 << 20
}
