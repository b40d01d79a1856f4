import ArgumentParser
import Foundation
import Tensors
import TextualInversion

/// `ti-gpu words compare`: how words lie to each other.
struct WordsCompare: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compare",
    abstract: "Says how learned words lie to each other: cosines, angles and lengths of their rows.",
    discussion: "  ti-gpu words compare run-1 run-2 toy.pt")

  @Argument(help: "Learned words' files of any kind, or folders of such; every pair of words is compared.")
  var files: [EmbeddingArgument]
  @Flag(help: "Print JSON on standard output.")
  var json = false

  private struct Pair: Encodable {
    let words: [String]
    let files: [String?]
    let rows: [RowComparison]
  }

  private struct Result: Encodable { let pairs: [Pair] }

  func run() throws {
    let words = try EmbeddingArgument.words(files)
    guard words.count > 1 else {
      throw UserError(.usage, "one word is nothing to compare", remedy: "name two files")
    }
    var pairs: [Pair] = []
    for (index, a) in words.enumerated() {
      for b in words[(index + 1)...] {
        let rows = a.comparison(with: b)
        if rows.isEmpty {
          Console.warn("'\(a.word)' and '\(b.word)' have no rows of one width: they are of different models")
        } else {
          pairs.append(Pair(words: [a.word, b.word], files: [a.url?.path, b.url?.path], rows: rows))
        }
      }
    }
    if json { return try Console.json(Result(pairs: pairs)) }
    for pair in pairs { try show(pair) }
  }

  private func show(_ pair: Pair) throws {
    let names = zip(pair.words, pair.files).map { word, file in
      pair.words[0] == pair.words[1] ? file ?? word : word
    }
    try Console.result("\(names[0]) and \(names[1])")
    for rows in pair.rows {
      try Console.result("  \(rows.encoder.rawValue)")
      for (index, cosines) in rows.cosines.enumerated() {
        guard cosines.indices.contains(index) else { continue }
        try Console.result(
          String(
            format: "    row %d  cosine %6.3f  angle %5.1f°  lengths %.3g and %.3g", index + 1, cosines[index],
            rows.angles[index][index], rows.lengths[index], rows.otherLengths[index]))
      }
      if rows.lengths.count != rows.otherLengths.count {
        try Console.result("    \(rows.lengths.count) rows against \(rows.otherLengths.count): the others stand alone")
      }
    }
  }
}
