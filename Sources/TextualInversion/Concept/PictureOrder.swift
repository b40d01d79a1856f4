import Tensors

/// Which pictures a batch shows: a function of the run's seed and of the batch's number alone.
///
/// All pictures of a batch are of one size. Those of a size stand in a row: all of them in a random order, then all of them in
/// another, and so on; a batch takes the next of the row, across its rounds. Of which size a batch is goes by rounds as well: of as
/// many batches as there are pictures, each size has as many as it has pictures, in a random order (of fewer, where the numbers
/// have a common divisor). So every picture comes as often as any other, `batchSize` times in that many batches; where all are of
/// one size, each comes once before any comes again. A picture that is to come `n` times stands for `n` pictures in all of this.
struct PictureOrder: Sendable {
  private let seed: UInt64
  private let batchSize: Int
  /// The pictures of each size.
  private let buckets: [[Int]]
  /// The bucket of each batch of a round, before it is shuffled.
  private let round: [Int]

  /// - Parameters:
  ///   - sizes: of each picture; there is one at least, or a batch is empty.
  ///   - repeats: how often each picture counts; once where nothing is said.
  init(sizes: [Shape], repeats: [Int] = [], batchSize: Int, seed: UInt64) {
    var buckets: [[Int]] = []
    var numbers: [Shape: Int] = [:]
    for (picture, size) in sizes.enumerated() {
      let copies = Array(repeating: picture, count: repeats.indices.contains(picture) ? max(1, repeats[picture]) : 1)
      if let number = numbers[size] {
        buckets[number] += copies
      } else {
        numbers[size] = buckets.count
        buckets.append(copies)
      }
    }
    let divisor = buckets.reduce(0) { commonDivisor($0, $1.count) }
    round = buckets.enumerated().flatMap { Array(repeating: $0.offset, count: $0.element.count / divisor) }
    self.buckets = buckets
    self.batchSize = batchSize
    self.seed = seed
  }

  /// The pictures of the run's batch number `turn`.
  func pictures(turn: Int) -> [Int] {
    guard !round.isEmpty else { return [] }
    let (number, place) = turn.quotientAndRemainder(dividingBy: round.count)
    let order = RandomStream.bucketOrder.generator(seed: seed, step: number).permutation(round.count).map { round[$0] }
    let bucket = order[place]
    // How many batches of that size were before.
    let before =
      number * round.count(where: { $0 == bucket }) + order[..<place].count(where: { $0 == bucket })
    return (0..<batchSize).map { picture(before * batchSize + $0, of: bucket) }
  }

  /// What stands at place `draw` of a bucket's row.
  private func picture(_ draw: Int, of bucket: Int) -> Int {
    let pictures = buckets[bucket]
    let (number, place) = draw.quotientAndRemainder(dividingBy: pictures.count)
    let order = RandomStream.pictureOrder.generator(seed: seed, step: number * buckets.count + bucket)
    return pictures[order.permutation(pictures.count)[place]]
  }
}

private func commonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : commonDivisor(b, a % b) }
