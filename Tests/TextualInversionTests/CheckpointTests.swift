import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

@Suite struct CheckpointTests {
  private func checkpoint(step: Int = 7) throws -> Checkpoint {
    func tensor(_ step: UInt32) -> HostTensor {
      HostTensor([2, 8], Philox(seed: 3, stream: 1, step: step).normals(16))
    }
    var scale = LossScale(for: .float16)
    scale.succeeded()
    return Checkpoint(
      state: TrainingState(
        rows: tensor(0),
        optimizer: OptimizerState(
          tensors: ["first_moment": tensor(1), "second_moment": tensor(2)], scalars: ["d": 0.1]),
        step: step, lossScale: scale),
      settings: TrainingSettings(
        placeholder: try Placeholder("<toy>", vectors: 2), initializer: "toy", kind: .object, resolution: 64,
        precision: .float16, method: .plain),
      fingerprint: Fingerprint(model: ["unet/x.safetensors": "ab"], pictures: ["1.png": "cd"]), optimizer: "adamw")
  }

  @Test func comesBackBitForBit() throws {
    try TemporaryFolder.with { folder in
      let written = try checkpoint()
      let file = folder.appendingPathComponent("a.safetensors")
      try written.write(to: file)
      let read = try Checkpoint(file)
      #expect(read.state == written.state)
      #expect(read.settings == written.settings)
      #expect(read.fingerprint == written.fingerprint)
      #expect(read.optimizer == written.optimizer)
    }
  }

  /// The tensors' names are what other programs go by.
  @Test func tensorsAreNamedByWordAndRule() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("a.safetensors")
      try checkpoint().write(to: file)
      #expect(
        try SafetensorsFile(file).names
          == ["optimizer.first_moment", "optimizer.second_moment", "rows.text_encoder.<toy>"])
    }
  }

  /// As the first version of the program wrote it.
  @Test func versionOneIsRead() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("a.safetensors")
      let new = try checkpoint()
      try new.write(to: file)
      var metadata = try SafetensorsFile(file).metadata
      metadata["version"] = nil
      metadata["optimizer"] = nil
      try Safetensors.write(
        [("rows", new.state.rows)] + new.state.optimizer.tensors.map { ($0.key, $0.value) }, metadata: metadata,
        to: file)
      let read = try Checkpoint(file)
      #expect(read.state.rows == new.state.rows)
      #expect(read.state.optimizer.tensors == new.state.optimizer.tensors)
      #expect(read.state.step == 7)
      #expect(read.optimizer == "adamw")
    }
  }

  /// Every cut of a checkpoint is refused as bad data; none traps.
  @Test func aTruncatedOneIsRefused() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("a.safetensors")
      try checkpoint().write(to: file)
      let data = try Data(contentsOf: file)
      for length in stride(from: 0, to: data.count, by: 13) {
        try data.prefix(length).write(to: file)
        let error = #expect(throws: UserError.self) { try Checkpoint(file) }
        #expect(error?.kind == .badData)
      }
    }
  }

  /// A checkpoint's own numbers come from outside like everything else.
  @Test(arguments: [
    ("step", "-3"), ("step", "9223372036854775806"), ("step", "1e308"), ("step", "\"x\""), ("version", "3"),
    ("version", "0"), ("loss_scale", #"{"adapts":true,"goodSteps":-1,"value":65536}"#),
    ("loss_scale", #"{"adapts":true,"goodSteps":0,"value":1e30}"#), ("optimizer", "{}"), ("fingerprint", "[]"),
  ])
  func numbersThatNoRunHasAreRefused(_ field: String, _ value: String) throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("a.safetensors")
      try checkpoint().write(to: file)
      let written = try SafetensorsFile(file)
      var metadata = written.metadata
      #expect(metadata.updateValue(value, forKey: field) != nil)
      try Safetensors.write(try written.names.map { ($0, try written.tensor($0)) }, metadata: metadata, to: file)
      let error = #expect(throws: UserError.self) { try Checkpoint(file) }
      #expect(error?.kind == .badData)
      #expect(error?.message.contains(field) == true)
    }
  }

  @Test func settingsThatNoRunHasAreRefused() throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("a.safetensors")
      try checkpoint().write(to: file)
      let written = try SafetensorsFile(file)
      let settings = try #require(written.metadata["settings"])
      for (old, new) in [
        ("\"vectors\":2", "\"vectors\":4611686018427387904"), ("\"vectors\":2", "\"vectors\":0"),
        ("\"steps\":2000", "\"steps\":-1"), ("\"batchSize\":1", "\"batchSize\":4611686018427387904"),
        ("\"resolution\":64", "\"resolution\":9223372036854775800"),
      ] {
        var metadata = written.metadata
        metadata["settings"] = settings.replacingOccurrences(of: old, with: new)
        #expect(metadata["settings"] != settings)
        try Safetensors.write(try written.names.map { ($0, try written.tensor($0)) }, metadata: metadata, to: file)
        let error = #expect(throws: UserError.self) { try Checkpoint(file) }
        #expect(error?.kind == .badData)
      }
    }
  }

  @Test(arguments: [Float.nan, .infinity]) func rowsThatAreNoNumbersAreRefused(_ value: Float) throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("a.safetensors")
      try checkpoint().write(to: file)
      let written = try SafetensorsFile(file)
      for broken in written.names {
        let tensors = try written.names.map { name in
          var tensor = try written.tensor(name)
          if name == broken { tensor.values[3] = value }
          return (name, tensor)
        }
        let other = folder.appendingPathComponent("b.safetensors")
        try Safetensors.write(tensors, metadata: written.metadata, to: other)
        let error = #expect(throws: UserError.self) { try Checkpoint(other) }
        #expect(error?.kind == .badData)
      }
    }
  }
}
