import Foundation

/// A line beside a picture, taken apart so that it goes into many sentences: what it says round the word, and its other parts.
///
/// A caption says where the word goes by `{}`, by `[name]` or by the word itself. One that does not, but names a thing or
/// somebody by what the word starts from ("a toy on a beach"), has the word put there. Any other is said behind the word.
struct Caption: Sendable, Hashable {
  /// How a caption names what is taught.
  enum Naming: Sendable, Hashable { case word, initializer, nothing }

  let naming: Naming
  /// Between the commas, as they were written but for `{}` where the word goes.
  let parts: [String]
  /// What goes in a template's `{}`: `old {} on a beach`, of a caption "a photo of an old {} on a beach, sunny".
  let filler: String
  /// What stood before that, `a`: put back where a template has none itself.
  let article: String
  /// The other parts, without a "photo of" at their start: what a template leaves room for behind its end.
  let details: [String]
  /// Which of the parts is no detail.
  private var subjectPart: Int?

  init(_ line: String, word: String, initializer: String, kind: ConceptKind) {
    var text = line.replacingOccurrences(of: "[name]", with: PromptTemplates.placeholder)
    text = text.replacingWords(word, with: PromptTemplates.placeholder, all: true)
    var naming = text.contains(PromptTemplates.placeholder) ? Naming.word : .nothing
    if naming == .nothing, kind != .style, !initializer.allSatisfy(\.isWhitespace) {
      text = text.replacingWords(initializer, with: PromptTemplates.placeholder, all: false)
      if text.contains(PromptTemplates.placeholder) { naming = .initializer }
    }
    self.naming = naming
    parts = text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }

    var details = parts
    var (article, filler) = ("", PromptTemplates.placeholder)
    if let index = parts.firstIndex(where: { $0.contains(PromptTemplates.placeholder) }),
      let place = parts[index].firstRange(of: PromptTemplates.placeholder)
    {
      details.remove(at: index)
      subjectPart = index
      let before = Sentence.withoutLead(parts[index][..<place.lowerBound].split(separator: " "))
      let after = parts[index][place.lowerBound...]
      if kind == .style {
        let described = Sentence.withoutStyle(before)
        if !described.allSatisfy({ Sentence.leads.contains($0.lowercased()) }) {
          details.insert(described.joined(separator: " "), at: index)
          subjectPart = nil
        }
        filler = String(after)
      } else {
        if let first = before.first, Sentence.articles.contains(first.lowercased()) { article = String(first) }
        let rest = before.dropFirst(article.isEmpty ? 0 : 1).joined(separator: " ")
        // Where nothing but quotes or brackets stands between, none comes in.
        let gap = !rest.isEmpty && parts[index][..<place.lowerBound].last == " " ? " " : ""
        filler = rest + gap + after
      }
    }
    self.filler = filler
    self.article = article
    self.details = details.map { Sentence.withoutLead($0.split(separator: " ")).joined(separator: " ") }
      .filter { !$0.isEmpty }
  }

  /// How many details are among the first `count` parts.
  func details(amongFirst count: Int) -> Int { count - (subjectPart.map { $0 < count ? 1 : 0 } ?? 0) }

  /// Parts in a new order: the first `kept` stay, then comes the one that names the word, then the others by `order`.
  ///
  /// - Parameter order: the numbers of all parts.
  static func shuffled(_ parts: [String], keeping kept: Int, by order: [Int]) -> [String] {
    let kept = min(max(kept, 0), parts.count)
    let naming = parts.indices.dropFirst(kept).filter { parts[$0].contains(PromptTemplates.placeholder) }
    let others = order.filter { $0 >= kept && !naming.contains($0) }
    return (Array(0..<kept) + naming + others).map { parts[$0] }
  }
}

/// What is known of English sentences about pictures.
enum Sentence {
  static let articles: Set<String> = [
    "a", "an", "the", "my", "one", "this", "that", "some", "his", "her", "our", "their", "your",
  ]

  /// What a picture is called: "a photo of".
  private static let pictures: Set<String> = [
    "photo", "photograph", "picture", "image", "painting", "drawing", "rendering", "rendition", "depiction", "portrait",
    "illustration", "close-up", "closeup", "shot", "view", "sketch",
  ]

  /// Words before a picture's name that say no more than templates do: "a cropped".
  static let leads: Set<String> = pictures.union(articles).union(
    (PromptTemplates.object + PromptTemplates.style).flatMap { $0.split(separator: " ").map(String.init) })

  /// What a description begins with that goes on from the word with no comma: "on a beach", "wearing a hat".
  private static let joining: Set<String> = [
    "on", "in", "at", "with", "under", "near", "beside", "behind", "by", "over", "above", "below", "inside", "outside",
    "against", "next", "between", "among", "from", "beneath", "atop", "through", "across", "along", "around", "without",
    "within", "amid", "underneath", "before", "during", "surrounded", "made", "lit", "seen", "placed", "covered",
    "sitting", "standing", "lying", "wearing", "holding", "flying", "running", "walking", "looking", "sleeping",
    "hanging", "floating", "riding", "eating", "jumping", "swimming", "leaning", "resting", "facing",
  ]

  /// The words of a caption that say what is shown.
  static func contents(_ parts: [String]) -> [String] {
    parts.flatMap { $0.lowercased().split { !$0.isLetter && $0 != "-" }.map(String.init) }
      .filter { !leads.contains($0) && !joining.contains($0) && !["and", "background", "of"].contains($0) }
  }

  /// The words behind "a photo of", where that is how they begin.
  static func withoutLead(_ words: [Substring]) -> [Substring] {
    guard let of = words.firstIndex(where: { $0.lowercased() == "of" }), of > 0,
      pictures.contains(words[of - 1].lowercased()),
      words[..<(of - 1)].allSatisfy({ leads.contains($0.lowercased()) })
    else { return words }
    return Array(words[(of + 1)...])
  }

  /// The words before "in the style of" or "by", where that is how they end.
  static func withoutStyle(_ words: [Substring]) -> [Substring] {
    let text = words.map { $0.lowercased() }
    for ending in [["in", "the", "style", "of"], ["art", "by"], ["by"]] where text.suffix(ending.count) == ending[...] {
      return words.dropLast(ending.count)
    }
    return words
  }

  /// A template with a caption's subject in its place, and behind it what the caption says besides.
  static func weave(_ template: String, _ caption: Caption, details: [String]) -> String {
    var sentence = template
    if let place = template.firstRange(of: PromptTemplates.placeholder) {
      let before = template[..<place.lowerBound].split(separator: " ").last?.lowercased()
      let wantsArticle = before == nil || before == "of" || before == "by"
      let subject = (wantsArticle && !caption.article.isEmpty ? caption.article + " " : "") + caption.filler
      sentence.replaceSubrange(place, with: subject)
    }
    for (index, detail) in details.enumerated() {
      let first = detail.prefix { $0 != " " }.lowercased()
      let goesOn = index == 0 && caption.naming == .nothing && joining.contains(first)
      sentence += (goesOn ? " " : ", ") + detail
    }
    return sentence
  }

  /// A sentence without the separators that a caption leaves behind where it is left out.
  static func tidy(_ sentence: String) -> String {
    sentence.split(separator: ",").map { $0.split(separator: " ").joined(separator: " ") }
      .filter { !$0.isEmpty }.joined(separator: ", ")
  }
}

extension String {
  /// The text with a phrase exchanged, whatever its case, where no letter or digit stands directly beside it.
  fileprivate func replacingWords(_ phrase: String, with replacement: String, all: Bool) -> String {
    var result = ""
    var rest = self[...]
    while let found = rest.range(of: phrase, options: .caseInsensitive), !phrase.isEmpty {
      func isPart(_ character: Character?) -> Bool { character.map { $0.isLetter || $0.isNumber } ?? false }
      let isJoined =
        isPart(phrase.first) && isPart((result + rest[..<found.lowerBound]).last)
        || isPart(phrase.last) && isPart(rest[found.upperBound...].first)
      result += rest[..<found.lowerBound] + (isJoined ? String(rest[found]) : replacement)
      rest = rest[found.upperBound...]
      if !isJoined, !all { break }
    }
    return result + rest
  }
}
