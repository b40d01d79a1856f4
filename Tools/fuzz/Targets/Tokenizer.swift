import Foundation
import StableDiffusion
import Tensors

extension FuzzTarget {
  /// A tokenizer's folder, its files one after the other, each behind a line `@@ NAME`; what stands before the first is a text to
  /// be cut into tokens.
  static let tokenizer = FuzzTarget("tokenizer") { bytes in
    let names = [
      "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
      "added_tokens.json",
    ]
    for name in names { unlink(name) }
    var text = Data()
    var name: String?
    var content = Data()
    func close() { if let name { _ = file(name, content) } else { text = content } }
    for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
      if let next = names.first(where: { line.elementsEqual("@@ \($0)".utf8) }) {
        close()
        (name, content) = (next, Data())
      } else {
        content.append(line)
        content.append(0x0A)
      }
    }
    close()
    let tokenizer = try CLIPTokenizer(folder: URL(fileURLWithPath: "."))
    let words = String(decoding: text, as: UTF8.self)
    let encoded = tokenizer.encode(words)
    precondition(encoded.ids.count == tokenizer.promptLength, "a prompt of \(encoded.ids.count) tokens")
    precondition(encoded.ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularySize }, "no token of the vocabulary")
    let longer = try tokenizer.adding(String(words.prefix(8)), vectors: 2)
    _ = longer.encode(words, length: 20)
  }
}
