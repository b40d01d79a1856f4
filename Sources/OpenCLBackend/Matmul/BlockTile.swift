import Tensors

/// The register tile of the CPU forms (`Matmul/tile_cpu.cl`): a few rows of two vectors.
struct VectorTile: Sendable, Hashable {
  /// Floats in a vector register.
  let vector: Int
  let rows: Int

  /// The tile that just fills the registers: 12 of 16, or 24 of the 32 that come with vectors of 16.
  init(_ device: OpenCLDevice) {
    vector = device.nativeVectorWidth >= 16 ? 16 : device.nativeVectorWidth >= 8 ? 8 : 4
    rows = vector == 16 ? 12 : 6
  }

  init(vector: Int, rows: Int) {
    self.vector = vector
    self.rows = rows
  }

  /// Columns of the tile and of a packed panel.
  var columns: Int { 2 * vector }

  var defines: [KernelDefine] { [KernelDefine("LANES", vector), KernelDefine("TILE_ROWS", rows)] }

  func check(_ kernel: String) throws(OperationError) {
    guard [4, 8, 16].contains(vector), rows >= 1 else {
      throw OperationError(.unsupported, kernel, "a register tile of \(rows) rows of vectors of \(vector)")
    }
  }
}

/// What one item of the CPU forms of matmul and convolution makes (`Matmul/block_cpu.cl`).
struct BlockTile: Sendable, Hashable {
  let tile: VectorTile
  /// The most rows an item makes, in whole tiles.
  let rows: Int
  /// The most weight panels an item makes: the more, the less its rows cost to read.
  let panels: Int
  /// Numbers of a row of the input held at a time.
  let depth: Int

  init(_ device: OpenCLDevice) {
    tile = VectorTile(device)
    rows = 96
    panels = 320 / tile.columns
    depth = 320
  }

  var columns: Int { panels * tile.columns }

  /// Rows and columns an item makes of `rows` x `columns` in all, `layers` times over: blocks of even size, and four of them for
  /// each of the device's units if there is enough to share.
  func block(rows: Int, columns: Int, layers: Int = 1, device: OpenCLDevice) -> (rows: Int, columns: Int) {
    let panels = (columns + tile.columns - 1) / tile.columns
    let tiles = (rows + tile.rows - 1) / tile.rows
    var rowBlocks = (rows + self.rows - 1) / self.rows
    var columnBlocks = (panels + self.panels - 1) / self.panels
    while rowBlocks * columnBlocks * layers < 4 * device.computeUnits {
      // Rows keep company longer: a panel is read once for all of an item's rows.
      if panels >= columnBlocks * 8 {
        columnBlocks *= 2
      } else if tiles >= rowBlocks * 8 {
        rowBlocks *= 2
      } else {
        break
      }
    }
    return (
      (tiles + rowBlocks - 1) / rowBlocks * tile.rows, (panels + columnBlocks - 1) / columnBlocks * tile.columns
    )
  }

  var defines: [KernelDefine] {
    tile.defines + [
      KernelDefine("BLOCK_ROWS", rows), KernelDefine("BLOCK_PANELS", panels), KernelDefine("BLOCK_DEPTH", depth),
    ]
  }

  func check(_ kernel: String) throws(OperationError) {
    try tile.check(kernel)
    guard rows % tile.rows == 0, panels >= 1, depth >= 1 else {
      throw OperationError(.unsupported, kernel, "\(self) is not made of whole tiles")
    }
  }
}
