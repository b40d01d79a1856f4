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
}
