import Foundation
import ModelFiles
import StableDiffusion
import Tensors

/// Which words of a text encoder's vocabulary lay near a taught word in the course of a run. `nearest_words.json` is a list of them, one a
/// word and encoder.
struct NearestWordsHistory: Codable, Sendable, Equatable {
  struct Snapshot: Codable, Sendable, Equatable {
    let step: Int
    /// For each row the nearest pieces, the nearest first.
    let rows: [[NearestWords.Match]]
  }

  let word: String
  let encoder: Component
  /// In the order of their steps.
  let snapshots: [Snapshot]

  init(word: String, encoder: Component, snapshots: [Snapshot]) {
    self.word = word
    self.encoder = encoder
    self.snapshots = snapshots
  }

  /// From a file; an older one names no encoder and has the first one's.
  init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    word = try container.decode(String.self, forKey: .word)
    encoder = try container.decodeIfPresent(Component.self, forKey: .encoder) ?? .textEncoder
    snapshots = try container.decode([Snapshot].self, forKey: .snapshots)
  }

  /// None where there is no such file or it is damaged. An older one holds one history alone.
  static func all(reading url: URL) -> [NearestWordsHistory] {
    guard let data = try? Data(contentsOfInput: url, limit: 64 << 20) else { return [] }
    let decoder = JSONDecoder()
    return (try? decoder.decode([Self].self, from: data)) ?? (try? [decoder.decode(Self.self, from: data)]) ?? []
  }

  static func write(_ histories: [NearestWordsHistory], to url: URL) throws(UserError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do { try AtomicFile.write(encoder.encode(histories), to: url) } catch let error as UserError { throw error } catch {
      throw UserError(.badData, "the nearest words can't be written as JSON: \(error)")
    }
  }
}
