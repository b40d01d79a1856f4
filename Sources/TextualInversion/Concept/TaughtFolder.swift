import Foundation
import Images
import Tensors

/// One of several concepts that a run teaches: a folder of pictures, and the word that they teach.
public struct TaughtFolder: Sendable, Hashable, Codable {
  /// Its name in the folder of all concepts.
  public let folder: String
  public let word: String

  /// How often each of its pictures comes.
  var repeats: Int { min(FolderRepeats(folder)?.count ?? 1, FolderRepeats.most) }

  /// From a folder's name, which says what its pictures teach as kohya's trainers have it: how often each comes, the word, and what
  /// it starts from. `10_my-toy red toy` holds pictures of `<my-toy>`, which starts from "red toy"; the first and the last part may
  /// be missing.
  ///
  /// - Returns: nil where the name holds no word.
  static func named(_ folder: String) -> (concept: TaughtFolder, initializer: String?)? {
    let words = (FolderRepeats(folder)?.rest ?? folder).split(whereSeparator: \.isWhitespace)
    guard let first = words.first else { return nil }
    let word = first.hasPrefix("<") && first.hasSuffix(">") ? String(first) : "<\(first)>"
    return (
      TaughtFolder(folder: folder, word: word),
      words.count > 1 ? words.dropFirst().joined(separator: " ") : nil
    )
  }

  /// The concepts in a folder of folders, in the order of their names; hidden ones are passed over.
  ///
  /// - Parameter warn: told what else is passed over.
  /// - Throws: `UserError(.noInput)` where there is no such folder or none in it, `.usage` where two have one word, or a name says that
  ///   its pictures come no times or too often.
  public static func found(
    in url: URL, warn: (String) -> Void = { _ in }
  ) throws(UserError) -> [(concept: TaughtFolder, initializer: String?)] {
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: url.path) else {
      throw UserError(.noInput, at: .file(url), "no folder of concepts that can be read", remedy: "check --concepts")
    }
    var passedOver: [(name: String, reason: String)] = []
    var found: [(concept: TaughtFolder, initializer: String?)] = []
    for name in names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) where !name.hasPrefix(".") {
      var isFolder: ObjCBool = false
      let path = url.appendingPathComponent(name).path
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
        passedOver.append((name, "no folder of a concept's pictures"))
        continue
      }
      guard let named = named(name) else {
        passedOver.append((name, "the folder's name holds no word"))
        continue
      }
      if let problem = FolderRepeats(name)?.problem {
        throw UserError(.usage, at: .file(url.appendingPathComponent(name)), problem, remedy: "rename the folder")
      }
      if let other = found.first(where: { $0.concept.word == named.concept.word }) {
        throw UserError(
          .usage, at: .file(url),
          "the folders '\(other.concept.folder)' and '\(name)' both teach \(named.concept.word)",
          remedy: "rename one, or bring their pictures together")
      }
      found.append(named)
    }
    Concept.passedOver(passedOver).forEach(warn)
    guard !found.isEmpty else {
      throw UserError(
        .noInput, at: .file(url), "no folder in it", remedy: "make one a word, such as 'my-toy toy', with its pictures")
    }
    return found
  }
}

extension TrainingSettings {
  /// Takes several concepts in, each with its word: the first becomes the settings' own.
  ///
  /// - Parameter fallback: what words start from whose folder does not say.
  /// - Throws: `UserError(.usage)` where a folder's name holds no word.
  public mutating func teach(
    _ concepts: [(concept: TaughtFolder, initializer: String?)], startingFrom fallback: String? = nil
  ) throws(UserError) {
    guard let first = concepts.first else { return }
    let vectors = placeholder.vectors
    func word(_ concept: TaughtFolder, _ initializer: String?) throws(UserError) -> Word {
      Word(try Placeholder(concept.word, vectors: vectors), initializer: initializer ?? fallback ?? "")
    }
    let own = try word(first.concept, first.initializer)
    (placeholder, initializer) = (own.placeholder, own.initializer)
    var others: [Word] = []
    for (concept, initializer) in concepts.dropFirst() { others.append(try word(concept, initializer)) }
    otherWords = others + otherWords.filter { $0.role == .negative }
    pictureSet.concepts = concepts.map(\.concept)
  }
}
