import Foundation
import TextualInversion

extension FuzzTarget {
  /// A picture that holds a word, in a text of its file or in its pixels.
  static let card = FuzzTarget("card") { bytes in
    _ = try EmbeddingFile.read(file("card.png", bytes))
  }
}
