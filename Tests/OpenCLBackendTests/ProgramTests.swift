import Foundation
import Operators
import Tensors
import TestSupport
import Testing

@testable import OpenCLBackend

@Suite final class ProgramCacheTests {
  /// A folder's name for one test; what it comes to hold goes with the test.
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("ti-gpu-\(UUID().uuidString)")

  deinit { try? FileManager.default.removeItem(at: folder) }

  /// Runs one kernel and says how many programs had to be compiled for it.
  private func buildsForOneKernel(_ folder: URL) throws -> Int {
    let backend = try testBackend(.bfloat16, cache: .folder(folder))
    let tensor = try backend.upload(HostTensor([5], [1, 2, 3, 4, 5]), as: .bfloat16)
    #expect(try backend.download(tensor).values == [1, 2, 3, 4, 5])
    return backend.programs.buildCount
  }

  private func files(_ folder: URL) throws -> [URL] {
    try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
  }

  @Test func secondRunCompilesNothing() throws {
    #expect(try buildsForOneKernel(folder) == 1)
    #expect(try files(folder).count == 1)
    #expect(try buildsForOneKernel(folder) == 0)
  }

  @Test(arguments: ["empty", "cut", "changed"]) func damagedFileIsWrittenAnew(damage: String) throws {
    try expectToBeWrittenAnew { file in
      var bytes = try Data(contentsOf: file)
      switch damage {
      case "empty": bytes.removeAll()
      case "cut": bytes.removeLast(bytes.count / 2)
      default: bytes[bytes.count - 1] ^= 1
      }
      try bytes.write(to: file)
    }
  }

  /// Whole by its checksum, but not this driver's.
  @Test(.disabled("rusticl ends the process", { try TestBackends.openCLDevice().platform == "rusticl" }))
  func foreignFileIsWrittenAnew() throws {
    try expectToBeWrittenAnew { file in
      ProgramCache(.folder(folder)).store(Array("not a program".utf8), file.deletingPathExtension().lastPathComponent)
    }
  }

  private func expectToBeWrittenAnew(afterDamage damage: (URL) throws -> Void) throws {
    _ = try buildsForOneKernel(folder)
    let file = try #require(try files(folder).first)
    try damage(file)
    #expect(try buildsForOneKernel(folder) == 1)
    #expect(try buildsForOneKernel(folder) == 0)
    #expect(try files(folder).map(\.lastPathComponent) == [file.lastPathComponent])
  }

  @Test func folderThatCannotBeMadeOnlyCostsTime() throws {
    #expect(try buildsForOneKernel(URL(fileURLWithPath: "/dev/null/cache")) == 1)
  }

  @Test func keyDependsOnAllThatMatters() throws {
    let device = try TestBackends.openCLDevice()
    let key = ProgramSource(name: "a", text: "x", options: "-D A=1").key(for: device)
    #expect(key.count == 64)
    #expect(key == ProgramSource(name: "b", text: "x", options: "-D A=1").key(for: device))
    #expect(key != ProgramSource(name: "a", text: "y", options: "-D A=1").key(for: device))
    #expect(key != ProgramSource(name: "a", text: "x", options: "-D A=2").key(for: device))
    #expect(key != ProgramSource(name: "a", text: "-D A=1", options: "x").key(for: device))
  }

  @Test func placeFollowsTheEnvironment() {
    func file(_ environment: [String: String]) -> String? {
      ProgramCache(.standard, environment: environment).file("k")?.path
    }
    #expect(file(["TI_GPU_PROGRAM_CACHE": "off", "HOME": "/h"]) == nil)
    #expect(file(["TI_GPU_PROGRAM_CACHE": "/p", "HOME": "/h"]) == "/p/k.program")
    #expect(file(["XDG_CACHE_HOME": "/x", "HOME": "/h"]) == "/x/ti-gpu/k.program")
    #expect(file(["XDG_CACHE_HOME": "relative", "HOME": "/h"]) == "/h/.cache/ti-gpu/k.program")
    #expect(file([:]) == nil)
  }
}

@Suite struct LaunchTests {
  /// Compiles `text` and returns its kernel `name`.
  private func kernel(_ name: String, _ text: String, _ backend: OpenCLBackend) throws -> Kernel {
    try backend.programs.kernel(name, of: ProgramSource(name: "test.cl", text: text, options: "-cl-std=CL1.2"))
  }

  private func error(_ body: () throws -> Void) throws -> OperationError {
    do {
      try body()
    } catch let error as OperationError {
      return error
    }
    struct NothingWasThrown: Error {}
    throw NothingWasThrown()
  }

  @Test func buildErrorShowsTheLog() throws {
    let backend = try testBackend(cache: .disabled)
    let error = try error { _ = try kernel("broken", "__kernel void broken() { undeclared_thing = 1; }", backend) }
    #expect(error.code == .buildFailure)
    #expect(error.message.contains("test.cl") && error.message.contains("undeclared_thing"), "\(error)")
  }

  @Test func missingKernelIsNamed() throws {
    let backend = try testBackend(cache: .disabled)
    let error = try error { _ = try kernel("absent", "__kernel void present() {}", backend) }
    #expect(error.operation == "clCreateKernel" && error.message.contains("absent"), "\(error)")
  }

  @Test func universalLimitsHoldOnDevicesThatAllowMore() throws {
    let backend = try testBackend(cache: .disabled)
    let plain = try kernel("plain", "__kernel void plain(__global int *y) { y[get_global_id(0)] = 1; }", backend)
    let y = try backend.pool.take(4 * 512)
    try backend.queue.launch(plain, WorkSize(items: 512, local: 256), [y])
    let items = try error { try backend.queue.launch(plain, WorkSize(items: 512, local: 512), [y]) }
    #expect(items.code == .unsupported && items.operation == "plain")
    let limits = DeviceLimits(try TestBackends.openCLDevice())
    let local = try error { try limits.check("greedy", items: 1, localBytes: (32 << 10) + 4) }
    #expect(local.code == .unsupported && local.message.contains("local memory"))
  }

  @Test func argumentsAreCheckedAgainstTheKernel() throws {
    let backend = try testBackend(cache: .disabled)
    let kernel = try kernel(
      "fill", "__kernel void fill(__global float *y, float v) { y[get_global_id(0)] = v; }", backend)
    let y = try backend.pool.take(1024)
    let missing = try error { try backend.queue.launch(kernel, WorkSize(items: 256), [y]) }
    #expect(missing.message.contains("fill"))
    let tooWide = try error { try backend.queue.launch(kernel, WorkSize(items: 256), [y, 1 << 40]) }
    #expect(tooWide.operation == "clSetKernelArg" && tooWide.message.contains("fill"), "\(tooWide)")
    try backend.queue.launch(kernel, WorkSize(items: 256), [y, Float(2)])
    let tensor = Tensor(shape: [256], type: .float32, storage: y)
    #expect(try backend.download(tensor).values == Array(repeating: 2, count: 256))
  }

  @Test func thousandsOfLaunchesStayInOrder() throws {
    let backend = try testBackend(cache: .disabled)
    let kernel = try kernel(
      "count_up", "__kernel void count_up(__global int *y, int n) { if (y[0] == n) y[0] = n + 1; }", backend)
    let y = try backend.upload([Int32(0)])
    for index in 0..<3000 { try backend.queue.launch(kernel, WorkSize(items: 1, local: 1), [y, index]) }
    var result: Int32 = 0
    try withUnsafeMutableBytes(of: &result) { try backend.queue.read(y, into: $0) }
    #expect(result == 3000)
  }

  @Test func profilingCountsEveryLaunch() throws {
    var options = OpenCLBackend.Options(isProfiling: true)
    options.programCache = .disabled
    let backend = try OpenCLBackend(device: TestBackends.openCLDevice(), precision: .float32, options: options)
    let kernel = try kernel("idle", "__kernel void idle(__global int *y) { y[get_global_id(0)] = 1; }", backend)
    let y = try backend.pool.take(1 << 20)
    for _ in 0..<700 { try backend.queue.launch(kernel, WorkSize(items: 1 << 10), [y]) }
    let times = try backend.takeKernelTimes()
    #expect(times.map(\.kernel) == ["idle"] && times.map(\.launches) == [700])
    #expect(times[0].seconds > 0 && times[0].seconds < 60)
    #expect(try backend.takeKernelTimes().isEmpty)
  }

  /// What PoCL, llvmpipe and NVIDIA's driver say of themselves.
  @Test(
    arguments: [
      ("cpu", 8, KernelForm.cpu, [.gpu, .cpu]), ("cpu", 1, .gpu, [.gpu]), ("gpu", 1, .gpu, [.gpu]),
    ] as [(String, Int, KernelForm, [KernelForm])])
  func formFollowsTheDevice(kind: String, vectorWidth: Int, auto: KernelForm, all: [KernelForm]) throws {
    let real = try JSONEncoder().encode(TestBackends.openCLDevice())
    var fields = try #require(JSONSerialization.jsonObject(with: real) as? [String: Any])
    fields["kind"] = kind
    fields["native_vector_width"] = vectorWidth
    let device = try JSONDecoder().decode(OpenCLDevice.self, from: JSONSerialization.data(withJSONObject: fields))
    #expect(try KernelForm.auto.resolved(for: device) == auto)
    for form in [KernelForm.gpu, .cpu] {
      if all.contains(form) {
        #expect(try form.resolved(for: device) == form)
      } else {
        let refusal = try error { _ = try form.resolved(for: device) }
        #expect(refusal.code == .unsupported && refusal.message.contains("cpu form"))
      }
    }
  }
}
