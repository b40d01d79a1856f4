import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// A word's training from pictures to file: loads what is needed, when it is needed, and leaves a `RunFolder` behind.
public final class TrainingRun<B: Backend> {
  /// How a run came to its end.
  public enum Outcome: Sendable { case finished, stopped }

  public let settings: TrainingSettings
  public let folder: RunFolder
  /// The concept's pictures as they were brought to squares.
  public let concept: Concept
  /// What the run computes on.
  public let backend: B
  /// The step that the run starts after: 0, or that of the checkpoint it goes on from.
  public let firstStep: Int

  /// The width of a row.
  public let width: Int

  private let trainer: Trainer<B>
  private let batches: ConceptBatches
  private let fingerprint: Fingerprint
  private let metrics: MetricsFile
  private var report: TrainingReport

  /// Sets the run up: reads the pictures, caches their latents, drops the VAE and loads what trains.
  ///
  /// - Parameters:
  ///   - model: where the model comes from.
  ///   - pictures: the folder of the concept's pictures.
  ///   - output: where the results go; made if it is not there.
  ///   - earlier: the folder of the run to go on with, and its newest checkpoint.
  ///   - makeBackend: a backend that stores activations and weights as asked; the VAE is always run in float32.
  ///   - notice: told what a person should know, a line each.
  /// - Throws: `UserError` for what the user can mend, `OperationError` if the device fails.
  public init(
    model: ModelFolder, pictures: URL, settings: TrainingSettings, output: URL,
    resuming earlier: (folder: URL, checkpoint: Checkpoint)? = nil,
    makeBackend: (ElementType) throws -> B, notice: (String) -> Void = { _ in }
  ) throws {
    try settings.validate()
    self.settings = settings
    let modelFiles = try StableDiffusionModel(model)
    let plainTokenizer = try modelFiles.tokenizer()
    let tokenizer = try plainTokenizer.adding(settings.placeholder.tokens)
    let schedule = try modelFiles.noiseSchedule()
    let concept = try Concept(folder: pictures, resolution: settings.resolution, fitting: settings.fitting)
    self.concept = concept
    for file in concept.skipped { notice("passed over \(file)") }
    fingerprint = Fingerprint(
      model: try model.sha256(), pictures: try Self.hashes(concept.files))
    if let checkpoint = earlier?.checkpoint, checkpoint.fingerprint != fingerprint {
      throw UserError(
        .badData,
        "the run can't be gone on with: its \(checkpoint.fingerprint.model == fingerprint.model ? "pictures" : "model") "
          + "changed since the checkpoint was written")
    }
    let initialRows = try modelFiles.tokenRows(settings.initializer, count: settings.placeholder.vectors)
    folder = try RunFolder(output)

    notice("Encoding \(concept.pictures.count) pictures ...")
    let latents = try {
      let float32 = try makeBackend(.float32)
      return try LatentCache(
        concept.pictures, vae: modelFiles.autoencoder(on: float32), backend: float32, withMirrored: settings.flips)
    }()
    batches = ConceptBatches(settings: settings, latents: latents, schedule: schedule) { prompt in
      let encoded = tokenizer.encode(prompt)
      if let cut = encoded.truncated { notice("a prompt is longer than 77 tokens; this is left out: '\(cut)'") }
      return encoded.ids
    }

    notice("Loading the text encoder and the UNet ...")
    let backend = try makeBackend(settings.precision)
    let state = earlier?.checkpoint.state ?? TrainingState(rows: initialRows, precision: settings.precision)
    trainer = try Trainer(
      backend: backend,
      textEncoder: modelFiles.textEncoder(
        on: backend, vocabulary: plainTokenizer.vocabularySize, differentiable: true),
      unet: modelFiles.unet(on: backend, differentiable: true), schedule: schedule, optimizer: settings.optimizer,
      state: state)
    self.backend = backend
    width = state.rows.shape.channels
    firstStep = state.step
    metrics = try MetricsFile(
      folder.metrics, after: state.step, from: earlier.map { $0.folder.appendingPathComponent("metrics.csv") })
    report = TrainingReport(
      settings: settings, model: model.url.path, fingerprint: fingerprint, device: backend.name,
      skippedPictures: concept.skipped)
  }

  /// Trains to the last step, or until `shouldStop` says so; either way leaves a checkpoint, the embedding and the report.
  ///
  /// - Parameters:
  ///   - checkpointEvery: steps from one checkpoint to the next; nil for one at the end alone.
  ///   - observe: told each step once it is done.
  public func run(
    checkpointEvery: Int? = nil, observe: (StepResult) throws -> Void = { _ in }, shouldStop: () -> Bool = { false }
  ) throws -> Outcome {
    let start = ContinuousClock.now
    try report.write(to: folder.report)
    var step = firstStep
    while step < settings.steps, !shouldStop() {
      let result = try trainer.step(
        (0..<settings.accumulation).map { try batches.batch(step: step, microBatch: $0) },
        learningRate: settings.learningRate(at: step))
      step += 1
      try metrics.append(result)
      try observe(result)
      if let checkpointEvery, step % checkpointEvery == 0, step < settings.steps { try checkpoint() }
    }
    try checkpoint()
    try finish(step: step, seconds: start.secondsToNow)
    return step < settings.steps ? .stopped : .finished
  }

  /// The rows as they are now.
  public func embedding() throws -> EmbeddingFile {
    EmbeddingFile(word: settings.placeholder.word, rows: try trainer.state().rows)
  }

  private func checkpoint() throws {
    try Checkpoint(state: trainer.state(), settings: settings, fingerprint: fingerprint).write(in: folder.url)
  }

  private func finish(step: Int, seconds: Double) throws {
    try embedding().write(to: folder.embedding)
    let losses = MetricsFile.read(folder.metrics).map(\.loss)
    if !losses.isEmpty {
      let last = losses.suffix(max(1, losses.count / 10))
      report.finalLoss = last.reduce(0, +) / Double(last.count)
      try AtomicFile.write(LossCurve.png(losses, title: "loss of \(settings.placeholder.word)"), to: folder.lossCurve)
    }
    report.stepsDone = step
    report.seconds = seconds
    report.peakBytes = backend.memory.peakBytes
    try report.write(to: folder.report)
  }

  private static func hashes(_ files: [URL]) throws(UserError) -> [String: String] {
    var hashes: [String: String] = [:]
    for file in files { hashes[file.lastPathComponent] = try FileHash.sha256(of: file) }
    return hashes
  }
}
