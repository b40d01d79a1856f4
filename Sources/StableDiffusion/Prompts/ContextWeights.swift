import Tensors

extension HostTensor {
  /// A context `[chunks, places, width]` whose channels of one text encoder are weighted: multiplied place by place, and each
  /// chunk then as a whole, so that its mean over those channels is what it was. A chunk without weights stays as it is, to
  /// the bit.
  ///
  /// So AUTOMATIC1111's web UI applies a prompt's weights.
  ///
  /// - Parameters:
  ///   - weights: a weight a place, for each chunk.
  ///   - warn: told where restoring the mean changes a chunk as a whole by much.
  /// - Throws: `.badData` where the weights leave no mean to restore.
  func weighted(
    _ weights: [[Float]], channels: Range<Int>, warn: (String) -> Void = { _ in }
  ) throws(UserError) -> HostTensor {
    let (places, width) = (shape[1], shape[2])
    var result = self
    for (chunk, weights) in weights.enumerated() where weights.contains(where: { $0 != 1 }) {
      var (before, after) = (0.0, 0.0)
      for (place, weight) in weights.enumerated() {
        let start = (chunk * places + place) * width
        for index in start + channels.lowerBound..<start + channels.upperBound {
          before += Double(values[index])
          result.values[index] *= weight
          after += Double(result.values[index])
        }
      }
      let factor = Float(before / after)
      guard after.isFinite, factor.isFinite else {
        throw UserError(
          .badData, "the prompt's weights leave nothing of its mean", remedy: "take weights nearer to 1")
      }
      if !(0.5...2).contains(factor) {
        warn("the prompt's weights move its mean so far that all of it is made \(factor) times as strong")
      }
      for place in 0..<places {
        let start = (chunk * places + place) * width
        for index in start + channels.lowerBound..<start + channels.upperBound { result.values[index] *= factor }
      }
    }
    return result
  }
}
