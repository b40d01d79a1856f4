import Foundation
import Images
import StableDiffusion

/// What a person may want to mend before a run, a line each: it is done nevertheless.
enum PreflightWarnings {
  /// - Parameters:
  ///   - tokenizer: the first encoder's, without the words that are taught.
  static func all(_ settings: TrainingSettings, _ concept: Concept, tokenizer: CLIPTokenizer) -> [String] {
    let likenesses = concept.pictures.map { PictureLikeness($0.picture) }
    var lines = duplicates(likenesses, concept.names)
    let taught = settings.words.enumerated().filter { $0.element.role == .taught }
    for (number, word) in taught {
      let own = concept.words.indices.filter { concept.words[$0] == number }
      let of =
        count(settings.kind, own.count) + sameEverywhere(settings.kind, own.map { likenesses[$0] })
        + captions(settings.kind, of: word, own.map { concept.captions[$0] })
      lines += self.word(word.placeholder.word, tokenizer) + initializer(word.initializer, tokenizer)
      lines += of.map { taught.count > 1 ? "\(word.placeholder.word): \($0)" : $0 }
    }
    return lines
  }

  /// What reads the word otherwise than a person expects.
  static func word(_ word: String, _ tokenizer: CLIPTokenizer) -> [String] {
    var lines: [String] = []
    let signs = word.filter { "()[]{}:|\\".contains($0) }
    if !signs.isEmpty {
      lines.append(
        "the word '\(word)' holds '\(signs)', which prompts with weights, here and in the web UIs, read as something else"
      )
    }
    func isPart(_ character: Character?) -> Bool { character.map { $0.isLetter || $0.isNumber } ?? false }
    guard isPart(word.first) || isPart(word.last) else { return lines }
    // An added word is found wherever its letters stand.
    let within = tokenizer.names.compactMap { name -> String? in
      guard name.hasSuffix("</w>"), name.count - 4 > word.count, name.contains(word.lowercased()) else { return nil }
      return String(name.dropLast(4))
    }.sorted { ($0.count, $0) < ($1.count, $1) }
    if !within.isEmpty {
      lines.append(
        "the word '\(word)' is also found within other words, such as \(list(within.prefix(3).map { "'\($0)'" })): "
          + "brackets round it, '<\(word)>', keep them apart")
    }
    return lines
  }

  /// Words that the model has no row for.
  static func initializer(_ initializer: String, _ tokenizer: CLIPTokenizer) -> [String] {
    let names = tokenizer.names
    return initializer.split(whereSeparator: \.isWhitespace).compactMap { word in
      let pieces = tokenizer.tokens(String(word)).map { id in
        (names.indices.contains(Int(id)) ? names[Int(id)] : "?").replacingOccurrences(of: "</w>", with: "")
      }
      guard pieces.count > 1 else { return nil }
      return "'\(word)' of the initializer is no word that the model knows, but \(pieces.count) pieces, "
        + "\(list(pieces.map { "'\($0)'" })), each of which means something else"
    }
  }

  static func count(_ kind: ConceptKind, _ pictures: Int) -> [String] {
    var lines: [String] = []
    if (1...2).contains(pictures) {
      lines.append(
        "\(pictures == 1 ? "one picture" : "two pictures"): all that is in them becomes the word's; three to ten, which "
          + "differ in all but what is taught, say what is meant")
    }
    if pictures > 30, kind != .style {
      lines.append(
        "\(pictures) pictures: one thing is learned best from three to ten; of many, the word becomes what they have in common"
      )
    }
    return lines
  }

  static func duplicates(_ likenesses: [PictureLikeness], _ names: [String]) -> [String] {
    var groups: [[Int]] = []
    for index in likenesses.indices {
      let isSame = { (other: Int) in
        likenesses[index].correlation(likenesses[other]) >= PictureLikeness.duplicate
      }
      if let group = groups.firstIndex(where: { $0.contains(where: isSame) }) {
        groups[group].append(index)
      } else {
        groups.append([index])
      }
    }
    let same = groups.filter { $0.count > 1 }.map { list($0.prefix(5).map { names[$0] }) }
    guard !same.isEmpty else { return [] }
    return [
      "nearly the same picture: \(same.prefix(5).joined(separator: "; ")); what is in it twice is learned twice as much"
    ]
  }

  /// A thing that always stands on the same ground, a style that always shows the same thing: the word would learn that too.
  static func sameEverywhere(_ kind: ConceptKind, _ likenesses: [PictureLikeness]) -> [String] {
    guard likenesses.count >= 3 else { return [] }
    let pairs = likenesses.indices.flatMap { first in likenesses.indices[(first + 1)...].map { (first, $0) } }
    guard kind == .style else {
      let isSame = pairs.allSatisfy { first, second in
        let distance = likenesses[first].groundDistance(likenesses[second])
        return distance.mean < PictureLikeness.ground.mean && distance.places < PictureLikeness.ground.places
      }
      return isSame
        ? [
          "all pictures have the same ground, which the word would learn as well: take some elsewhere, or name it in captions"
        ] : []
    }
    let alike = pairs.map { likenesses[$0].outlineCorrelation(likenesses[$1]) }.sorted()
    return alike[alike.count / 2] > PictureLikeness.outline
      ? ["all pictures show the same outline, which the style would learn as well: take some that show other things"]
      : []
  }

  static func captions(_ kind: ConceptKind, of word: Word, _ texts: [CaptionText?]) -> [String] {
    var lines: [String] = []
    let captions = texts.map { text in
      (text?.lines ?? []).map {
        Caption($0, word: word.placeholder.word, initializer: word.initializer, kind: kind)
      }
    }
    let named = captions.filter { !$0.isEmpty }
    guard !named.isEmpty else { return [] }
    let isNaming = { (captions: [Caption]) in captions.contains { $0.naming == .word } }
    if named.contains(where: isNaming), !named.allSatisfy(isNaming) {
      let without = texts.indices.filter { !captions[$0].isEmpty && !isNaming(captions[$0]) }
        .compactMap { texts[$0]?.file.lastPathComponent }
      lines.append(
        "the word stands in some captions and not in \(list(without.prefix(5)))\(without.count > 5 ? " and \(without.count - 5) more" : ""): "
          + "there it is put in")
    }
    guard named.count >= 3, named.count == captions.count else { return lines }
    let shared =
      named.map { captions in
        captions.map { Set(kind == .style ? Sentence.contents($0.parts) : $0.details.map { $0.lowercased() }) }
          .reduce(into: Set<String>()) { $0.formUnion($1) }
      }.reduce(nil as Set<String>?) { $0?.intersection($1) ?? $1 } ?? []
    if !shared.isEmpty {
      lines.append(
        "every caption says \(list(shared.sorted().prefix(3).map { "'\($0)'" })): the word is never learned without it")
    }
    return lines
  }

  private static func list(_ items: some Collection<String>) -> String { items.joined(separator: ", ") }
}
