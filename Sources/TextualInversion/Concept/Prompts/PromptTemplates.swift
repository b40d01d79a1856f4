import Foundation
import ModelFiles
import Tensors

/// What is taught, and so which sentences the word is taught in.
public enum ConceptKind: String, CaseIterable, Codable, Sendable {
  /// A thing.
  case object
  /// A way of drawing.
  case style
  /// A person or an animal: somebody, whom no sentence calls large, weird or dirty.
  case subject

  /// The sentences of this kind, with `{}` where the word goes.
  public var templates: [String] {
    switch self {
    case .object: PromptTemplates.object
    case .style: PromptTemplates.style
    case .subject: PromptTemplates.subject
    }
  }
}

/// Sentences to teach a word in; `{}` stands for the word.
public enum PromptTemplates {
  /// What stands for the word.
  public static let placeholder = "{}"
  /// What stands for a picture's caption, or for the words of its file's name where it has none.
  public static let fileWords = "[filewords]"

  /// A sentence with `word` in the placeholder's place, wherever it stands.
  public static func filled(_ template: String, with word: String) -> String {
    template.replacingOccurrences(of: placeholder, with: word)
  }

  /// What a file's name says: without its ending and the number it begins with, `03-red_toy.png` is "red toy".
  static func words(ofFile name: String) -> String {
    let stem = (name as NSString).deletingPathExtension.drop { $0.isNumber || "-_ .".contains($0) }
    return stem.split { $0 == "_" || $0 == " " }.joined(separator: " ")
  }

  /// Reads a file of templates: one a line, with `{}` or, as the web UIs write it, `[name]` where the word goes and `[filewords]`
  /// where a caption does, which may name the word in its place. Blank lines and lines that begin with `#` are left out.
  ///
  /// - Throws: `.noInput` where the file is missing; `.badData` where a line lacks the placeholder, naming the line, or
  ///   no line is left.
  public static func read(_ url: URL) throws(UserError) -> [String] {
    let data = try Data(contentsOfInput: url, limit: 1 << 20)
    guard let text = String(data: data, encoding: .utf8) else {
      throw UserError(.badData, "the template file \(url.path) is not UTF-8 text")
    }
    var templates: [String] = []
    for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let line = line.trimmingCharacters(in: .whitespaces.union(["\u{FEFF}"]))
      if line.isEmpty || line.hasPrefix("#") { continue }
      let template = line.replacingOccurrences(of: "[name]", with: placeholder)
      guard template.contains(placeholder) || template.contains(fileWords) else {
        throw UserError(.badData, "\(url.path), line \(number + 1): no {} or [name] where the word should go: \(line)")
      }
      templates.append(template)
    }
    guard !templates.isEmpty else {
      throw UserError(
        .badData, "the template file \(url.path) holds no template: write one a line, with {} for the word")
    }
    return templates
  }

  /// The 27 sentences for things that diffusers' textual inversion script uses; one that stands twice is drawn twice as
  /// often.
  public static let object = [
    "a photo of a {}", "a rendering of a {}", "a cropped photo of the {}", "the photo of a {}", "a photo of a clean {}",
    "a photo of a dirty {}", "a dark photo of the {}", "a photo of my {}", "a photo of the cool {}",
    "a close-up photo of a {}", "a bright photo of the {}", "a cropped photo of a {}", "a photo of the {}",
    "a good photo of the {}", "a photo of one {}", "a close-up photo of the {}", "a rendition of the {}",
    "a photo of the clean {}", "a rendition of a {}", "a photo of a nice {}", "a good photo of a {}",
    "a photo of the nice {}", "a photo of the small {}", "a photo of the weird {}", "a photo of the large {}",
    "a photo of a cool {}", "a photo of a small {}",
  ]

  /// The 19 sentences for ways of drawing that diffusers' textual inversion script uses.
  public static let style = [
    "a painting in the style of {}", "a rendering in the style of {}", "a cropped painting in the style of {}",
    "the painting in the style of {}", "a clean painting in the style of {}", "a dirty painting in the style of {}",
    "a dark painting in the style of {}", "a picture in the style of {}", "a cool painting in the style of {}",
    "a close-up painting in the style of {}", "a bright painting in the style of {}",
    "a cropped painting in the style of {}", "a good painting in the style of {}",
    "a close-up painting in the style of {}", "a rendition in the style of {}", "a nice painting in the style of {}",
    "a small painting in the style of {}", "a weird painting in the style of {}", "a large painting in the style of {}",
  ]

  /// Sentences for a person or an animal, called by name: no article stands before the word.
  public static let subject = [
    "a photo of {}", "a picture of {}", "a good photo of {}", "a bright photo of {}", "a dark photo of {}",
    "a close-up photo of {}", "a cropped photo of {}", "a portrait of {}", "a close-up portrait of {}",
    "a painting of {}", "a rendering of {}", "a depiction of {}", "a rendition of {}", "a photo of {} outdoors",
    "a photo of {} indoors", "a nice photo of {}", "a cool photo of {}", "{}",
  ]
}
