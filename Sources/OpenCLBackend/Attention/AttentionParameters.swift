import Tensors

/// How a GPU's work-group shares the rows of attention (`Attention/attention_gpu.cl`), for heads of one width.
struct AttentionGroupParameters: KernelParameters {
  static let source = "Attention/attention_gpu.cl"
  static let sharedSources = ["Attention/attention_shared.cl"]

  /// One of the two passes: rows a group owns, items that share a row, rows of the other side in local memory.
  struct Pass: Sendable, Hashable {
    let rows: Int
    let split: Int
    let step: Int

    var items: Int { rows * split }

    /// - Parameters:
    ///   - slice: the most channels that an item may hold of each of its rows.
    ///   - partials: floats of partial sums an item leaves for each row of the tile.
    init(headDimension: Int, slice: Int, partials: Int) {
      var split = 1
      while (headDimension + split - 1) / split > slice { split *= 2 }
      self.split = split
      rows = split <= 2 ? 64 : split <= 8 ? 32 : 16
      var step = 16
      while Pass.localMemory(headDimension, rows, split, step, partials) > DeviceLimits.universalLocalMemory {
        step /= 2
      }
      self.step = step
    }

    /// Bytes: two tiles of whole rows, the partial sums, and in backward two sums a row of the tile.
    static func localMemory(_ headDimension: Int, _ rows: Int, _ split: Int, _ step: Int, _ partials: Int) -> Int {
      let padded = (headDimension + 4 * split - 1) / (4 * split) * 4 * split
      return step * 4 * (2 * padded + partials * split * rows + 2)
    }

    func localMemory(_ headDimension: Int, partials: Int) -> Int {
      Pass.localMemory(headDimension, rows, split, step, partials)
    }
  }

  let headDimension: Int
  let forward: Pass
  /// Holds twice as many rows in registers as forward, so half the slice.
  let backward: Pass

  init(headDimension: Int) {
    self.headDimension = headDimension
    forward = Pass(headDimension: headDimension, slice: 40, partials: 1)
    backward = Pass(headDimension: min(headDimension, 160), slice: 20, partials: 2)
  }

  var defines: [KernelDefine] {
    [
      KernelDefine("HEAD_DIMENSION", headDimension), KernelDefine("OWN_ROWS", forward.rows),
      KernelDefine("SPLIT", forward.split), KernelDefine("STEP_ROWS", forward.step),
      KernelDefine("BACKWARD_OWN_ROWS", backward.rows), KernelDefine("BACKWARD_SPLIT", backward.split),
      KernelDefine("BACKWARD_STEP_ROWS", backward.step),
    ]
  }

  func check(_ limits: DeviceLimits) throws(OperationError) {
    try limits.check(
      "attention_forward", items: forward.items, localBytes: forward.localMemory(headDimension, partials: 1))
    try limits.check(
      "attention_backward", items: backward.items,
      localBytes: backward.localMemory(min(headDimension, 160), partials: 2))
  }
}

/// The blocks of the CPU form of attention (`Attention/attention_cpu.cl`), for heads of one width.
struct AttentionBlockParameters: KernelParameters {
  static let source = "Attention/attention_cpu.cl"
  static let sharedSources = ["Matmul/tile_cpu.cl", "Attention/attention_shared.cl"]
  let headDimension: Int
  let tile: VectorTile
  /// Rows an item owns.
  let rows: Int
  /// Rows of the other side that pass by at a time.
  let step: Int

  init(headDimension: Int, _ device: OpenCLDevice) {
    self.headDimension = headDimension
    tile = VectorTile(device)
    rows = headDimension <= 80 ? 96 : 48
    step = 96
  }

  /// Channels of a packed row.
  var padded: Int { (headDimension + tile.vector - 1) / tile.vector * tile.vector }

  /// Floats of a packed array for `tokens` rows of `heads` heads in all.
  func packedCount(tokens: Int, heads: Int) -> Int {
    heads * ((tokens + tile.columns - 1) / tile.columns * tile.columns) * padded
  }

  /// Floats in which `attention_backward_head` sums the gradient of the queries.
  func querySumsCount(queries: Int, heads: Int) -> Int {
    packedCount(tokens: queries, heads: heads) + heads * step * padded
  }

  var defines: [KernelDefine] {
    tile.defines + [
      KernelDefine("HEAD_DIMENSION", headDimension), KernelDefine("OWN_ROWS", rows), KernelDefine("STEP_ROWS", step),
    ]
  }

  func check(_ limits: DeviceLimits) throws(OperationError) {
    try tile.check("attention")
    // Tiles of three vectors have two thirds of the rows.
    guard tile.rows % 3 == 0, rows % (2 * tile.rows) == 0, step % (2 * tile.rows) == 0, step % tile.columns == 0 else {
      throw OperationError(.unsupported, "attention", "blocks of \(rows) by \(step) are not made of whole tiles")
    }
  }
}
