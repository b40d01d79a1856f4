import Operators
import Tensors

/// The defines of `group_norm.cl`.
struct GroupNormParameters: KernelParameters {
  static let source = "Normalization/group_norm.cl"

  let vector: ChannelVector
  let activation: Activation?
  /// Items of a work-group that passes over `x`, and of one that merges the slices.
  var groupSize = 256
  var mergeSize = 64

  var defines: [KernelDefine] {
    [
      vector.define, Activation.define(activation), KernelDefine("GROUP_SIZE", groupSize),
      KernelDefine("MERGE_SIZE", mergeSize),
    ]
  }

  func check(_ limits: DeviceLimits) throws(OperationError) {
    // Two floats an item and channel in the passes that sum.
    try limits.check("group_norm", items: groupSize, localBytes: 2 * 4 * groupSize * vector.width)
    try limits.check("group_norm", items: mergeSize, localBytes: 8 * mergeSize)
    // The merges halve their way down.
    guard mergeSize.nonzeroBitCount == 1 else {
      throw OperationError(.unsupported, "group_norm", "\(mergeSize) items can't be halved to one")
    }
  }
}

/// How the passes of one group normalization fall into work-groups: `place` in `group_norm.cl` is their other half.
private struct GroupNormPlan {
  let parameters: GroupNormParameters
  let batch: Int
  let pixels: Int
  let channels: Int
  let groups: Int
  /// Vectors of channels that a row of a work-group covers, and how many work-groups cover all channels.
  let rowVectors: Int
  let tiles: Int
  let slices: Int
  let slicePixels: Int

  /// Pixels that an item sees at least; fewer are not worth an item's set-up.
  private static let pixelsOfItem = 16
  /// More slices than this only cost the merge.
  private static let maximumSlices = 128

  init(_ op: GroupNorm, _ x: Shape) {
    channels = x.channels
    groups = op.groups
    batch = x[0]
    pixels = x.rows / max(x[0], 1)
    parameters = GroupNormParameters(vector: ChannelVector(dividing: channels), activation: op.activation)
    let vectors = channels / parameters.vector.width
    tiles = (vectors + parameters.groupSize - 1) / parameters.groupSize
    rowVectors = (vectors + tiles - 1) / tiles
    let rows = parameters.groupSize / rowVectors
    let least = max(
      rows * GroupNormPlan.pixelsOfItem, (pixels + GroupNormPlan.maximumSlices - 1) / GroupNormPlan.maximumSlices)
    slicePixels = (least + rows - 1) / rows * rows
    slices = (pixels + slicePixels - 1) / slicePixels
  }

  var passes: WorkSize { WorkSize(groups: [tiles, slices, batch], local: [parameters.groupSize, 1, 1]) }
  var merges: WorkSize { WorkSize(groups: [groups, batch], local: [parameters.mergeSize, 1]) }
  var parts: Shape { [batch, slices, channels] }
  var statistics: Shape { [batch, groups] }
}

extension OpenCLBackend {
  public func forward(
    _ op: GroupNorm, _ x: Tensor<OpenCLBuffer>, scale: Tensor<OpenCLBuffer>, shift: Tensor<OpenCLBuffer>
  ) throws(OperationError) -> (y: Tensor<OpenCLBuffer>, saved: GroupNorm.Saved<OpenCLBuffer>) {
    let plan = GroupNormPlan(op, x.shape)
    let mean = try allocate(plan.statistics, .float32)
    let reciprocal = try allocate(plan.statistics, .float32)
    let y = try allocate(x.shape, x.type)
    guard x.shape.count > 0 else { return (y, GroupNorm.Saved(mean: mean, reciprocalDeviation: reciprocal)) }
    let means = try allocate(plan.parts, .float32)
    let deviations = try allocate(plan.parts, .float32)
    try run(
      "group_norm_statistics", plan.parameters, storage: x.type, plan.passes,
      means, deviations, x, plan.pixels, plan.channels, plan.rowVectors, plan.slicePixels)
    try run(
      "group_norm_merge", plan.parameters, storage: x.type, plan.merges,
      mean, reciprocal, means, deviations, plan.pixels, plan.channels, plan.slices, plan.slicePixels, op.epsilon)
    try run(
      "group_norm_forward", plan.parameters, storage: x.type, plan.passes,
      y, x, scale, shift, mean, reciprocal, plan.pixels, plan.channels, plan.groups, plan.rowVectors, plan.slicePixels)
    return (y, GroupNorm.Saved(mean: mean, reciprocalDeviation: reciprocal))
  }

  public func backwardInput(
    _ op: GroupNorm, _ dy: Tensor<OpenCLBuffer>, x: Tensor<OpenCLBuffer>, scale: Tensor<OpenCLBuffer>,
    shift: Tensor<OpenCLBuffer>, saved: GroupNorm.Saved<OpenCLBuffer>, residual: Tensor<OpenCLBuffer>?
  ) throws(OperationError) -> Tensor<OpenCLBuffer> {
    let plan = GroupNormPlan(op, x.shape)
    let dx = try allocate(x.shape, x.type)
    guard x.shape.count > 0 else { return dx }
    let sums = try allocate(plan.parts, .float32)
    let products = try allocate(plan.parts, .float32)
    let meanSum = try allocate(plan.statistics, .float32)
    let meanProduct = try allocate(plan.statistics, .float32)
    try run(
      "group_norm_backward_statistics", plan.parameters, storage: x.type, plan.passes, sums, products, dy, x, scale,
      shift, saved.mean, saved.reciprocalDeviation, plan.pixels, plan.channels, plan.groups, plan.rowVectors,
      plan.slicePixels)
    try run(
      "group_norm_backward_merge", plan.parameters, storage: x.type, plan.merges,
      meanSum, meanProduct, sums, products, plan.pixels, plan.channels, plan.slices)
    try run(
      "group_norm_backward_input", plan.parameters, storage: x.type, plan.passes, dx, dy, x, scale, shift, saved.mean,
      saved.reciprocalDeviation, meanSum, meanProduct, residual ?? dy, plan.pixels, plan.channels, plan.groups,
      plan.rowVectors, plan.slicePixels, residual == nil ? 0 : 1)
    return dx
  }
}
