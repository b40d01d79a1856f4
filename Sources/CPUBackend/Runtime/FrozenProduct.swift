import Operators
import Tensors

/// What a product adds itself to.
enum Addend {
  /// A tensor of the result's shape.
  case tensor(Tensor<CPUStorage>)
  /// One row of channels a sample.
  case rows(Tensor<CPUStorage>)
}

extension CPUBackend {
  /// Packs weights in the backend's precision where oneDNN computes in it, else in float32.
  func packed(
    _ shape: ProductShape, _ weights: [Float], _ operation: String
  ) throws(OperationError) -> PackedWeights {
    var shape = shape
    shape.element = precision
    if let packed = try products.pack(shape, weights, into: pool, operation) { return packed }
    shape.element = .float32
    guard let packed = try products.pack(shape, weights, into: pool, operation) else {
      throw OperationError(.unsupported, operation, "oneDNN has no float32 code for these sizes")
    }
    return packed
  }

  /// The bias as float32, or nil.
  func uploadedBias(_ bias: HostTensor?, _ count: Int, _ operation: StaticString) throws(OperationError) -> CPUStorage? {
    guard let bias else { return nil }
    try require(bias.shape == [count], operation, "a bias of \(bias.shape) for \(count) outputs")
    return try upload(bias, as: .float32).storage
  }

  /// `y = x W + b + addend` of the given shape, in the type of `x`; oneDNN's own 16-bit arithmetic where the weights are
  /// packed for it, else float32 on widened numbers.
  func product(
    _ shape: ProductShape, _ x: Tensor<CPUStorage>, _ weights: PackedWeights, bias: CPUStorage?, addend: Addend?,
    result: Shape, _ operation: String
  ) throws(OperationError) -> Tensor<CPUStorage> {
    var shape = shape
    shape.element = weights.element
    shape.hasBias = bias != nil
    // A backward convolution can't accumulate, nor is a sum rounded to 16 bits before the addend comes to it.
    let addsItself = shape.operation != .convolutionBackward && weights.element == .float32
    shape.accumulates = addsItself && addend != nil
    let source = x.type == weights.element ? x : try converted(x, to: weights.element, operation)
    let y = try empty(result, weights.element, operation)
    if shape.accumulates, let addend { fill(y, with: addend) }
    try products.run(shape, source.storage, weights, bias: bias, y.storage, pool, operation)
    if !shape.accumulates, let addend {
      if case .tensor(let tensor) = addend, tensor.type == y.type {
        sum(y, y, tensor)
      } else {
        let expanded = try empty(result, y.type, operation)
        fill(expanded, with: addend)
        sum(y, y, expanded)
      }
    }
    return y.type == x.type ? y : try converted(y, to: x.type, operation)
  }

  private func converted(
    _ tensor: Tensor<CPUStorage>, to type: ElementType, _ operation: String
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let result = try empty(tensor.shape, type, operation)
    convert(result.bytes, type, tensor.bytes, tensor.type, tensor.shape.count)
    return result
  }

  /// Writes the addend over all of `y`.
  private func fill(_ y: Tensor<CPUStorage>, with addend: Addend) {
    switch addend {
    case .tensor(let tensor):
      convert(y.bytes, y.type, tensor.bytes, tensor.type, y.shape.count)
    case .rows(let rows):
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
