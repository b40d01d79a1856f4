import COpenCL
import Tensors

/// Something a kernel takes: it knows its own size, so an argument can't be passed as another type by mistake.
protocol KernelArgument {
  /// Binds the value at `index` and returns the status.
  func bind(_ kernel: cl_kernel, _ index: cl_uint) -> cl_int

  /// The memory it stands for: which buffer, and how many bytes of it a tensor holds, none where it is passed bare. Nil for a number.
  var extent: (buffer: ObjectIdentifier, byteCount: Int)? { get }
}

extension KernelArgument {
  var extent: (buffer: ObjectIdentifier, byteCount: Int)? { nil }
}

extension OpenCLBuffer: KernelArgument {
  func bind(_ kernel: cl_kernel, _ index: cl_uint) -> cl_int {
    var raw: cl_mem? = memory.raw
    return clSetKernelArg(kernel, index, MemoryLayout<cl_mem?>.size, &raw)
  }

  var extent: (buffer: ObjectIdentifier, byteCount: Int)? { (ObjectIdentifier(self), 0) }
}

extension Tensor: KernelArgument where Storage == OpenCLBuffer {
  func bind(_ kernel: cl_kernel, _ index: cl_uint) -> cl_int { storage.bind(kernel, index) }

  var extent: (buffer: ObjectIdentifier, byteCount: Int)? { (ObjectIdentifier(storage), shape.byteCount(type)) }
}

/// A kernel's `int`. A size that does not fit is refused by the status, never cut.
extension Int: KernelArgument {
  func bind(_ kernel: cl_kernel, _ index: cl_uint) -> cl_int {
    guard var value = Int32(exactly: self) else { return CL_INVALID_ARG_VALUE }
    return clSetKernelArg(kernel, index, MemoryLayout<Int32>.size, &value)
  }
}

/// A kernel's `float`.
extension Float: KernelArgument {
  func bind(_ kernel: cl_kernel, _ index: cl_uint) -> cl_int {
    var value = self
    return clSetKernelArg(kernel, index, MemoryLayout<Float>.size, &value)
  }
}

/// How many groups of how many items a launch has, on up to three axes.
struct WorkSize: Sendable, Hashable {
  let groups: [Int]
  let local: [Int]

  /// - Parameters:
  ///   - groups: work-groups an axis.
  ///   - local: items of a group an axis.
  init(groups: [Int], local: [Int]) {
    self.groups = groups
    self.local = local
  }

  /// One axis of at least `items` items in groups of `local`: the kernel must check its index.
  init(items: Int, local: Int = 256) {
    self.init(groups: [max(1, (items + local - 1) / local)], local: [local])
  }

  var itemsOfGroup: Int { local.reduce(1, *) }
}
