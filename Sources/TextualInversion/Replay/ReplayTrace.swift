import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// A run's random draws, and what another implementation made of them, from one safetensors file.
///
/// With `accumulation` a, `a` successive entries of the file are one optimizer step's micro-batches.
public struct ReplayTrace: BatchSource {
  /// What another implementation made of one optimizer step.
  public struct Expectation: Sendable {
    /// Mean over the micro-batches.
    public let loss: Double
    /// The gradients that the optimizer got, `[n, width]` an encoder.
    public let gradients: [Component: HostTensor]
    /// The rows behind the step, `[n, width]` an encoder.
    public let rows: [Component: HostTensor]
  }

  /// The rows before the first step, `[n, width]` an encoder.
  public let initialRows: [Component: HostTensor]
  public let learningRate: Float
  public let optimizer: AdamW
  /// Micro-batches a step.
  public let accumulation: Int
  /// Optimizer steps.
  public let steps: Int
  /// One a step; empty in a trace that is only to be run.
  public let expected: [Expectation]

  /// Where the model's second text encoder takes its summary of the prompt, if the trace says.
  public let pooling: TextPooling?

  private let latents: HostTensor  // [entries, batch, height, width, channels]
  private let noise: HostTensor
  private let timesteps: [Int64]
  private let ids: [[Int64]]  // an encoder
  private let cuts: [PictureCut]
  private let batchSize: Int
  private let length: Int

  /// A text encoder that a trace is to fit.
  public struct Encoder: Sendable {
    public let component: Component
    /// Of its embedding rows.
    public let width: Int
    /// Its tokenizer's size; placeholder rows have the ids from there on.
    public let vocabulary: Int

    public init(_ component: Component, width: Int, vocabulary: Int) {
      self.component = component
      self.width = width
      self.vocabulary = vocabulary
    }

    /// What the names of its tensors end in.
    fileprivate var suffix: String { component == .textEncoder2 ? "_2" : "" }
  }

  /// Reads a trace and holds it against the model it is to run on.
  ///
  /// - Parameters:
  ///   - encoders: the model's text encoders.
  ///   - channels: of its latents.
  ///   - length: tokens a prompt.
  ///   - pixels: the side of a latent in the picture.
  /// - Throws: `UserError(.noInput)` for a missing file, `.badData` if it is no trace or does not fit.
  public init(
    _ file: URL, encoders: [Encoder], channels: Int, length: Int, schedule: NoiseSchedule, pixels: Int = 8
  ) throws(UserError) {
    let tensors = try SafetensorsFile(file)
    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(UserError) {
      if !condition { throw UserError(.badData, at: .file(file), message()) }
    }
    let latents = try tensors.tensor("latents")
    let noise = try tensors.tensor("noise")
    let (timeShape, times) = try tensors.integers("timesteps")
    try require(
      latents.shape.rank == 5 && latents.shape.count > 0 && latents.shape[2] == channels,
      "latents is \(latents.shape); the model takes [steps, batch, \(channels), height, width]")
    let (entries, batch) = (latents.shape[0], latents.shape[1])
    try require(noise.shape == latents.shape, "noise is \(noise.shape), latents \(latents.shape)")
    try require(timeShape == [entries, batch], "timesteps is \(timeShape), not [\(entries), \(batch)]")
    try require(
      times.allSatisfy { $0 >= 0 && $0 < schedule.steps }, "a timestep is not below the model's \(schedule.steps)")
    let hasSecond = encoders.contains { $0.component == .textEncoder2 }
    try require(
      hasSecond || !tensors.contains("input_ids_2"), "is for a model of two text encoders, this one has one")

    var allIDs: [[Int64]] = []
    var initialRows: [Component: HostTensor] = [:]
    for encoder in encoders {
      let (idsName, rowsName) = ("input_ids\(encoder.suffix)", "initial_embedding\(encoder.suffix)")
      let (idShape, ids) = try tensors.integers(idsName)
      let rows = try tensors.tensor(rowsName)
      try require(
        idShape.rank == 3 && idShape[0] == entries && idShape[1] == batch && idShape[2] == length,
        "\(idsName) is \(idShape), not [\(entries), \(batch), \(length)]")
      try require(
        rows.shape.rank == 2 && rows.shape[0] > 0 && rows.shape[1] == encoder.width,
        "\(rowsName) is \(rows.shape); the model's rows are \(encoder.width) wide")
      try require(
        ids.allSatisfy { $0 >= 0 && $0 < encoder.vocabulary + rows.shape[0] },
        "of \(idsName) one is not below the tokenizer's \(encoder.vocabulary) and \(rows.shape[0]) placeholder rows")
      allIDs.append(ids)
      initialRows[encoder.component] = rows
    }
    try require(
      Set(initialRows.values.map { $0.shape[0] }).count == 1, "the encoders' initial embeddings have other counts")

    func setting(_ name: String, _ fallback: Float) throws(UserError) -> Float {
      guard let text = tensors.metadata[name] else { return fallback }
      guard let value = Float(text), value.isFinite else {
        throw UserError(.badData, at: [.file(file), .key(name)], "is '\(text)', not a number")
      }
      return value
    }
    learningRate = try setting("learning_rate", 5e-4)
    optimizer = AdamW(
      beta1: try setting("adam_beta1", 0.9), beta2: try setting("adam_beta2", 0.999),
      epsilon: try setting("adam_epsilon", 1e-8), weightDecay: try setting("weight_decay", 1e-2))
    let accumulation = try setting("accumulation", 1)
    try require(
      accumulation >= 1 && accumulation <= Float(entries) && accumulation == accumulation.rounded()
        && entries % Int(accumulation) == 0,
      "accumulation is \(accumulation); \(entries) entries do not divide so")
    self.accumulation = Int(accumulation)
    steps = entries / Int(accumulation)
    let pooling = tensors.metadata["pooling"]
    self.pooling = pooling.flatMap(TextPooling.init)
    try require(pooling == nil || self.pooling != nil, "pooling is '\(pooling ?? "")', which is none")

    cuts = try Self.cuts(tensors, latents.shape, pixels: pixels)
    expected = try Self.expectations(tensors, encoders, initialRows, entries: entries, accumulation: self.accumulation)
    self.latents = latents.transposed([0, 1, 3, 4, 2])
    self.noise = noise.transposed([0, 1, 3, 4, 2])
    timesteps = times
    self.initialRows = initialRows
    ids = allIDs
    batchSize = batch
    self.length = length
  }

  /// How the pictures were cut: `time_ids` `[entries, batch, 6]` where the trace has them, else as pictures that are learned whole.
  private static func cuts(_ tensors: SafetensorsFile, _ latents: Shape, pixels: Int) throws(UserError) -> [PictureCut]
  {
    let count = latents[0] * latents[1]
    let whole = PictureCut(height: latents[3] * pixels, width: latents[4] * pixels)
    guard tensors.contains("time_ids") else { return Array(repeating: whole, count: count) }
    let numbers = try tensors.tensor("time_ids")
    guard numbers.shape == [latents[0], latents[1], 6],
      numbers.values.allSatisfy({ abs($0) < 0x1p24 && $0 == $0.rounded() })
    else {
      throw UserError(
        .badData, at: [.file(tensors.url), .tensor("time_ids")],
        "is \(numbers.shape), not [\(latents[0]), \(latents[1]), 6] whole numbers")
    }
    return (0..<count).map { PictureCut(numbers.values[$0 * 6..<($0 + 1) * 6].map { Int($0) }) ?? whole }
  }

  /// What the trace expects of each step; nothing in a trace that is only to be run.
  private static func expectations(
    _ tensors: SafetensorsFile, _ encoders: [Encoder], _ initial: [Component: HostTensor], entries: Int,
    accumulation: Int
  ) throws(UserError) -> [Expectation] {
    func invalid(_ problem: String) -> UserError { UserError(.badData, at: .file(tensors.url), problem) }
    let names = ["losses"] + encoders.flatMap { ["gradients\($0.suffix)", "embeddings\($0.suffix)"] }
    let found = names.filter(tensors.contains)
    if found.isEmpty { return [] }
    guard found.count == names.count else {
      throw invalid("of \(names.joined(separator: ", ")) only \(found) are there")
    }
    let losses = try tensors.tensor("losses")
    guard losses.shape == [entries] else { throw invalid("losses is \(losses.shape), not [\(entries)]") }
    var all: [(component: Component, shape: Shape, gradients: HostTensor, embeddings: HostTensor)] = []
    for encoder in encoders {
      guard let shape = initial[encoder.component]?.shape else { continue }
      let gradients = try tensors.tensor("gradients\(encoder.suffix)")
      let embeddings = try tensors.tensor("embeddings\(encoder.suffix)")
      let needed = Shape([entries] + shape.dimensions)
      guard gradients.shape == needed, embeddings.shape == needed else {
        throw invalid(
          "gradients\(encoder.suffix) \(gradients.shape) and embeddings\(encoder.suffix) \(embeddings.shape) do not fit "
            + "\(entries) steps of \(shape)")
      }
      all.append((encoder.component, shape, gradients, embeddings))
    }
    return (0..<entries / accumulation).map { step in
      // A step's entry is that of its last micro-batch.
      let last = (step + 1) * accumulation - 1
      func entry(_ tensor: HostTensor, _ shape: Shape) -> HostTensor {
        HostTensor(shape, Array(tensor.values[last * shape.count..<(last + 1) * shape.count]))
      }
      var gradients: [Component: HostTensor] = [:]
      var rows: [Component: HostTensor] = [:]
      for encoder in all {
        gradients[encoder.component] = entry(encoder.gradients, encoder.shape)
        rows[encoder.component] = entry(encoder.embeddings, encoder.shape)
      }
      let loss = losses.values[step * accumulation...last].reduce(0) { $0 + Double($1) } / Double(accumulation)
      return Expectation(loss: loss, gradients: gradients, rows: rows)
    }
  }

  /// Every draw comes from the file.
  public func batch(step: Int, microBatch: Int) throws -> Batch {
    guard (0..<steps).contains(step), (0..<accumulation).contains(microBatch) else {
      throw UserError(.usage, "the trace has no step \(step) with a batch \(microBatch)")
    }
    let entry = step * accumulation + microBatch
    let size = latents.shape.count / latents.shape[0]
    let shape = Shape(Array(latents.shape.dimensions.dropFirst()))
    let tokens = batchSize * length
    return Batch(
      latents: HostTensor(shape, Array(latents.values[entry * size..<(entry + 1) * size])),
      noise: HostTensor(shape, Array(noise.values[entry * size..<(entry + 1) * size])),
      timesteps: timesteps[entry * batchSize..<(entry + 1) * batchSize].map { Int($0) },
      tokens: ids.map { ids in
        TokenBatch(
          ids: ids[entry * tokens..<(entry + 1) * tokens].map { Int32($0) }, batch: batchSize, length: length)
      },
      cuts: Array(cuts[entry * batchSize..<(entry + 1) * batchSize]))
  }
}
