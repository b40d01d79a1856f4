import Operators
import Tensors

/// What computes the products with frozen weights.
public enum ProductEngine: Sendable, CaseIterable {
  /// oneDNN where the processor has 16-bit arithmetic for the backend's precision, else the loops; oneDNN in builds without
  /// optimization, where the loops crawl.
  case automatic
  case oneDNN
  case loops
}

/// Weights of a product and of its input's gradient, by what will compute each.
struct FrozenWeights: Sendable {
  /// oneDNN's layout for each direction that is oneDNN's.
  let forward: PackedWeights?
  let backward: PackedWeights?
  /// The loops' panels, in the backend's precision: one copy for whatever oneDNN does not compute.
  let panels: CPUStorage?
}

/// What happens to a product before it is written: `activation(product + bias) + residual`.
struct Epilogue {
  var bias: CPUStorage?
  var activation: Activation?
  var residual: Residual<CPUStorage>?
}

extension CPUBackend {
  /// Packs weights, float32 in the plain order of `forward` and `backward`. `turned` is another shape that gives backward's product
  /// from other weights, for oneDNN to take instead.
  func packed(
    forward: ProductShape, backward: ProductShape, _ weights: [Float], for directions: Directions,
    turned: (shape: ProductShape, weights: () -> [Float])? = nil, _ operation: String
  ) throws(OperationError) -> FrozenWeights {
    let ahead = directions.contains(.forward) ? try packedByOneDNN(forward, { weights }, operation) : nil
    let back =
      directions.contains(.backward)
      ? try packedByOneDNN(turned?.shape ?? backward, turned?.weights ?? { weights }, operation) : nil
    let loopsCompute = directions.contains(.forward) && ahead == nil || directions.contains(.backward) && back == nil
    return FrozenWeights(
      forward: ahead, backward: back,
      panels: loopsCompute ? try packForLoops(forward, weights, precision, operation) : nil)
  }

  /// Weights as oneDNN likes them for `shape`; nil where the product is not oneDNN's.
  private func packedByOneDNN(
    _ shape: ProductShape, _ weights: () -> [Float], _ operation: String
  ) throws(OperationError) -> PackedWeights? {
    var shape = shape
    for type in CPUBackend.oneDNNTypes(precision, engine) {
      shape.element = type
      if try products.isFast(shape, operation) { return try products.pack(shape, weights(), into: pool, operation) }
    }
    return nil
  }

  /// The bias as float32, or nil.
  func uploadedBias(_ bias: HostTensor?) throws(OperationError) -> CPUStorage? {
    guard let bias else { return nil }
    return try upload(bias, as: .float32).storage
  }

  /// The product of the given shape, in the type of `x`.
  func product(
    _ shape: ProductShape, _ x: Tensor<CPUStorage>, _ weights: FrozenWeights, _ epilogue: Epilogue, result: Shape,
    _ operation: String
  ) throws(OperationError) -> Tensor<CPUStorage> {
    if let packed = shape.isBackward ? weights.backward : weights.forward {
      return try productByOneDNN(shape, x, packed, epilogue, result: result, operation)
    }
    guard let panels = weights.panels else {
      throw OperationError(.unsupported, operation, "the weights were not packed for this direction")
    }
    let y = try empty(result, x.type, operation)
    try runLoops(shape, try widened(x, operation), panels, precision, epilogue, y, operation)
    return y
  }

  /// oneDNN's own 16-bit arithmetic where the weights are packed for it, else float32 on widened numbers.
  private func productByOneDNN(
    _ shape: ProductShape, _ x: Tensor<CPUStorage>, _ weights: PackedWeights, _ epilogue: Epilogue, result: Shape,
    _ operation: String
  ) throws(OperationError) -> Tensor<CPUStorage> {
    var shape = shape
    shape.operation = weights.operation
    shape.element = weights.element
    shape.hasBias = epilogue.bias != nil
    // A backward convolution can't accumulate, nor is a sum rounded to 16 bits before the residual comes to it.
    let residual = epilogue.residual
    shape.accumulates =
      residual != nil && epilogue.activation == nil && shape.operation != .convolutionBackward
      && weights.element == .float32
    let source = try converted(x, to: weights.element, operation)
    var y = try empty(result, weights.element, operation)
    if shape.accumulates, let residual { fill(y, with: residual) }
    try products.run(shape, source.storage, weights, bias: epilogue.bias, y.storage, pool, operation)
    if let activation = epilogue.activation { y = try forward(activation, y) }
    if !shape.accumulates, let residual {
      let expanded = try empty(result, y.type, operation)
      fill(expanded, with: residual)
      sum(y, y, expanded)
    }
    return try converted(y, to: x.type, operation)
  }

  /// The tensor in another type: itself where it is of that type already.
  private func converted(
    _ tensor: Tensor<CPUStorage>, to type: ElementType, _ operation: String
  ) throws(OperationError) -> Tensor<CPUStorage> {
    if tensor.type == type { return tensor }
    let result = try empty(tensor.shape, type, operation)
    convert(result.bytes, type, tensor.bytes, tensor.type, tensor.shape.count)
    return result
  }

  /// Writes the residual over all of `y`.
  private func fill(_ y: Tensor<CPUStorage>, with residual: Residual<CPUStorage>) {
    switch residual {
    case .tensor(let tensor):
      convert(y.bytes, y.type, tensor.bytes, tensor.type, y.shape.count)
    case .channels(let rows):
      let channels = y.shape.channels
      let rowsPerSample = y.shape.rows / rows.shape[0]
      parallel(y.shape.rows, by: rowsPerPiece(channels)) { start, length in
        for row in start..<start + length {
          convert(
            y.at(row * channels), y.type, rows.at(row / rowsPerSample * channels), rows.type, channels)
        }
      }
    }
  }
}
