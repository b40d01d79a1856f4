import Operators
import Tensors

extension CPUBackend {
  /// The taps packed; `b` in float32.
  public struct ConvolutionWeights: LayerWeights {
    public let descriptor: WeightsDescriptor
    let product: FrozenWeights
    let bias: CPUStorage?
  }

  /// The picture that layouts are chosen for.
  private static let representativeSide = 32

  public func pack(
    _ op: Convolution, weight: HostTensor, bias: HostTensor?, for directions: Directions
  ) throws(OperationError) -> ConvolutionWeights {
    let x: Shape = [1, Self.representativeSide, Self.representativeSide, op.inputs]
    let y = try op.outputShape(x)
    let bias = try uploadedBias(bias)
    // Without a stride the input's gradient is a plain convolution with the taps turned: oneDNN's forward code is its best.
    let backward = backwardShape(op, x, y)
    var convolution = backward
    convolution.operation = .convolution
    let isConvolution = op.stride == 1 && op.padding == .same
    let product = try packed(
      forward: shape(op, x, y), backward: backward, weight.values, for: directions,
      turned: isConvolution ? (convolution, { self.turned(weight) }) : nil, "Convolution.pack")
    return ConvolutionWeights(
      descriptor: WeightsDescriptor(shape: weight.shape, type: precision, directions: directions), product: product,
      bias: bias)
  }

  public func forward(
    _ op: Convolution, _ x: Tensor<CPUStorage>, weights: ConvolutionWeights,
    residual: Residual<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let result = try op.outputShape(x.shape)
    return try product(
      shape(op, x.shape, result), x, weights.product, Epilogue(bias: weights.bias, residual: residual), result: result,
      "Convolution.forward")
  }

  public func backwardInput(
    _ op: Convolution, _ dy: Tensor<CPUStorage>, inputShape: Shape, weights: ConvolutionWeights,
    residual: Tensor<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    return try product(
      backwardShape(op, inputShape, dy.shape), dy, weights.product, Epilogue(residual: residual.map(Residual.tensor)),
      result: inputShape, "Convolution.backwardInput")
  }

  private func shape(_ op: Convolution, _ x: Shape, _ y: Shape) -> ProductShape {
    ProductShape(
      operation: .convolution, element: .float32, batch: x[0], inputs: op.inputs, outputs: op.outputs, height: x[1],
      width: x[2], outHeight: y[1], outWidth: y[2], kernel: op.kernel, stride: op.stride,
      leadingPadding: op.leadingPadding, trailingPadding: op.trailingPadding)
  }

  private func backwardShape(_ op: Convolution, _ x: Shape, _ y: Shape) -> ProductShape {
    ProductShape(
      operation: .convolutionBackward, element: .float32, batch: x[0], inputs: op.outputs, outputs: op.inputs,
      height: y[1], width: y[2], outHeight: x[1], outWidth: x[2], kernel: op.kernel, stride: op.stride,
      leadingPadding: op.leadingPadding, trailingPadding: op.trailingPadding)
  }

  /// `[outputs, inputs, k, k]` as the taps of the convolution that makes the input's gradient: `[inputs, outputs, k, k]`, turned
  /// by half a circle.
  private func turned(_ weight: HostTensor) -> [Float] {
    let taps = weight.shape[2] * weight.shape[3]
    let (outputs, inputs) = (weight.shape[0], weight.shape[1])
    return [Float](unsafeUninitializedCapacity: weight.shape.count) { buffer, count in
      guard let target = buffer.baseAddress else { return }
      HostMemory.preferLargePages(UnsafeMutableRawBufferPointer(buffer))
      weight.values.withUnsafeBufferPointer { values in
        parallel(inputs) { input in
          for output in 0..<outputs {
            for tap in 0..<taps {
              (target + (input * outputs + output) * taps + tap).initialize(
                to: values[(output * inputs + input) * taps + taps - 1 - tap])
            }
          }
        }
      }
      count = weight.shape.count
    }
  }
}
