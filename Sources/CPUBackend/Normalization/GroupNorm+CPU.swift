import CVectorLoops
import Operators
import Tensors

extension CPUBackend {
  public func forward(
    _ op: GroupNorm, _ x: Tensor<CPUStorage>, scale: Tensor<CPUStorage>, shift: Tensor<CPUStorage>
  ) throws(OperationError) -> (y: Tensor<CPUStorage>, saved: GroupNorm.Saved<CPUStorage>) {
    let layout = ChannelRows(x.shape, groups: op.groups)
    let mean = try empty([layout.batch, op.groups], .float32, "GroupNorm.forward")
    let reciprocal = try empty([layout.batch, op.groups], .float32, "GroupNorm.forward")
    try statistics(op, x, layout, mean: mean, reciprocal: reciprocal)

    let y = try empty(x.shape, x.type, "GroupNorm.forward")
    let channels = layout.channels
    // Mean and factor of every channel of every sample.
    let parameters = try pool.allocate(layout.batch * 2 * channels * 4, for: "GroupNorm.forward")
    for sample in 0..<layout.batch {
      let means = parameters.floats + sample * 2 * channels
      for channel in 0..<channels {
        let group = sample * op.groups + channel / layout.channelsPerGroup
        means[channel] = mean.floats[group]
        means[channels + channel] = reciprocal.floats[group] * scale.floats[channel]
      }
    }
    parallel(layout.pieces) { piece in
      let (sample, start, rows) = layout.piece(piece)
      let means = parameters.floats + sample * 2 * channels
      vector_normalize_channels(
        y.at(start * channels), x.at(start * channels), x.type.vector, rows, channels, means, means + channels,
        shift.floats, op.activation == .silu)
    }
    return (y, GroupNorm.Saved(mean: mean, reciprocalDeviation: reciprocal))
  }

  /// Each piece's moments a channel, then their union over pieces and channels in double precision.
  private func statistics(
    _ op: GroupNorm, _ x: Tensor<CPUStorage>, _ layout: ChannelRows, mean: Tensor<CPUStorage>,
    reciprocal: Tensor<CPUStorage>
  ) throws(OperationError) {
    let channels = layout.channels
    let moments = try pool.allocate(layout.pieces * 2 * channels * 8, for: "GroupNorm.forward")
    let scratch = try pool.allocate(layout.pieces * 3 * channels * 4, for: "GroupNorm.forward")
    parallel(layout.pieces) { piece in
      let (_, start, rows) = layout.piece(piece)
      let means = moments.doubles + piece * 2 * channels
      vector_channel_moments(
        x.at(start * channels), x.type.vector, rows, channels, means, means + channels,
        scratch.floats + piece * 3 * channels)
    }
    let size = Double(layout.rows * layout.channelsPerGroup)
    for sample in 0..<layout.batch {
      for group in 0..<op.groups {
        let range = group * layout.channelsPerGroup..<(group + 1) * layout.channelsPerGroup
        let pieces = sample * layout.piecesPerSample..<(sample + 1) * layout.piecesPerSample
        var sum = 0.0
        for piece in pieces {
          let rows = Double(layout.piece(piece).rows)
          for channel in range { sum += rows * moments.doubles[piece * 2 * channels + channel] }
        }
        let center = sum / size
        var deviation = 0.0
        for piece in pieces {
          let rows = Double(layout.piece(piece).rows)
          for channel in range {
            let offset = moments.doubles[piece * 2 * channels + channel] - center
            deviation += moments.doubles[(piece * 2 + 1) * channels + channel] + rows * offset * offset
          }
        }
        mean.floats[sample * op.groups + group] = Float(center)
        reciprocal.floats[sample * op.groups + group] =
          Float(1 / (deviation / size + Double(op.epsilon)).squareRoot())
      }
    }
  }

  public func backwardInput(
    _ op: GroupNorm, _ dy: Tensor<CPUStorage>, x: Tensor<CPUStorage>, scale: Tensor<CPUStorage>,
    shift: Tensor<CPUStorage>, saved: GroupNorm.Saved<CPUStorage>, residual: Tensor<CPUStorage>?
  ) throws(OperationError) -> Tensor<CPUStorage> {
    let layout = ChannelRows(x.shape, groups: op.groups)
    let channels = layout.channels
    let isSiLU = op.activation == .silu

    // Of every channel of every sample: mean, reciprocal deviation, and the group's means of g and g x̂.
    let parameters = try pool.allocate(layout.batch * 4 * channels * 4, for: "GroupNorm.backwardInput")
    func row(_ sample: Int, _ index: Int) -> UnsafeMutablePointer<Float> {
      parameters.floats + (sample * 4 + index) * channels
    }
    for sample in 0..<layout.batch {
      for channel in 0..<channels {
        let group = sample * op.groups + channel / layout.channelsPerGroup
        row(sample, 0)[channel] = saved.mean.floats[group]
        row(sample, 1)[channel] = saved.reciprocalDeviation.floats[group]
      }
    }

    let sums = try pool.allocate(layout.pieces * 2 * channels * 8, for: "GroupNorm.backwardInput")
    let scratch = try pool.allocate(layout.pieces * 2 * channels * 4, for: "GroupNorm.backwardInput")
    parallel(layout.pieces) { piece in
      let (sample, start, rows) = layout.piece(piece)
      let sum = sums.doubles + piece * 2 * channels
      vector_normalize_channels_sums(
        dy.at(start * channels), x.at(start * channels), x.type.vector, rows, channels, row(sample, 0),
        row(sample, 1), scale.floats, shift.floats, isSiLU, sum, sum + channels,
        scratch.floats + piece * 2 * channels)
    }
    let size = Double(layout.rows * layout.channelsPerGroup)
    for sample in 0..<layout.batch {
      for group in 0..<op.groups {
        let range = group * layout.channelsPerGroup..<(group + 1) * layout.channelsPerGroup
        var sum = 0.0
        var product = 0.0
        for piece in sample * layout.piecesPerSample..<(sample + 1) * layout.piecesPerSample {
          for channel in range {
            sum += sums.doubles[piece * 2 * channels + channel]
            product += sums.doubles[(piece * 2 + 1) * channels + channel]
          }
        }
        for channel in range {
          row(sample, 2)[channel] = Float(sum / size)
          row(sample, 3)[channel] = Float(product / size)
        }
      }
    }

    let dx = try empty(x.shape, x.type, "GroupNorm.backwardInput")
    parallel(layout.pieces) { piece in
      let (sample, start, rows) = layout.piece(piece)
      vector_normalize_channels_backward(
        dx.at(start * channels), dy.at(start * channels), x.at(start * channels),
        residual.map { UnsafeRawPointer($0.at(start * channels)) }, x.type.vector, rows, channels, row(sample, 0),
        row(sample, 1), scale.floats, shift.floats, isSiLU, row(sample, 2), row(sample, 3))
    }
    return dx
  }
}

/// A feature map as rows of channels, sample by sample, cut into pieces of fixed size that do not straddle samples.
private struct ChannelRows {
  let batch: Int
  /// Rows of a sample.
  let rows: Int
  let channels: Int
  let channelsPerGroup: Int
  private let rowsPerPiece: Int

  init(_ shape: Shape, groups: Int) {
    batch = shape[0]
    channels = shape.channels
    rows = batch == 0 ? 0 : shape.rows / batch
    channelsPerGroup = channels / groups
    // Sums within a piece are float32: short enough to keep their rounding small, long enough to be worth starting.
    rowsPerPiece = max(16, 16384 / channels)
  }

  var piecesPerSample: Int { (rows + rowsPerPiece - 1) / rowsPerPiece }

  var pieces: Int { batch * piecesPerSample }

  /// The piece's sample, its first row counted over all samples, and its number of rows.
  func piece(_ index: Int) -> (sample: Int, start: Int, rows: Int) {
    let (sample, piece) = index.quotientAndRemainder(dividingBy: piecesPerSample)
    let start = piece * rowsPerPiece
    return (sample, sample * rows + start, min(rowsPerPiece, rows - start))
  }
}
