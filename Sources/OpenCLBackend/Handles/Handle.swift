import COpenCL
import Tensors

/// What kind of OpenCL object a handle owns, and how one is let go.
protocol HandleKind {
  static func release(_ raw: OpaquePointer)
}

/// An OpenCL object, released with its last reference.
///
/// OpenCL's reference counts may be changed on any thread, hence `Sendable`.
final class Handle<Kind: HandleKind>: @unchecked Sendable {
  let raw: OpaquePointer

  /// Takes over the one reference that the creating call gave.
  init(owning raw: OpaquePointer) { self.raw = raw }

  deinit { Kind.release(raw) }
}

enum ContextKind: HandleKind {
  static func release(_ raw: OpaquePointer) { clReleaseContext(raw) }
}
enum QueueKind: HandleKind {
  static func release(_ raw: OpaquePointer) { clReleaseCommandQueue(raw) }
}
enum MemoryKind: HandleKind {
  static func release(_ raw: OpaquePointer) { clReleaseMemObject(raw) }
}
enum ProgramKind: HandleKind {
  static func release(_ raw: OpaquePointer) { clReleaseProgram(raw) }
}
enum KernelKind: HandleKind {
  static func release(_ raw: OpaquePointer) { clReleaseKernel(raw) }
}
enum EventKind: HandleKind {
  static func release(_ raw: OpaquePointer) { clReleaseEvent(raw) }
}

typealias ContextHandle = Handle<ContextKind>
typealias QueueHandle = Handle<QueueKind>
typealias MemoryHandle = Handle<MemoryKind>
typealias ProgramHandle = Handle<ProgramKind>
typealias KernelHandle = Handle<KernelKind>
typealias EventHandle = Handle<EventKind>

extension Handle {
  /// Owns what a creating call returned, or throws what its status says.
  convenience init(_ raw: OpaquePointer?, _ status: cl_int, _ call: StaticString, kernel: String? = nil)
    throws(OperationError)
  {
    try check(status, call, kernel: kernel)
    guard let raw else { throw OperationError(.deviceFailure, "\(call)", "no object came back") }
    self.init(owning: raw)
  }
}
