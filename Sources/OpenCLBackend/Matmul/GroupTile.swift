import Tensors

/// The tile that a GPU's work-group makes of a product (`Matmul/tile_gpu.cl`).
struct GroupTile: Sendable, Hashable {
  /// Rows and columns a group makes, and the numbers of the sum that it stages at a time.
  let rows: Int
  let columns: Int
  let depth: Int
  /// Rows and columns an item makes in registers.
  let itemRows: Int
  let itemColumns: Int

  /// For products that fill the device with it.
  static let large = GroupTile(rows: 128, columns: 128, depth: 8, itemRows: 8, itemColumns: 8)
  /// For products of few rows or columns.
  static let small = GroupTile(rows: 64, columns: 64, depth: 16, itemRows: 4, itemColumns: 4)

  /// The tile for a product of `rows` x `columns` numbers, `layers` times over.
  static func choose(rows: Int, columns: Int, layers: Int = 1, device: OpenCLDevice) -> GroupTile {
    let groups = large.groups(rows: rows, columns: columns)
    return groups[0] * groups[1] * layers >= 4 * device.computeUnits ? large : small
  }

  /// Items of a group.
  var items: Int { rows / itemRows * (columns / itemColumns) }

  /// Bytes: two buffers of a slice of either side, each row four numbers longer than the tile.
  var localMemory: Int { 2 * depth * (rows + 4 + columns + 4) * 4 }

  func groups(rows: Int, columns: Int) -> [Int] {
    [(columns + self.columns - 1) / self.columns, (rows + self.rows - 1) / self.rows]
  }

  var defines: [KernelDefine] {
    [
      KernelDefine("TILE_ROWS", rows), KernelDefine("TILE_COLUMNS", columns), KernelDefine("TILE_DEPTH", depth),
      KernelDefine("ITEM_ROWS", itemRows), KernelDefine("ITEM_COLUMNS", itemColumns),
    ]
  }

  func check(_ kernel: String, _ limits: DeviceLimits) throws(OperationError) {
    guard itemRows % 4 == 0, itemColumns % 4 == 0, depth % 4 == 0, rows % itemRows == 0, columns % itemColumns == 0,
      rows * depth % (4 * items) == 0, columns * depth % (4 * items) == 0
    else { throw OperationError(.unsupported, kernel, "\(self) does not come apart into quads") }
    try limits.check(kernel, items: items, localBytes: localMemory)
  }
}
