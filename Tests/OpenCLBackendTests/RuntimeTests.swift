import Foundation
import Operators
import Tensors
import TestSupport
import Testing

@testable import OpenCLBackend

func testBackend(_ precision: ElementType = .float32, cache: ProgramCache.Location = .standard) throws -> OpenCLBackend
{
  var options = OpenCLBackend.Options()
  options.programCache = cache
  return try OpenCLBackend(device: TestBackends.openCLDevice(), precision: precision, options: options)
}

@Suite struct DeviceTests {
  @Test func listedDevicesHaveSensibleLimits() throws {
    let devices = try OpenCLDevices.list()
    #expect(!devices.isEmpty)
    for device in devices {
      #expect(!device.name.isEmpty && !device.platform.isEmpty && !device.driver.isEmpty)
      #expect(device.computeUnits >= 1)
      // The least that OpenCL 1.2 (table 4.3) lets a device offer: 32 KiB of local memory, a quarter of memory in one buffer.
      #expect(device.localMemory >= 32 << 10)
      #expect(device.maxAllocation >= min(device.globalMemory / 4, 1 << 27))
      #expect(try OpenCLDevices.named(device.identifier) == device)
    }
  }

  @Test(arguments: ["opencl:99.0", "opencl:0.99"])
  func absentDeviceIsNoDevice(word: String) {
    #expect { try OpenCLDevices.named(word) } throws: { ($0 as? UserError)?.kind == .noDevice }
  }

  @Test(arguments: ["opencl:", "opencl:0", "opencl:a.b", "opencl:0.0.0", "opencl:-1.0", "gpu", ""])
  func malformedDeviceIsUsage(word: String) {
    #expect { try OpenCLDevices.named(word) } throws: { ($0 as? UserError)?.kind == .usage }
  }
}

@Suite struct TransferTests {
  /// Values and their neighbours in 16 bits, written down from the formats' definitions: 11 and 8 significant bits, half's
  /// subnormals in steps of 2^-24, halves to even.
  static let cases: [(Float, half: Float, bfloat: Float)] = [
    (0, 0, 0), (1, 1, 1), (-2.5, -2.5, -2.5),
    (1 + 0x1p-11, 1, 1), (1 + 0x1.8p-10, 1 + 0x1p-9, 1), (1 + 0x1p-8, 1 + 0x1p-8, 1),
    (1 + 0x1.8p-7, 1 + 0x1.8p-7, 1 + 0x1p-6),
    (65504, 65504, 65536), (65520, .infinity, 65536), (0x1p-24, 0x1p-24, 0x1p-24), (0x1p-25, 0, 0x1p-25),
    (0x1.8p-24, 0x1p-23, 0x1.8p-24), (3e38, .infinity, 0x1.c4p127), (.greatestFiniteMagnitude, .infinity, .infinity),
    (.infinity, .infinity, .infinity), (-.infinity, -.infinity, -.infinity),
  ]

  @Test(arguments: ElementType.allCases, [1, 3, 4, 5, 16, 1027])
  func roundingIsToNearestEven(type: ElementType, count: Int) throws {
    let backend = try testBackend(type)
    let picked = (0..<count).map { TransferTests.cases[$0 % TransferTests.cases.count] }
    let tensor = try backend.upload(HostTensor([count], picked.map(\.0)), as: type)
    let expected = picked.map { type == .float32 ? $0.0 : type == .float16 ? $0.half : $0.bfloat }
    #expect(try backend.download(tensor).values == expected)
  }

  @Test(arguments: ElementType.allCases) func notANumberStaysOne(type: ElementType) throws {
    let backend = try testBackend(type)
    let patterns: [UInt32] = [0x7fc0_0000, 0x7f80_0001, 0xffff_ffff, 0x7fff_ffff]
    let values = patterns.map { Float(bitPattern: $0) }
    let back = try backend.download(try backend.upload(HostTensor([4], values), as: type)).values
    #expect(back.count { $0.isNaN } == 4)
  }

  @Test func hostMemoryMayGoAtOnce() throws {
    let backend = try testBackend()
    let tensors = try (0..<200).map { try backend.upload(HostTensor(repeating: Float($0), [1000]), as: .float32) }
    for (index, tensor) in tensors.enumerated() {
      #expect(try backend.download(tensor).values.allSatisfy { $0 == Float(index) })
    }
  }
}

@Suite struct BufferPoolTests {
  @Test func sizeClassesWasteLittle() {
    for bytes in [1, 255, 256, 257, 4096, 4097, 100_000, 1 << 20, (1 << 20) + 1, 123_456_789] {
      let size = BufferPool.sizeClass(bytes)
      #expect(size >= bytes && size - bytes < max(256, bytes / 16 + 1))
      #expect(BufferPool.sizeClass(size) == size)
    }
  }

  @Test func buffersComeBack() throws {
    let backend = try testBackend()
    var first: OpenCLBuffer? = try backend.pool.take(1 << 20)
    let memory = first?.memory
    first = nil
    #expect(backend.memory.currentBytes == 0 && backend.memory.peakBytes == 1 << 20)
    let second = try backend.pool.take((1 << 20) - 5)
    #expect(second.memory === memory)
    let third = try backend.pool.take(1 << 20)
    #expect(third.memory !== memory)
    #expect(backend.memory.currentBytes == 2 << 20 && backend.memory.peakBytes == 2 << 20)
    #expect(backend.pool.allocations == 2)
    withExtendedLifetime((second, third)) {}
  }

  @Test func freeMemoryGoesBackOnRequest() throws {
    let backend = try testBackend()
    let held = try backend.pool.take(1 << 20)
    do { _ = try backend.pool.take(5 << 20) }
    #expect(backend.pool.reservedBytes == 6 << 20)
    backend.pool.releaseFree()
    #expect(backend.pool.reservedBytes == 1 << 20)
    withExtendedLifetime(held) {}
  }

  /// Sizes that are never asked for twice must not pile up.
  @Test func idleMemoryIsBounded() throws {
    let backend = try testBackend()
    for step in 1...40 { _ = try backend.pool.take(step << 20) }
    #expect(backend.memory.peakBytes == 40 << 20)
    #expect(backend.pool.reservedBytes <= (60 << 20) + BufferPool.slack)
  }

  @Test func tooLargeATensorIsOutOfMemory() throws {
    let backend = try testBackend()
    #expect { try backend.pool.take(backend.limits.allocation + 1) } throws: {
      ($0 as? OperationError)?.code == .outOfMemory
    }
  }

  @Test func buffersMayBeLetGoOnOtherThreads() async throws {
    let backend = try testBackend()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<100 {
        let buffer = try backend.pool.take(1000)
        group.addTask { withExtendedLifetime(buffer) {} }
      }
      try await group.waitForAll()
    }
    #expect(backend.memory.currentBytes == 0)
  }
}
