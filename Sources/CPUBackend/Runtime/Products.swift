import COneDNN
import Operators
import Tensors

/// oneDNN's products of activations with frozen weights: what layout weights take, and compiled primitives by their sizes.
final class Products {
  private let engine: OpaquePointer
  private let isDryRun: Bool
  private var compiled: [Key: Compiled] = [:]

  private struct Key: Hashable {
    let shape: ProductShape
    let layout: Int32
  }

  private struct Compiled {
    let product: OpaquePointer
    let scratchBytes: Int
  }

  init(isDryRun: Bool) throws(OperationError) {
    self.isDryRun = isDryRun
    var engine: OpaquePointer?
    guard onednn_engine_create(&engine) == onednn_success, let engine else {
      throw OperationError(.deviceFailure, "dnnl_engine_create", "oneDNN finds no CPU engine")
    }
    self.engine = engine
  }

  deinit {
    compiled.values.forEach { onednn_product_destroy($0.product) }
    onednn_engine_destroy(engine)
  }

  static var libraryVersion: String {
    var major: Int32 = 0
    var minor: Int32 = 0
    var patch: Int32 = 0
    onednn_version(&major, &minor, &patch)
    return "\(major).\(minor).\(patch)"
  }

  /// Whether the library has fast code for the shape's element type on this machine.
  func isFast(_ shape: ProductShape, _ operation: String) throws(OperationError) -> Bool {
    var c = shape.c
    var layout: Int32 = 0
    var bytes = 0
    let status = onednn_preferred_layout(engine, &c, &layout, &bytes)
    if status == onednn_unimplemented { return false }
    try check(status, operation)
    return true
  }

  /// Weights, float32 in the shape's plain order, in the layout that `shape` likes best.
  func pack(
    _ shape: ProductShape, _ weights: UnsafePointer<Float>, into pool: MemoryPool, _ operation: String
  ) throws(OperationError) -> PackedWeights {
    var c = shape.c
    var layout: Int32 = 0
    var bytes = 0
    try check(onednn_preferred_layout(engine, &c, &layout, &bytes), operation)
    let storage = try pool.allocate(bytes, for: operation)
    if !isDryRun { try check(onednn_pack(engine, &c, layout, weights, storage.pointer), operation) }
    return PackedWeights(operation: shape.operation, element: shape.element, layout: layout, storage: storage)
  }

  /// `y = x W + b`, or `y += ...` where the shape accumulates.
  func run(
    _ shape: ProductShape, _ x: CPUStorage, _ weights: PackedWeights, bias: CPUStorage?, _ y: CPUStorage,
    _ pool: MemoryPool, _ operation: String
  ) throws(OperationError) {
    let key = Key(shape: shape, layout: weights.layout)
    let compiled: Compiled
    if let known = self.compiled[key] {
      compiled = known
    } else {
      compiled = try compile(key, operation)
      self.compiled[key] = compiled
    }
    let scratch = compiled.scratchBytes > 0 ? try pool.allocate(compiled.scratchBytes, for: operation) : nil
    if isDryRun { return }
    // A pointer does not keep its storage alive.
    let status = withExtendedLifetime((scratch, x, y)) {
      onednn_execute(
        compiled.product, x.pointer, weights.storage.pointer, bias?.floats, y.pointer, scratch?.pointer)
    }
    try check(status, operation)
  }

  private func compile(_ key: Key, _ operation: String) throws(OperationError) -> Compiled {
    var c = key.shape.c
    var product: OpaquePointer?
    var scratchBytes = 0
    try check(onednn_product_create(engine, &c, key.layout, &product, &scratchBytes), operation)
    guard let product else { throw OperationError(.deviceFailure, operation, "oneDNN made nothing") }
    return Compiled(product: product, scratchBytes: scratchBytes)
  }

  private func check(_ status: onednn_status, _ operation: String) throws(OperationError) {
    if status == onednn_success { return }
    let code: OperationError.Code =
      status == onednn_out_of_memory ? .outOfMemory : status == onednn_unimplemented ? .unsupported : .deviceFailure
    throw OperationError(code, operation, "oneDNN: " + String(cString: onednn_error(engine)))
  }
}

/// Weights in a layout of oneDNN's.
struct PackedWeights: Sendable {
  /// The operation whose plain order they were packed from.
  let operation: ProductShape.Operation
  /// What the product is computed from: activations of other types are converted.
  let element: ElementType
  let layout: Int32
  let storage: CPUStorage
}

/// The sizes of one product, as `onednn_shape` has them.
struct ProductShape: Hashable, Sendable {
  enum Operation: Sendable {
    case matmul, matmulTransposed, convolution, convolutionBackward
  }

  var operation: Operation
  var element: ElementType
  var hasBias = false
  var accumulates = false
  var batch: Int
  var inputs: Int
  var outputs: Int
  var height = 1
  var width = 1
  var outHeight = 1
  var outWidth = 1
  var kernel = 1
  var stride = 1
  var leadingPadding = 0
  var trailingPadding = 0

  /// Whether this is the gradient of a product's input.
  var isBackward: Bool { operation == .matmulTransposed || operation == .convolutionBackward }

  var c: onednn_shape {
    let operation: onednn_operation =
      switch self.operation {
      case .matmul: onednn_matmul
      case .matmulTransposed: onednn_matmul_transposed
      case .convolution: onednn_convolution
      case .convolutionBackward: onednn_convolution_backward
      }
    return onednn_shape(
      operation: operation, element: element.oneDNN, has_bias: hasBias, accumulates: accumulates, batch: Int64(batch),
      inputs: Int64(inputs), outputs: Int64(outputs), height: Int64(height), width: Int64(width),
      out_height: Int64(outHeight), out_width: Int64(outWidth), kernel: Int64(kernel), stride: Int64(stride),
      leading_padding: Int64(leadingPadding), trailing_padding: Int64(trailingPadding))
  }
}
