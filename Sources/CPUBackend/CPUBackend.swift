import COneDNN
import CVectorLoops
import Operators
import Tensors

/// The operations on the machine's own cores: loops in C, spread over threads, and oneDNN's products with frozen weights where
/// the processor has 16-bit arithmetic.
///
/// Storage may be 16 bits wide on every processor: where there is no 16-bit arithmetic numbers are widened on their way in.
/// Sums are always float32 or wider. Work is done when an operation returns, and its result does not depend on how many threads
/// ran it.
public final class CPUBackend: Backend {
  public typealias Storage = CPUStorage

  public let name: String
  public let precision: ElementType
  let pool: MemoryPool
  let products: Products
  let engine: ProductEngine
  /// Whether memory is taken and nothing computed.
  let isDryRun: Bool

  public convenience init(
    precision: ElementType = .float32, engine: ProductEngine = .automatic
  ) throws(OperationError) {
    try self.init(precision: precision, engine: engine, isDryRun: false)
  }

  private init(precision: ElementType, engine: ProductEngine, isDryRun: Bool) throws(OperationError) {
    guard !vector_instruction_set_is_missing() else {
      let sets = (0..<vector_instruction_sets()).map { String(cString: vector_instruction_set_name($0)) }
      throw OperationError(.unsupported, "TI_GPU_INSTRUCTION_SET", "this processor has \(sets.joined(separator: ", "))")
    }
    self.precision = precision
    self.engine = engine
    self.isDryRun = isDryRun
    pool = MemoryPool(isDryRun: isDryRun)
    products = try Products(isDryRun: isDryRun)
    var usesOneDNN = false
    for type in CPUBackend.oneDNNTypes(precision, engine) where !usesOneDNN {
      usesOneDNN = try products.isFast(
        ProductShape(operation: .matmul, element: type, batch: 1024, inputs: 320, outputs: 320), "CPUBackend")
    }
    name = CPUBackend.name(oneDNN: usesOneDNN ? Products.libraryVersion : nil)
  }

  /// What computes: the processor, its vector instructions, threads, and oneDNN where any product is its.
  private static func name(oneDNN version: String?) -> String {
    let processor = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(vector_processor_name_size)) { name in
      guard let start = name.baseAddress else { return "" }
      vector_processor_name(start)
      return String(cString: start).split(separator: " ").joined(separator: " ")
    }
    let vectors = 32 * vector_product_panel()
    #if arch(x86_64)
      let instructions = [256: "AVX2", 512: "AVX-512"][vectors] ?? "SSE2"
    #else
      let instructions = "\(vectors)-bit vectors"
    #endif
    let parts = [
      processor.isEmpty ? nil : processor, instructions, "\(coreCount) thread\(coreCount == 1 ? "" : "s")",
      version.map { "oneDNN \($0)" },
    ]
    return "CPU (\(parts.compactMap(\.self).joined(separator: ", ")))"
  }

  /// The types in which oneDNN is asked for products with frozen weights, the first choice first.
  static func oneDNNTypes(_ precision: ElementType, _ engine: ProductEngine) -> [ElementType] {
    if engine == .loops { return [] }
    // Where the compiler was told not to optimize, the loops crawl.
    let takesFloat32 = engine == .oneDNN || !vector_product_is_fast()
    return (precision == .float32 ? [] : [precision]) + (takesFloat32 ? [.float32] : [])
  }

  public var memory: MemoryUse { pool.use }

  public func dryRun() throws(OperationError) -> CPUBackend {
    try CPUBackend(precision: precision, engine: engine, isDryRun: true)
  }

  public func upload(_ tensor: HostTensor, as type: ElementType) throws(OperationError) -> Tensor<CPUStorage> {
    let result = try empty(tensor.shape, type, "upload")
    tensor.values.withUnsafeBytes { source in
      guard let base = source.baseAddress else { return }
      convert(result.bytes, type, base, .float32, tensor.shape.count)
    }
    return result
  }

  public func download(_ tensor: Tensor<CPUStorage>) throws(OperationError) -> HostTensor {
    if isDryRun { return HostTensor(repeating: 0, tensor.shape) }
    let count = tensor.shape.count
    let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let base = buffer.baseAddress { convert(base, .float32, tensor.bytes, tensor.type, count) }
      initialized = count
    }
    return HostTensor(tensor.shape, values)
  }

  public func synchronize() throws(OperationError) {}

  /// A tensor whose elements are not set.
  func empty(_ shape: Shape, _ type: ElementType, _ operation: String) throws(OperationError) -> Tensor<CPUStorage> {
    Tensor(shape: shape, type: type, storage: try pool.allocate(shape.byteCount(type), for: operation))
  }

  /// `count` numbers from one type to another, on all cores.
  func convert(
    _ y: UnsafeMutableRawPointer, _ yType: ElementType, _ x: UnsafeRawPointer, _ xType: ElementType, _ count: Int
  ) {
    parallel(count, by: elementsPerPiece) { start, length in
      vector_convert(y + start * yType.size, yType.vector, x + start * xType.size, xType.vector, length)
    }
  }

  /// The tensor as float32: itself where it is that already.
  func widened(_ tensor: Tensor<CPUStorage>, _ operation: String) throws(OperationError) -> Tensor<CPUStorage> {
    if tensor.type == .float32 { return tensor }
    let result = try empty(tensor.shape, .float32, operation)
    convert(result.bytes, .float32, tensor.bytes, tensor.type, tensor.shape.count)
    return result
  }
}

extension Tensor where Storage == CPUStorage {
  var bytes: UnsafeMutableRawPointer { storage.pointer }

  /// - Precondition: the elements are float32; operations check before they ask.
  var floats: UnsafeMutablePointer<Float> { storage.floats }

  /// The address of element `index`.
  func at(_ index: Int) -> UnsafeMutableRawPointer { storage.pointer + index * type.size }
}

extension ElementType {
  var vector: vector_type {
    switch self {
    case .float32: vector_float32
    case .float16: vector_float16
    case .bfloat16: vector_bfloat16
    }
  }

  var oneDNN: onednn_element {
    switch self {
    case .float32: onednn_float32
    case .float16: onednn_float16
    case .bfloat16: onednn_bfloat16
    }
  }
}
