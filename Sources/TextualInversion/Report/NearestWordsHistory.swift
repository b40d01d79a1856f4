import Foundation
import ModelFiles
import Tensors

/// `nearest_words.json`: which words of the first text encoder's vocabulary lay near the taught word in the course of a run.
struct NearestWordsHistory: Codable, Sendable, Equatable {
  struct Snapshot: Codable, Sendable, Equatable {
    let step: Int
    /// For each row the nearest pieces, the nearest first.
    let rows: [[NearestWords.Match]]
  }

  let word: String
  /// In the order of their steps.
  var snapshots: [Snapshot]

  init(word: String, snapshots: [Snapshot] = []) {
    self.word = word
    self.snapshots = snapshots
  }

  /// nil where there is no such file or it is damaged.
  init?(reading url: URL) {
    guard let data = try? Data(contentsOfInput: url, limit: 4 << 20),
      let history = try? JSONDecoder().decode(Self.self, from: data)
    else { return nil }
    self = history
  }

  func write(to url: URL) throws(UserError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { try AtomicFile.write(encoder.encode(self), to: url) } catch let error as UserError { throw error } catch {
      throw UserError(.badData, "the nearest words can't be written as JSON: \(error)")
    }
  }
}
