import Foundation
import ModelFiles
import Tensors

extension EmbeddingFile {
  /// Reads the words of a file in any form that `EmbeddingForm` has, or those of all files in a folder. Where a file names no
  /// word, its own name without the ending is it.
  ///
  /// - Parameters:
  ///   - word: what to write in prompts, in place of the file's own word.
  ///   - warn: told, a line each, what a person may not expect, such as a file of a folder that was passed over.
  /// - Throws: `UserError(.noInput)` for a missing file; `.badData` for anything that holds no words, for rows that are no
  ///   numbers and for a word that can't stand in a prompt; `.usage` for a `word` that can't, or that is one for several.
  public static func read(
    _ url: URL, word renamed: String? = nil, warn: (String) -> Void = { _ in }
  ) throws(UserError) -> [EmbeddingFile] {
    if let renamed, !canStandInPrompts(renamed) {
      throw UserError(
        .usage, "\(quoted(renamed)) can't be a word of prompts", remedy: "give one without blanks: '<toy>'")
    }
    var words: [EmbeddingFile] = []
    for contents in try EmbeddingContents.all(at: url, warn: warn) {
      contents.notes.forEach(warn)
      words += contents.words
    }
    if let renamed {
      guard words.count == 1, let word = words.first else {
        throw UserError(
          .usage, at: .file(url), "holds \(words.count) words, which can't all be called \(quoted(renamed))",
          remedy: "write its name without =\(renamed)")
      }
      words = [EmbeddingFile(word: renamed, rows: word.rows, url: word.url)]
    }
    for word in words where !canStandInPrompts(word.word) {
      throw UserError(
        .badData, at: .file(word.url ?? url), "its word, \(quoted(word.word)), can't stand in a prompt",
        remedy: word.renaming)
    }
    return words
  }

  /// How to call the file's word otherwise.
  var renaming: String { "give it another: --embedding '\(url?.path ?? "FILE")=<toy>'" }

  private static func canStandInPrompts(_ word: String) -> Bool {
    !word.isEmpty && word != "*" && !word.contains(where: \.isWhitespace)
  }

  /// Throws `badData` unless the encoders' rows are equally many.
  func checkAgreement() throws(UserError) {
    guard let first = rows[.textEncoder], let second = rows[.textEncoder2] else { return }
    guard first.shape.rows == second.shape.rows else {
      throw UserError(
        .badData,
        "\(quoted(word)) has \(first.shape.rows) rows for the first text encoder and \(second.shape.rows) for the second",
        remedy: "make the file again")
    }
  }
}

extension EmbeddingContents {
  /// The file that a path names, or those in a folder: of one that diffusers or this program left, `learned_embeds` alone; else
  /// every file that holds words.
  package static func all(at url: URL, warn: (String) -> Void) throws(UserError) -> [EmbeddingContents] {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder), isFolder.boolValue else {
      return [try EmbeddingContents(url)]
    }
    for name in ["learned_embeds.safetensors", "learned_embeds.bin"] {
      let file = url.appendingPathComponent(name)
      if file.isThere { return [try EmbeddingContents(file)] }
    }
    let names: [String]
    do { names = try FileManager.default.contentsOfDirectory(atPath: url.path) } catch {
      throw UserError(.noInput, at: .file(url), "can't be read", remedy: "check its permissions")
    }
    var found: [EmbeddingContents] = []
    for name in names.sorted() where !name.hasPrefix(".") {
      let file = url.appendingPathComponent(name)
      guard ["safetensors", "pt", "bin", "png"].contains(file.pathExtension.lowercased()),
        !found.contains(where: { $0.files.map(\.lastPathComponent).contains(name) })
      else { continue }
      do throws(UserError) {
        // A picture beside a word is most often what shows it in the web UIs.
        if file.pathExtension.lowercased() == "png", try EmbeddingTensors(file) == nil { continue }
        found.append(try EmbeddingContents(file))
      } catch { warn("passed over: \(error.message)") }
    }
    guard !found.isEmpty else {
      throw UserError(
        .noInput, at: .file(url), "a folder without learned words", remedy: "name a file, or the folder that it lies in"
      )
    }
    return found
  }
}
