import Foundation
import ModelFiles
import Synchronization
import Tensors
import TestSupport
import Testing

@Suite struct WeightsTests {
  private func weights(
    _ names: [String], in folder: URL, naming: ComponentNaming = .plain
  ) throws -> FileWeights {
    let url = folder.appendingPathComponent("w.safetensors")
    try Safetensors.write(names.map { ($0, HostTensor([2], [1, 2])) }, to: url)
    return try FileWeights(TensorView([SafetensorsFile(url)]), naming: naming)
  }

  @Test func namesWhatIsMissingMisshapenOrUnknown() throws {
    try TemporaryFolder.with { folder in
      let weights = try weights(["a.weight", "b.weight", "c.weight"], in: folder)
      #expect(try weights.take("a.weight", [2]).values == [1, 2])
      #expect(weights.contains("b.weight") && !weights.contains("d.weight"))
      #expect(userError { _ = try weights.take("d.weight", [2]) }?.message.contains("'d.weight'") == true)
      let misshapen = userError { _ = try weights.take("b.weight", [1, 2]) }
      #expect(misshapen?.kind == .badData)
      #expect(misshapen?.message.contains("'b.weight': is [2], but the configuration asks for [1, 2]") == true)
      let unknown = userError { try weights.finish() }
      #expect(unknown?.kind == .badData)
      #expect(unknown?.message.contains("'b.weight', 'c.weight'") == true)
      _ = try weights.take("b.weight", [2])
      _ = try weights.take("c.weight", [2])
      try weights.finish()
    }
  }

  /// One element anywhere is enough, in every type: pieces of the reader end between them.
  @Test(arguments: [Float.nan, -.nan, .infinity, -.infinity], [ElementType.float32, .float16, .bfloat16])
  func namesATensorThatHoldsWhatIsNoNumber(value: Float, type: ElementType) throws {
    try TemporaryFolder.with { folder in
      let url = folder.appendingPathComponent("w.safetensors")
      let count = (1 << 17) + 5
      for index in [0, (1 << 17) - 1, 1 << 17, count - 1] {
        var values = [Float](repeating: 65504, count: count)
        values[index] = value
        try Safetensors.write(
          [("sound", HostTensor([2], [1, 2])), ("a.weight", HostTensor([count], values))], type: type, to: url)
        let weights = try FileWeights(TensorView([SafetensorsFile(url)]))
        _ = try weights.take("sound", [2])
        let error = userError { _ = try weights.take("a.weight", [count]) }
        #expect(error?.kind == .badData && error?.places == [.file(url), .tensor("a.weight")])
      }
    }
  }

  @Test(arguments: ["", "text_model."]) func knowsBothSpellingsOfATextEncoder(prefix: String) throws {
    try TemporaryFolder.with { folder in
      let file = [prefix + "final_layer_norm.weight", prefix + "embeddings.position_ids"]
      let weights = try weights(file, in: folder, naming: .textEncoder)
      #expect(weights.contains("text_model.final_layer_norm.weight"))
      _ = try weights.take("text_model.final_layer_norm.weight", [2])
      try weights.finish()
    }
  }

  /// What a file of a whole CLIP model holds beside its text encoder, by transformers' `CLIPModel`; the rest is an error.
  @Test func passesOverTheRestOfAClipModelWithALine() throws {
    try TemporaryFolder.with { folder in
      let lines = Mutex<[String]>([])
      func finish(_ more: [String]) throws {
        let names = ["text_model.final_layer_norm.weight", "text_model.embeddings.position_ids"] + more
        let url = folder.appendingPathComponent("w.safetensors")
        try Safetensors.write(names.map { ($0, HostTensor([2], [1, 2])) }, to: url)
        let weights = try FileWeights(TensorView([SafetensorsFile(url)]), naming: .textEncoder) { line in
          lines.withLock { $0.append(line) }
        }
        _ = try weights.take("text_model.final_layer_norm.weight", [2])
        try weights.finish()
      }
      try finish([])
      #expect(lines.withLock { $0.isEmpty })
      try finish(["logit_scale", "text_projection.weight", "visual_projection.weight", "vision_model.a.weight"])
      #expect(lines.withLock { $0.count == 1 && $0[0].contains("'logit_scale'") && $0[0].contains("and 1 more") })
      let unknown = userError { try finish(["logit_scale", "text_model.adapter.weight"]) }
      #expect(unknown?.kind == .badData && unknown?.message.contains("'text_model.adapter.weight'") == true)
      #expect(unknown?.message.contains("logit_scale") == false)
    }
  }

  @Test func knowsBothSpellingsOfAnAutoencoder() throws {
    let block = "encoder.mid_block.attentions.0."
    let old = ["query.weight", "key.weight", "value.bias", "proj_attn.bias", "group_norm.weight"].map { block + $0 }
    let new = ["to_q.weight", "to_k.weight", "to_v.bias", "to_out.0.bias", "group_norm.weight"].map { block + $0 }
    try TemporaryFolder.with { folder in
      for stored in [old, new] {
        let url = folder.appendingPathComponent("w.safetensors")
        let tensors = stored.map { ($0, HostTensor(repeating: 1, $0.hasSuffix(".weight") ? [2, 2] : [2])) }
        try Safetensors.write(tensors, to: url)
        let weights = try FileWeights(TensorView([SafetensorsFile(url)]), naming: .autoencoder)
        for name in new { _ = try weights.take(name, name.hasSuffix(".weight") ? [2, 2] : [2]) }
        try weights.finish()
      }
      #expect(
        userError { _ = try weights([old[2], new[2]], in: folder, naming: .autoencoder) }?.kind == .badData)
    }
  }

  @Test func randomWeightsDependOnNameAndSeedAlone() throws {
    let a = try RandomWeights(seed: 1).take("a.weight", [40, 50])
    #expect(try RandomWeights(seed: 1).take("a.weight", [40, 50]) == a)
    #expect(try RandomWeights(seed: 2).take("a.weight", [40, 50]) != a)
    #expect(try RandomWeights(seed: 1).take("b.weight", [40, 50]) != a)
  }

  /// Across the seams of the pieces that are filled side by side.
  @Test func randomWeightsAreSplitMix64() throws {
    let hash = "x".utf8.reduce(UInt64(14_695_981_039_346_656_037)) { ($0 ^ UInt64($1)) &* 1_099_511_628_211 }
    let words = Philox(seed: 9 ^ hash, stream: 0x5745_4947).block(0)
    var state = UInt64(words[0]) << 32 | UInt64(words[1])
    func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
    let values = try RandomWeights(seed: 9).take("x", [70_001, 1]).values
    for pair in 0..<35_000 {
      let word = next()
      for (half, bits) in [word >> 8 & 0xFF_FFFF, word >> 40].enumerated() {
        let expected = (Double(bits) * 0x1p-23 - 1) * 3.0.squareRoot()
        #expect(abs(Double(values[2 * pair + half]) - expected) < 1e-6)
      }
    }
  }

  @Test func randomWeightsHaveTheSpreadTheyPromise() throws {
    let source = RandomWeights(seed: 3)
    func moments(_ name: String, _ shape: Shape) throws -> (mean: Double, deviation: Double) {
      let values = try source.take(name, shape).values.map(Double.init)
      let mean = values.reduce(0, +) / Double(values.count)
      return (mean, (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)).squareRoot())
    }
    // 57600 values: the mean of n is within 4 deviations / sqrt(n).
    let convolution = try moments("conv.weight", [80, 80, 3, 3])
    #expect(abs(convolution.deviation * 720.0.squareRoot() - 1) < 0.02)
    #expect(abs(convolution.mean) < 4 * convolution.deviation / 240)
    #expect(abs(try moments("token_embedding.weight", [500, 64]).deviation - 0.02) < 0.001)
    let scale = try source.take("norm.weight", [1001]).values
    #expect(scale.allSatisfy { abs($0 - 1) <= 0.1 } && Set(scale).count > 900)
    let bias = try source.take("norm.bias", [1001]).values
    #expect(bias.allSatisfy { abs($0) <= 0.02 } && Set(bias).count > 900)
    #expect(try source.take("nothing.weight", [0, 4]).values.isEmpty)
  }

  @Test func recordedWeightsComeBackFromTheirFile() throws {
    try TemporaryFolder.with { folder in
      let recorded = RecordedWeights(RandomWeights(seed: 5))
      let shapes: [(String, Shape)] = [("b.weight", [3, 4]), ("a.bias", [7]), ("c.weight", [2, 3, 3, 3])]
      for (name, shape) in shapes { _ = try recorded.take(name, shape) }
      _ = try recorded.take("a.bias", [7])
      let url = folder.appendingPathComponent("w.safetensors")
      try recorded.write(to: url)
      let file = try FileWeights(TensorView([SafetensorsFile(url)]))
      for (name, shape) in shapes {
        #expect(try file.take(name, shape) == RandomWeights(seed: 5).take(name, shape))
      }
      try file.finish()
    }
  }
}
