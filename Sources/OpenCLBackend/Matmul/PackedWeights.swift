import Operators
import Tensors

/// Frozen weights of a linear or convolution layer as the kernels read them (`Matmul/pack_weights.cl`).
public struct PackedWeights: LayerWeights {
  public let descriptor: WeightsDescriptor
  /// The GPU forms read the same copy in both directions.
  let forward: Tensor<OpenCLBuffer>?
  let backward: Tensor<OpenCLBuffer>?
  /// `[outputs]`, float32.
  let bias: Tensor<OpenCLBuffer>?

  /// The copy for `direction`, or `unsupported` where it was not packed.
  func copy(for direction: Directions, _ operation: String) throws(OperationError) -> Tensor<OpenCLBuffer> {
    guard let copy = direction == .backward ? backward : forward else {
      throw OperationError(.unsupported, operation, "the weights were not packed for this direction")
    }
    return copy
  }
}

struct PackParameters: KernelParameters {
  static let source = "Matmul/pack_weights.cl"
  var defines: [KernelDefine] { [] }
  func check(_ limits: DeviceLimits) throws(OperationError) {}
}

extension OpenCLBackend {
  /// Columns that one item of `pack_weights` writes.
  private static let packColumns = 16

  /// Packs `weight`, `[outputs, inputs, taps...]`, for the backend's form, in its precision.
  func packWeights(
    _ weight: HostTensor, outputs: Int, inputs: Int, taps: Int, bias: HostTensor?,
    for directions: Directions
  ) throws(OperationError) -> PackedWeights {
    let descriptor = WeightsDescriptor(shape: weight.shape, type: precision, directions: directions)
    let source = try upload(weight.values)
    let offset = try bias.map { (bias) throws(OperationError) in try upload(bias, as: .float32) }
    func packed(panelColumns: Int, backward: Bool) throws(OperationError) -> Tensor<OpenCLBuffer> {
      let (sum, columns) = backward ? (outputs, inputs) : (inputs, outputs)
      let panels = (columns + panelColumns - 1) / panelColumns
      let target = try allocate([panels, taps, sum, panelColumns], precision)
      let chunks = (panelColumns + OpenCLBackend.packColumns - 1) / OpenCLBackend.packColumns
      try run(
        "pack_weights", PackParameters(), storage: precision, WorkSize(items: panels * taps * sum * chunks, local: 64),
        target, source, outputs, inputs, taps, panelColumns, panels, backward ? 1 : 0)
      return target
    }
    if kernelForm == .gpu {
      let both = try packed(panelColumns: outputs, backward: false)
      return PackedWeights(
        descriptor: descriptor, forward: directions.contains(.forward) ? both : nil,
        backward: directions.contains(.backward) ? both : nil, bias: offset)
    }
    let columns = VectorTile(device).columns
    return PackedWeights(
      descriptor: descriptor,
      forward: directions.contains(.forward) ? try packed(panelColumns: columns, backward: false) : nil,
      backward: directions.contains(.backward) ? try packed(panelColumns: columns, backward: true) : nil, bias: offset)
  }
}
