import Foundation
import TestSupport
import Tensors
import Testing

@testable import ModelFiles

/// Files as `torch.save` makes them. That PyTorch itself takes them, Tools/reference/embedding_files.py shows.
@Suite struct TorchWritingTests {
  private let tensor = HostTensor([2, 3], [1, -2, 3.5, 0, 1e-30, 65_504])

  @Test func whatIsWrittenIsRead() throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("toy.pt")
      let value = TorchValue.dictionary([
        ("a", .dictionary([("*", .tensor(tensor))])), ("b", .tensor(tensor.reshaped([6]))), ("name", .text("tøy")),
        ("step", .integer(1 << 40)), ("less", .integer(-5)), ("nothing", .none), ("empty", .dictionary([])),
      ])
      try TorchFile.encode(value, name: "toy").write(to: url)
      let file = try TorchFile(url)
      guard case .tensor(let first)? = file.value["a"]?["*"], case .tensor(let second)? = file.value["b"] else {
        Issue.record("the tensors are not there")
        return
      }
      #expect(try file.tensor(first) == tensor && file.tensor(second) == tensor.reshaped([6]))
      var texts: [String: String] = [:]
      file.value.walk { name, value in
        switch value {
        case .text(let text): texts[name] = text
        case .integer(let number): texts[name] = "\(number)"
        default: break
        }
      }
      #expect(texts == ["name": "tøy", "step": "\(1 << 40)", "less": "-5"])
      if case .none? = file.value["nothing"] {} else { Issue.record("None is not read") }
    }
  }

  /// The web UI's loader refuses a file with any other member (its `allowed_zip_names_re`).
  @Test func nothingElseIsInTheFile() throws {
    let data = try TorchFile.encode(.dictionary([("<a>", .tensor(tensor))]), name: "learned_embeds")
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("x")
      try data.write(to: url)
      let archive = try ZipArchive(InputFile(url))
      #expect(
        Set(archive.members.keys) == ["learned_embeds/data.pkl", "learned_embeds/data/0", "learned_embeds/version"])
      let storage = try #require(archive.members["learned_embeds/data/0"])
      #expect(data[storage] == tensor.values.withUnsafeBytes { Data($0) })
    }
  }
}
