import Tensors
import Testing

@testable import TextualInversion

/// Which pictures stand in a batch. What must hold follows from the definition, counted here picture by picture.
@Suite struct PictureOrderTests {
  private func order(_ counts: [Int], batchSize: Int, seed: UInt64 = 3) -> (order: PictureOrder, size: [Int]) {
    let size = counts.enumerated().flatMap { Array(repeating: $0.offset, count: $0.element) }
    return (PictureOrder(sizes: size.map { [$0 + 1, 2, 4] }, batchSize: batchSize, seed: seed), size)
  }

  @Test(arguments: [[5], [3, 2], [4, 1, 2], [6, 4], [1, 1, 1]], [1, 2, 4, 7])
  func everyPictureComesAsOftenAsAnyOther(counts: [Int], batchSize: Int) {
    let (order, size) = order(counts, batchSize: batchSize)
    let all = counts.reduce(0, +)
    for cycle in 0..<3 {
      let batches = (cycle * all..<(cycle + 1) * all).map(order.pictures)
      var seen = Array(repeating: 0, count: all)
      for batch in batches {
        #expect(batch.count == batchSize)
        #expect(Set(batch.map { size[$0] }).count == 1, "one batch has pictures of several sizes")
        for picture in batch { seen[picture] += 1 }
      }
      #expect(seen.allSatisfy { $0 == batchSize }, "\(seen)")
    }
  }

  /// In the row of one size each picture comes once before any comes again, in an order that changes.
  @Test func picturesOfASizeComeOnceARound() {
    let (order, size) = order([5, 3], batchSize: 2)
    for bucket in 0..<2 {
      let row = (0..<120).map(order.pictures).filter { size[$0[0]] == bucket }.flatMap { $0 }
      let count = size.count { $0 == bucket }
      let rounds = stride(from: 0, to: row.count - count, by: count).map { Array(row[$0..<$0 + count]) }
      for round in rounds { #expect(Set(round).count == count) }
      #expect(Set(rounds).count > 1)
    }
  }

  /// One that is to come three times comes three times as often: in its row three times a round, over as many batches as there are
  /// pictures with their repeats.
  @Test func repeatsCountAsPictures() {
    let repeats = [3, 1, 2, 1]
    let sizes: [Shape] = [[1, 1, 4], [1, 1, 4], [2, 1, 4], [2, 1, 4]]
    let order = PictureOrder(sizes: sizes, repeats: repeats, batchSize: 2, seed: 5)
    var seen = [0, 0, 0, 0]
    for picture in (0..<7).flatMap(order.pictures) { seen[picture] += 1 }
    #expect(seen == [6, 2, 4, 2])
    let row = (0..<70).map(order.pictures).filter { $0[0] < 2 }.flatMap { $0 }
    for start in stride(from: 0, to: row.count - 3, by: 4) { #expect(row[start..<start + 4].sorted() == [0, 0, 0, 1]) }
    let one = PictureOrder(sizes: Array(sizes[..<2]), repeats: [2], batchSize: 3, seed: 5)
    #expect((0..<1).flatMap(one.pictures).sorted() == [0, 0, 1])
  }

  /// The sizes of batches are mixed, otherwise each round, and no two seeds the same.
  @Test func sizesAreMixed() {
    let (first, size) = order([4, 4, 2], batchSize: 3)
    let (second, _) = order([4, 4, 2], batchSize: 3, seed: 4)
    let sizes = (0..<100).map { size[first.pictures(turn: $0)[0]] }
    // Of five batches two, two and one.
    let rounds = stride(from: 0, to: 100, by: 5).map { Array(sizes[$0..<$0 + 5]) }
    for round in rounds { #expect(round.sorted() == [0, 0, 1, 1, 2]) }
    #expect(Set(rounds).count > 5)
    #expect((0..<20).map(first.pictures) != (0..<20).map(second.pictures))
  }

  @Test func withoutPicturesABatchIsEmpty() {
    #expect(PictureOrder(sizes: [], batchSize: 2, seed: 0).pictures(turn: 5).isEmpty)
  }
}
