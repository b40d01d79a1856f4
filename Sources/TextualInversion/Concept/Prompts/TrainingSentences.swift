import Foundation
import Tensors

/// The sentences that a word is taught in: templates, and what the texts beside the pictures say, put together anew each time.
///
/// Captions vary the sentences and are never all of them: taught in one fixed sentence a picture, a word may obey no other (by plain
/// training the demo's concepts scored .68 so, varied over .9; by spherical training both reach .97 and more). A template that has `[filewords]` says itself where
/// a caption goes; into any other it is woven.
public struct TrainingSentences: Sendable {
  /// What is known of a picture.
  private struct Subject: Sendable {
    /// The word that it teaches.
    let word: String
    let captions: [Caption]
    /// What its file's name says, for `[filewords]` where there is no caption.
    let nameWords: String
  }

  private static let fileWords = PromptTemplates.fileWords

  /// With `{}` where the word goes.
  public let templates: [String]
  /// Those that end with the word, where there are any: nothing in them contradicts a caption.
  private let open: [String]
  private let subjects: [Subject]
  private let captions: CaptionSettings
  private let word: String

  /// - Parameters:
  ///   - pictures: their files' names.
  ///   - captions: what stands beside each of them; none at all for pictures without.
  ///   - words: the word that each of them teaches, by its number among the settings' words; the first where nothing is said.
  public init(
    _ settings: TrainingSettings, pictures: [String] = [], captions: [CaptionText?] = [], words: [Int] = []
  ) {
    word = settings.placeholder.word
    self.captions = settings.captions
    templates = settings.templates ?? settings.kind.templates
    let ending = templates.filter { $0.hasSuffix(PromptTemplates.placeholder) || $0.contains(Self.fileWords) }
    open = ending.isEmpty ? templates : ending
    subjects = pictures.enumerated().map { index, name in
      let text = captions.indices.contains(index) ? captions[index] : nil
      let all = settings.words
      let taught = all[words.indices.contains(index) && all.indices.contains(words[index]) ? words[index] : 0]
      return Subject(
        word: taught.placeholder.word,
        captions: (text?.lines ?? []).map {
          Caption($0, word: taught.placeholder.word, initializer: taught.initializer, kind: settings.kind)
        }, nameWords: PromptTemplates.words(ofFile: name))
    }
  }

  /// The sentence of sample `sample` of micro-batch `turn`, which shows picture `picture`: a function of these and the seed
  /// alone.
  public func sentence(picture: Int, seed: UInt64, turn: Int, sample: Int) -> String {
    if templates.isEmpty { return word }
    let subject = subjects.indices.contains(picture) ? subjects[picture] : nil
    let draws = RandomStream.captions.generator(seed: seed, step: turn)
    // Every sample has draws of its own, far more of them than a caption has parts.
    func draw(_ bound: Int, _ index: Int) -> Int { draws.integer(below: bound, at: sample << 32 + index) }
    var templates = templates
    var caption: Caption?
    if let subject, !subject.captions.isEmpty {
      caption = subject.captions[draw(subject.captions.count, 0)]
      templates = open
    }
    let template = { (templates: [String]) in
      templates[RandomStream.prompts.generator(seed: seed, step: turn).integer(below: templates.count, at: sample)]
    }
    let chosen = template(templates)
    let dropout = captions.dropout ?? CaptionSettings.ownDropout(hasPlace: chosen.contains(Self.fileWords))
    if caption != nil, Float(draw(1 << 24, 1)) < dropout * Float(1 << 24) {
      // A template that names the word by its caption alone can't do without.
      let others = self.templates.filter { $0.contains(PromptTemplates.placeholder) }
      if !others.isEmpty { return sentence(template(others), nil, nameWords: "", word: subject?.word) }
    }
    return sentence(chosen, caption, nameWords: subject?.nameWords ?? "", word: subject?.word) { parts, kept in
      guard captions.shuffles else { return parts }
      return Caption.shuffled(parts, keeping: kept, by: draws.permutation(parts.count, at: sample << 32 + 2))
    }
  }

  /// A template with the word in it, and what a caption says.
  private func sentence(
    _ template: String, _ caption: Caption?, nameWords: String, word: String?,
    order: (_ parts: [String], _ kept: Int) -> [String] = { parts, _ in parts }
  ) -> String {
    var text = template
    if template.contains(Self.fileWords) {
      let words = caption.map { order($0.parts, captions.keptParts).joined(separator: ", ") } ?? nameWords
      text = Sentence.tidy(template.replacingOccurrences(of: Self.fileWords, with: words))
    } else if let caption {
      text = Sentence.weave(
        template, caption, details: order(caption.details, caption.details(amongFirst: captions.keptParts)))
    }
    return PromptTemplates.filled(text, with: word ?? self.word)
  }

  /// Every sentence as it is without a draw, with where it is from: each template, with every caption in its written order.
  func all() -> [(sentence: String, template: String, picture: Int?)] {
    var all: [(String, String, Int?)] = []
    for template in templates where !template.contains(Self.fileWords) {
      for word in subjects.isEmpty ? [word] : Set(subjects.map(\.word)).sorted() {
        let own = subjects.filter { $0.word == word }
        let hasBare = own.isEmpty || own.contains { $0.captions.isEmpty }
        if hasBare || mayDropCaptions {
          all.append((sentence(template, nil, nameWords: "", word: word), template, nil))
        }
      }
    }
    for (index, subject) in subjects.enumerated() {
      if subject.captions.isEmpty {
        for template in templates where template.contains(Self.fileWords) {
          all.append((sentence(template, nil, nameWords: subject.nameWords, word: subject.word), template, index))
        }
      }
      for caption in subject.captions {
        for template in open {
          all.append((sentence(template, caption, nameWords: "", word: subject.word), template, index))
        }
      }
    }
    return all
  }

  private var mayDropCaptions: Bool { captions.dropout ?? CaptionSettings.ownDropout(hasPlace: false) > 0 }

  /// Sentences of as many draws, of different pictures where there are some; of those with captions first, and with what they say.
  func examples(_ count: Int, seed: UInt64) -> [String] {
    let captioned = subjects.indices.filter { !subjects[$0].captions.isEmpty }
    let pictures = captioned.isEmpty ? [0] : captioned
    return (0..<count).map { index in
      let picture = pictures[index % pictures.count]
      let draws = (0..<16).map { sentence(picture: picture, seed: seed, turn: $0, sample: index) }
      let own = subjects.indices.contains(picture) ? subjects[picture].word : word
      let bare = Set(templates.map { PromptTemplates.filled($0, with: own) })
      return draws.first { !captioned.isEmpty && !bare.contains($0) } ?? draws[0]
    }
  }

  /// How many captions name what is taught how.
  var naming: [Caption.Naming: Int] {
    subjects.flatMap(\.captions).reduce(into: [:]) { $0[$1.naming, default: 0] += 1 }
  }
}
