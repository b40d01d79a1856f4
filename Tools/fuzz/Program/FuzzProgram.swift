import Foundation
import FuzzTargets

/// `ti-gpu-fuzz TARGET [option of libFuzzer, file or folder]...` runs one target, without arguments it names them all.
/// Tools/fuzz/run builds it and calls it. libFuzzer has the program's `main`, and calls the two functions below.
private enum FuzzProgram {
  /// The target that runs: libFuzzer calls back without a context.
  nonisolated(unsafe) static var running = FuzzTarget.all[0]
}

typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

/// Takes the target's name out of the arguments.
@_cdecl("LLVMFuzzerInitialize")
func initialize(_ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<Arguments>) -> CInt {
  let name = CommandLine.arguments.dropFirst().first
  guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
    print(FuzzTarget.all.map(\.name).joined(separator: "\n"))
    exit(name == nil ? 0 : 64)
  }
  FuzzProgram.running = target
  count.pointee -= 1
  arguments.pointee[1] = arguments.pointee[0]
  arguments.pointee += 1
  return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
func run(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  FuzzProgram.running.run(UnsafeRawBufferPointer(start: bytes, count: count))
  return 0
}
