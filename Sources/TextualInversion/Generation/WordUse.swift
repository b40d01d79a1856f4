import Foundation

/// Where a learned word stands in a picture's prompts.
public struct WordUse: Sendable, Hashable, Codable {
  public let word: String
  public let vectors: Int
  /// The path of the word's file.
  public let file: String?
  /// The places of its vectors among the prompt's tokens, counted from 1.
  public let prompt: [Int]
  /// The same in the negative prompt; empty where that is not used.
  public let negativePrompt: [Int]
  /// How many of its vectors stand where a prompt is cut.
  public let cut: Int

  /// Whether the word has any part in the picture.
  public var isUsed: Bool { !prompt.isEmpty || !negativePrompt.isEmpty }

  /// What a person may not expect, in a line.
  var warning: String? {
    let name = "the word '\(word)'" + (file.map { " of \($0)" } ?? "")
    if cut > 0 { return "\(name) stands where the prompt is cut: \(cut) of its vectors are left out" }
    return isUsed ? nil : "no prompt holds \(name)"
  }
}

extension WordUse: CustomStringConvertible {
  /// `<toy>, 2 vectors of toy.safetensors: tokens 5-6 of the prompt`.
  public var description: String {
    let places = [("prompt", prompt), ("negative prompt", negativePrompt)].filter { !$0.1.isEmpty }
      .map { "token\($0.1.count == 1 ? "" : "s") \(Self.ranges($0.1)) of the \($0.0)" }
    return "\(word), \(vectors) vector\(vectors == 1 ? "" : "s")"
      + (file.map { " of " + URL(fileURLWithPath: $0).lastPathComponent } ?? "") + ": "
      + (places.isEmpty ? "in no prompt" : places.joined(separator: ", "))
  }

  /// `[1, 2, 3, 7]` as `1-3, 7`.
  private static func ranges(_ numbers: [Int]) -> String {
    var ranges: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = ranges.last, last.upperBound == number - 1 {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ", ")
  }
}
