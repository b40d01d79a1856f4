import Foundation
import TestSupport
import Tensors
import Testing

@testable import ModelFiles

/// Files that `torch.save` wrote, and pickles that want to run something: Tools/reference/torch_files.py.
@Suite struct TorchFileTests {
  private func open(_ name: String) throws -> TorchFile { try TorchFile(Fixtures.url("torch/\(name)")) }

  /// A tensor is, bit for bit, what PyTorch says it is in 32-bit floats.
  private func expectTensor(
    _ value: PickleValue?, of file: TorchFile, _ name: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    guard case .tensor(let tensor)? = value else {
      Issue.record("\(name) is no tensor: \(String(describing: value))", sourceLocation: sourceLocation)
      return
    }
    let expected = try SafetensorsFile(Fixtures.url("torch/expected.safetensors")).tensor(name)
    let actual = try file.tensor(tensor)
    #expect(actual.shape == expected.shape, "\(name)", sourceLocation: sourceLocation)
    #expect(actual.values == expected.values, "\(name)", sourceLocation: sourceLocation)
  }

  @Test(arguments: ["state.pt", "state-legacy.pt"]) func stateIsReadBitForBit(_ name: String) throws {
    let file = try open(name)
    for key in ["f32", "f16", "bf16", "f64", "transposed", "slice", "scalar", "empty", "cube"] {
      try expectTensor(file.value[key], of: file, "state/\(key)")
    }
  }

  @Test func embeddingsAreRead() throws {
    let webUI = try open("webui.pt")
    try expectTensor(webUI.value["string_to_param"]?["*"], of: webUI, "webui/*")
    guard case .text("toy")? = webUI.value["name"], case .integer(500)? = webUI.value["step"] else {
      Issue.record("name and step are not read")
      return
    }
    let wide = try open("zip64.pt")
    try expectTensor(wide.value["string_to_param"]?["*"], of: wide, "zip64/*")
    let first = try open("first.pt")
    try expectTensor(first.value["string_to_param"]?["*"], of: first, "first/*")
    let diffusers = try open("learned_embeds.bin")
    try expectTensor(diffusers.value["<toy>"], of: diffusers, "learned_embeds/<toy>")
  }

  @Test(arguments: [
    ("hostile-system.pt", "posix.system"), ("hostile-eval.pt", "eval"), ("hostile-stack-global.pt", "posix.system"),
    ("hostile-getattr.pt", "getattr"), ("bomb-nested.pt", "too deep"), ("bomb-shared.pt", "too deep"),
    ("bomb-doubling.pt", "too large"), ("bomb-cycle.pt", "too deep"), ("bomb-size.pt", "too early"),
    ("bomb-long.pt", "opcode 139"), ("bomb-frame.pt", "too early"), ("bomb-tuple.pt", "too deep"),
    ("bomb-reduce.pt", "too deep"), ("bomb-build.pt", "too deep"), ("bomb-marks.pt", "has not put"),
    ("hostile-getattr-4.pt", "builtins.getattr"), ("hostile-load.pt", "torch.storage._load_from_bytes"),
    ("hostile-numpy.pt", "_reconstruct"), ("hostile-inst.pt", "opcode 105"), ("hostile-object.pt", "opcode 111"),
    ("hostile-extension.pt", "opcode 130"), ("hostile-name.pt", "os??[31m.system"),
    ("false-offset.pt", "larger than its storage"), ("false-far.pt", "larger than its storage"),
    ("false-negative.pt", "impossible size"), ("false-negative-stride.pt", "impossible size"),
    ("false-stride.pt", "impossible size"), ("false-product.pt", "impossible size"),
    ("false-repeated.pt", "larger than its storage"), ("false-wide.pt", "impossible size"),
    ("false-axes.pt", "impossible size"), ("false-deflated.pt", "is compressed"), ("false-twice.pt", "is there twice"),
    ("false-overlap.pt", "overlap"), ("false-large.pt", "ends behind the file"), ("false-place.pt", "lies outside"),
    ("false-count.pt", "does not end as one"), ("false-table.pt", "does not end as one"),
    ("false-table-place.pt", "does not end as one"), ("false-wide-table.pt", "does not end as one"),
    ("false-wide-numbers.pt", "does not end as one"), ("hostile-new.pt", "os.system"),
    ("hostile-new-4.pt", "os.system"), ("hostile-memo.pt", "os.system"), ("hostile-reference.pt", "no storage"),
    ("hostile-state.pt", "os.system"), ("bomb-memo.pt", "has not kept"), ("bomb-text.pt", "too early"),
    ("bomb-bytes.pt", "too early"), ("bomb-fetch.pt", "too deep"), ("false-wide-member.pt", "ends behind the file"),
    ("hostile-legacy-machine.pt", "os.system"), ("hostile-legacy.pt", "os.system"),
    ("hostile-legacy-keys.pt", "os.system"), ("false-legacy-count.pt", "ends too early"),
    ("false-legacy-end.pt", "ends too early"), ("false-legacy-keys.pt", "ends too early"),
  ])
  func whatIsNoDataIsRefused(_ name: String, _ mentions: String) throws {
    let error = try #require(userError { _ = try open(name) })
    #expect(error.kind == .badData)
    #expect("\(error)".contains(mentions), "\(error)")
    #expect(error.places == [.file(Fixtures.url("torch/\(name)"))])
  }

  /// Every cut is refused, or the tensors of what is left; none traps.
  @Test(arguments: ["state.pt", "state-legacy.pt", "webui.pt"]) func cutFilesAreRefused(_ name: String) throws {
    let data = try Data(contentsOf: Fixtures.url("torch/\(name)"))
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent(name)
      for length in stride(from: 0, to: data.count, by: 7) {
        try data.prefix(length).write(to: url)
        let error = try #require(userError { _ = try TorchFile(url) })
        #expect(error.kind == .badData)
      }
    }
  }

  /// Every byte changed in turn: read or refused, and never a trap.
  @Test(arguments: ["webui.pt", "state-legacy.pt"]) func changedBytesDoNotTrap(_ name: String) throws {
    let data = try Data(contentsOf: Fixtures.url("torch/\(name)"))
    let draws = Philox(seed: 17, stream: 4)
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent(name)
      for index in data.indices {
        var changed = data
        changed[index] = UInt8(draws.integer(below: 256, at: index))
        try changed.write(to: url)
        do throws(UserError) {
          let file = try TorchFile(url)
          file.value.forEachTensor { tensor in _ = try? file.tensor(tensor) }
        } catch {
          #expect(error.kind == .badData)
        }
      }
    }
  }
}
