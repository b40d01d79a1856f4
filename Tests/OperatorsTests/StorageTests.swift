import CPUBackend
import Foundation
import Operators
import Tensors
import TestSupport
import Testing

/// The way into a backend and out of it, and its memory.
@Suite struct StorageTests {
  /// Rounding to nearest, ties to even, as IEEE 754 has it; Swift's own `Float16` makes the halves.
  @Test(arguments: TestBackends.all, ElementType.allCases)
  func uploadsRoundToNearestEven(_ backend: TestBackend, _ type: ElementType) throws {
    var values: [Float] = [
      0, -0, 1, -1, .pi, 65504, 65519, 65520, 1e-7, 6e-8, 5.9e-8, 2.9e-8, -2.98e-8, 6.1e-5, 6.0e-5, 3e38, -3e38, 1e-38,
      .infinity, -.infinity, .greatestFiniteMagnitude,
    ]
    // Ties and their neighbours at the last place of halves and of bfloat16.
    for step: Float in [0x1p-11, 0x1p-8, 0x1p-9, 0x1p-12] {
      for count: Float in [1, 3, 5] {
        let tie = 1 + count * step
        values += [tie, tie.nextUp, tie.nextDown, -tie]
      }
    }
    values += Philox(seed: 81, stream: 1).normals(1031)
    let tensor = HostTensor([values.count], values)
    func check<B: Backend>(_ backend: B) throws {
      let stored = try backend.upload(tensor, as: type)
      #expect(stored.type == type && stored.shape == tensor.shape)
      expectSameBits(try backend.download(stored), type.rounded(tensor), "upload as \(type) on \(backend.name)")
      let broken = try backend.download(backend.upload(HostTensor([2], [.nan, -.nan]), as: type))
      #expect(broken.values.allSatisfy { $0.isNaN })
    }
    try backend.run { try check($0) }
  }

  @Test(arguments: TestBackends.all)
  func memoryComesBack(_ backend: TestBackend) throws {
    func check<B: Backend>(_ backend: B) throws {
      try backend.synchronize()
      let before = backend.memory
      var tensor: Tensor<B.Storage>? = try backend.upload(HostTensor(repeating: 1, [1000, 1000]), as: .float32)
      #expect(backend.memory.currentBytes >= before.currentBytes + 4_000_000)
      #expect(backend.memory.peakBytes >= backend.memory.currentBytes)
      _ = tensor
      tensor = nil
      try backend.synchronize()
      #expect(backend.memory.currentBytes == before.currentBytes)
    }
    try backend.run { try check($0) }
  }

  @Test(arguments: TestBackends.all)
  func hasTheNameAndPrecisionAskedFor(_ backend: TestBackend) throws {
    try backend.run {
      #expect(!$0.name.isEmpty)
      #expect($0.precision == backend.precision)
    }
  }

  /// Linux's own reading of the processor is the truth for its name.
  @Test func theCPUIsCalledByWhatComputes() throws {
    let loops = try CPUBackend(engine: .loops).name
    let oneDNN = try CPUBackend(engine: .oneDNN).name
    #expect(!loops.contains("oneDNN") && oneDNN.contains("oneDNN"))
    let threads = ProcessInfo.processInfo.activeProcessorCount
    #expect(loops.contains("\(threads) thread"))
    #if os(Linux) && arch(x86_64)
      let lines = try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8).split(separator: "\n")
      func field(_ name: String) -> String? {
        lines.first { $0.hasPrefix(name) }?.split(separator: ":").last?.split(separator: " ").joined(separator: " ")
      }
      #expect(loops.contains(try #require(field("model name"))), "\(loops)")
      let flags = try #require(field("flags")).split(separator: " ")
      #expect(!loops.contains("AVX2") || flags.contains("avx2"))
      #expect(!loops.contains("AVX-512") || flags.contains("avx512f"))
    #endif
  }
}
