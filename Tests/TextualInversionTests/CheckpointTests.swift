import Foundation
import ModelFiles
import TestSupport
import Tensors
import Testing

@testable import TextualInversion

@Suite struct CheckpointTests {
  private static let word = ParameterName(.textEncoder, "<toy>")

  /// A run's of one word; of two encoders and two words, whose rows are of other sizes, where asked for.
  private func checkpoint(step: Int = 7, isLarge: Bool = false) throws -> Checkpoint {
    func tensor(_ step: UInt32, _ shape: Shape) -> HostTensor {
      HostTensor(shape, Philox(seed: 3, stream: 1, step: step).normals(shape.count))
    }
    var scale = LossScale(for: .float16)
    scale.succeeded()
    var settings = TrainingSettings(
      placeholder: try Placeholder("<toy>", vectors: 2), initializer: "toy", kind: .object, resolution: 64,
      precision: .float16, method: .plain)
    var shapes: [ParameterName: Shape] = [Self.word: [2, 8]]
    if isLarge {
      settings.otherWords = [Word(try Placeholder("a.b", vectors: 1), initializer: "thing", role: .private)]
      shapes[ParameterName(.textEncoder2, "<toy>")] = [2, 12]
      shapes[ParameterName(.textEncoder, "a.b")] = [1, 8]
      shapes[ParameterName(.textEncoder2, "a.b")] = [1, 12]
    }
    var parameters: Parameters = [:]
    var optimizer: [ParameterName: OptimizerState] = [:]
    for (index, name) in shapes.keys.sorted().enumerated() {
      let (shape, index) = (shapes[name] ?? [], UInt32(3 * index))
      parameters[name] = tensor(index, shape)
      optimizer[name] = OptimizerState(
        tensors: ["first_moment": tensor(index + 1, shape), "second_moment": tensor(index + 2, shape)],
        scalars: ["d": 0.1 + Double(index)])
    }
    var state = TrainingState(parameters: parameters, optimizer: optimizer, step: step, lossScale: scale)
    if isLarge {
      // Of every kind of thing that a state can remember.
      state.previous = TrainingSnapshot(
        parameters: parameters.mapValues { HostTensor($0.shape, $0.values.map { 2 * $0 }) },
        optimizer: optimizer.mapValues { OptimizerState(tensors: $0.tensors, scalars: ["d": 7.25]) })
      state.heldOut = HeldOutRecord(
        losses: [HeldOutLoss(step: 0, loss: 0.1), HeldOutLoss(step: 4, loss: 0.0333333)],
        best: parameters.mapValues { HostTensor($0.shape, $0.values.map { 3 * $0 }) },
        last: HeldOutLoss(step: step, loss: 0.07), uninformed: 0.3)
      _ = state.recovery.failed(5)
    }
    return Checkpoint(
      state: state, settings: settings,
      fingerprint: Fingerprint(model: ["unet/x.safetensors": "ab"], pictures: ["1.png": "cd"]), optimizer: "adamw")
  }

  @Test(arguments: [false, true]) func comesBackBitForBit(isLarge: Bool) throws {
    try TemporaryFolder.with { folder in
      let written = try checkpoint(isLarge: isLarge)
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
          == [
            "optimizer.first_moment.rows.text_encoder.<toy>", "optimizer.second_moment.rows.text_encoder.<toy>",
            "rows.text_encoder.<toy>",
          ])
    }
  }

  /// As earlier versions of the program wrote them.
  @Test(arguments: [1, 2]) func earlierVersionsAreRead(version: Int) throws {
    try TemporaryFolder.with { folder in
      let file = folder.appendingPathComponent("a.safetensors")
      let new = try checkpoint()
      try new.write(to: file)
      var metadata = try SafetensorsFile(file).metadata
      metadata["version"] = version == 1 ? nil : "2"
      metadata["optimizer"] = version == 1 ? nil : #"{"name":"adamw","scalars":{}}"#
      let moments = try #require(new.state.optimizer[Self.word]?.tensors)
      try Safetensors.write(
        [(version == 1 ? "rows" : "rows.text_encoder.<toy>", try #require(new.state.parameters[Self.word]))]
          + moments.map { (version == 1 ? $0.key : "optimizer.\($0.key)", $0.value) },
        metadata: metadata, to: file)
      let read = try Checkpoint(file)
      #expect(read.state.parameters == new.state.parameters)
      #expect(read.state.optimizer[Self.word]?.tensors == moments)
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
    ("step", "-3"), ("step", "9223372036854775806"), ("step", "1e308"), ("step", "\"x\""), ("version", "4"),
    ("version", "0"), ("loss_scale", #"{"adapts":true,"goodSteps":-1,"value":65536}"#),
    ("loss_scale", #"{"adapts":true,"goodSteps":0,"value":1e30}"#), ("optimizer", "{}"), ("fingerprint", "[]"),
    ("recovery", #"{"attempts":9,"rateFactor":0.5,"step":3}"#),
    ("recovery", #"{"attempts":1,"rateFactor":0,"step":3}"#),
    ("held_out", #"{"losses":[{"step":2,"loss":0.1},{"step":1,"loss":0.1}]}"#),
    ("held_out", #"{"losses":[{"step":0,"loss":0.1},{"step":8,"loss":0.1}]}"#),
    ("held_out", #"{"losses":[{"step":0,"loss":0.1},{"step":3,"loss":0.1}]}"#),
    ("held_out", #"{"losses":[],"last":{"step":6,"loss":0.1}}"#), ("held_out", "7"),
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
