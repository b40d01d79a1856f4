import Foundation
import ModelFiles
import Operators
import StableDiffusion
import Tensors

/// A word's training from pictures to file: checks what was asked for, loads what is needed when it is needed, and leaves a
/// `RunFolder` behind.
public final class TrainingRun<B: Backend> {
  /// How a run that did not fail came to its end.
  public enum Outcome: Sendable { case finished, stopped }

  /// As they were asked for, and with the words that were found where none were given.
  public var settings: TrainingSettings { context.settings }
  public let folder: RunFolder
  /// The concept's pictures as they were brought to their sizes.
  public let concept: Concept
  /// The step that the run starts after: 0, or that of the checkpoint it goes on from.
  public var firstStep: Int { context.firstStep }
  private let modelSource: any ModelSource
  private let model: StableDiffusionModel
  private let layout: RowLayout
  private let vocabularies: [Component: Int]
  /// The model's own, one an encoder.
  private let plainTokenizers: [(component: Component, tokenizer: CLIPTokenizer)]
  /// The text encoders' token tables, until those are loaded.
  private var tables: [Component: HostTensor]
  private let prompts: TrainingPrompts
  private let optimizer: any Optimizer
  private let checkpoints: CheckpointPolicy
  private let largestRowNorm: [Component: Float]
  private let makeBackend: (ElementType) throws -> B
  private let latentFolder: URL?
  private let memoryBudget: Int?
  private var plan: MemoryPlan?
  /// What was found, and what will be done with it.
  public let preflight: Preflight
  private let context: RunContext
  private let policy: ReportPolicy
  private let report: ReportObserver
  private var findsWords = true
  /// Whether the model was loaded once already.
  private var isStarted = false
  /// What was noticed before anybody could be told.
  public let warnings: [String]

  /// A row this many times longer than a word of the vocabulary has diverged. Plain training makes rows some fifty times
  /// longer.
  private static var divergence: Float { 1000 }

  /// Sets the run up: checks everything that can be checked before work begins, takes the folder and writes the report.
  ///
  /// - Parameters:
  ///   - pictures: the folder of the concept's pictures.
  ///   - masks: a folder of masks of the pictures' names, white where they are learned.
  ///   - folder: where the results go, or the folder of the run to go on with.
  ///   - optimizer: the rule of update; the settings' own unless another is given.
  ///   - source: how model, pictures and device were named, for going on with the run later.
  ///   - policy: what is drawn and kept of the run to look at.
  ///   - latentFolder: where the pictures' latents are kept for the next run; nil for nowhere.
  ///   - memoryBudget: bytes of the device that a step may take; by default nine tenths of all.
  ///   - makeBackend: a backend that stores activations and weights as asked. The VAE has float32 unless its
  ///     configuration says that less will do.
  /// - Throws: `UserError` for what the user can mend.
  public init(
    model modelSource: any ModelSource, pictures: URL, masks: URL? = nil, settings: TrainingSettings, folder: RunFolder,
    optimizer: (any Optimizer)? = nil, checkpoints: CheckpointPolicy = CheckpointPolicy(), source: RunSource? = nil,
    report policy: ReportPolicy = ReportPolicy(), latentFolder: URL? = nil, memoryBudget: Int? = nil,
    makeBackend: @escaping (ElementType) throws -> B
  ) throws {
    var settings = settings
    if settings.startsFromFoundWords, let earlier = folder.earlier?.settings {
      (settings.initializer, settings.initialEmbedding) = (earlier.initializer, earlier.initialEmbedding)
      settings.foundWords = earlier.foundWords
    }
    try settings.validate()
    try checkpoints.validate()
    try policy.previews.validate()
    self.policy = policy
    self.folder = folder
    self.modelSource = modelSource
    self.checkpoints = checkpoints
    self.makeBackend = makeBackend
    self.latentFolder = latentFolder
    self.memoryBudget = memoryBudget
    self.optimizer = optimizer ?? settings.rule
    report = ReportObserver(
      TrainingReport(
        settings: settings,
        source: source
          ?? RunSource(
            model: modelSource.location?.path ?? modelSource.name, pictures: pictures.path, masks: masks?.path),
        checkpoints: checkpoints, policy: policy, goingOnWith: folder.earlier?.report))
    var warnings: [String] = []
    if let earlier = folder.earlier { warnings += try earlier.check(settings, self.optimizer) }

    try Concept.refuseOverlap(pictures: pictures, output: folder.url)

    // A new run is one that can be gone on with from here on, whatever ends it.
    let isFresh = try folder.begin(report.report)
    do {
      model = try StableDiffusionModel(modelSource)
      if policy.previews.isOn { try policy.previews.check(model) }
      let encoders = model.shape.textComponents.map(\.component)
      let words = settings.words.map(\.placeholder)
      layout = RowLayout(words: words, encoders: encoders, trained: try settings.encoders.among(encoders))
      var plain: [CLIPTokenizer] = []
      var tokenizers: [CLIPTokenizer] = []
      var vocabularies: [Component: Int] = [:]
      for encoder in encoders {
        var tokenizer = try model.tokenizer(encoder)
        plain.append(tokenizer)
        vocabularies[encoder] = tokenizer.vocabularySize
        for word in words { tokenizer = try tokenizer.adding(word.word, vectors: word.vectors) }
        tokenizers.append(tokenizer)
      }
      self.vocabularies = vocabularies
      let checkpoint = folder.earlier?.checkpoint
      // What was started from is in the checkpoint; the file may be gone.
      let embedding = checkpoint == nil ? try settings.initialEmbedding?.word() : nil
      plainTokenizers = Array(zip(encoders, plain))
      let initial = try InitialRows(
        settings.startingWords, embedding: embedding, encoders: plainTokenizers, model: model, optimizer: self.optimizer
      )
      tables = initial.tables
      if checkpoint == nil { warnings += settings.warnings + initial.warnings }
      var largest = initial.vocabularyNorm
      for (name, rows) in initial.parameters {
        largest[name.encoder] = max(largest[name.encoder] ?? 0, rows.rowNorms.max() ?? 0)
      }
      largestRowNorm = largest.mapValues { Self.divergence * $0 }
      concept = try Concept(settings, pictures: pictures, masks: masks, for: model.shape)
      warnings += concept.warnings
      let names = concept.files.map(\.lastPathComponent)
      prompts = try TrainingPrompts(
        settings,
        sentences: TrainingSentences(
          settings, pictures: names, captions: concept.captions, words: concept.words), pictures: names,
        tokenizers: tokenizers, warn: { warnings.append($0) })
      let tokenizer = try model.tokenizer()
      preflight = Preflight(settings, concept, prompts, tokenizer: tokenizer)
      if checkpoint == nil { warnings += PreflightWarnings.all(settings, concept, tokenizer: tokenizer) }
      report.report.skippedPictures = concept.skipped
      let state =
        checkpoint?.state
        ?? TrainingState(
          parameters: initial.parameters, optimizer: self.optimizer, precision: settings.precision)
      if let name = layout.names.first(where: { state.parameters[$0]?.shape != initial.parameters[$0]?.shape }) {
        func said(_ parameters: Parameters) -> String { parameters[name].map { "\($0.shape)" } ?? "none" }
        throw UserError(
          .badData,
          "the checkpoint's \(name) are \(said(state.parameters)), this model's \(said(initial.parameters)): another model"
        )
      }
      context = RunContext(
        settings: settings, folder: folder, state: state, initial: initial.parameters, optimizer: self.optimizer.name)
      let noise = try model.noiseSchedule()
      try settings.loss.check(noise)
      context.model = (model.shape.name, noise.predictionType == .velocity)
      if let earlier = checkpoint?.fingerprint {
        let fingerprint = try Fingerprint(modelSource, concept)
        let changes = fingerprint.changes(since: earlier)
        guard changes.isEmpty else {
          throw UserError(.badData, "the run can't be gone on with: \(changes.joined(separator: ", "))")
        }
        context.fingerprint = fingerprint
      }
    } catch {
      if isFresh { folder.abandon() }
      throw error
    }
    self.warnings = warnings
    if folder.earlier == nil { try folder.clear() }
    try report.report.write(to: folder.report)
  }

  /// Trains to the last step, or until an observer asks to stop. However it ends, checkpoint, word, metrics and report of
  /// the last step that succeeded are left behind.
  ///
  /// - Parameters:
  ///   - observers: told every event, after those that keep the run's files.
  ///   - findsWords: whether words to start from are looked for where none were given. Else the rows start from the vocabulary's mean,
  ///     which is enough to see what a step costs.
  /// - Throws: what ended the run, if it failed.
  public func run(_ observers: [any RunObserver] = [], findsWords: Bool = true) throws -> Outcome {
    self.findsWords = findsWords
    context.observers =
      [
        MetricsObserver(folder, after: firstStep), CheckpointObserver(checkpoints, after: context.state),
        PreviewObserver(policy.previews), NearestWordsObserver(model), report,
      ] + (policy.tensorBoard ? [TensorBoardObserver()] : [])
      + [PageObserver(zip(concept.names, concept.pictures).map { ($0, $1.picture) })] + observers
    defer { context.drawing = nil }
    let outcome: Outcome
    do {
      for warning in warnings { try context.emit(.warned(warning)) }
      if firstStep < lastStep { try train() }
      outcome = context.state.step >= lastStep || context.isEndRequested ? .finished : .stopped
      if outcome == .finished { try conclude() }
    } catch {
      let error = (error as? NumericalTrouble)?.giving() ?? error
      // The first error is the one that tells; what saving meets with afterwards is most often its consequence.
      try? context.emit(.ended(.failed(error)))
      throw error
    }
    try context.emit(.ended(outcome == .finished ? .finished : .stopped))
    return outcome
  }

  /// Trains with a closure that is told every event.
  public func run(_ observe: @escaping (RunEvent, RunContext) throws -> Void) throws -> Outcome {
    try run([ClosureObserver(observe)])
  }

  /// The step that the run ends behind, as far as is known by now.
  public var lastStep: Int { context.lastStep }
  /// What the held-out loss says of the word, of a run that is at its end.
  public var conclusion: HeldOutConclusion? { context.conclusion }

  /// Steps done so far, an earlier part of the run included.
  public var stepsDone: Int { context.state.step }
  /// Most device memory used at a time, in bytes.
  public var peakBytes: Int { context.peakBytes }

  /// The words that the run is for as they are now, the settings' own first.
  public var embeddings: [EmbeddingFile] { context.embeddings }

  /// Says what a person may not expect of the word as it was measured at the end.
  private func conclude() throws {
    let record = context.state.heldOut
    if let last = record.last, let result = record.result, result != last {
      try context.emit(
        .warned(
          "the word is that of step \(result.step), whose held-out loss \(result.loss) is below the last step's, \(last.loss)"
        ))
    }
    if let conclusion, conclusion.isTrouble { try context.emit(.warned(conclusion.line)) }
  }

  /// What a step will take of the device's memory, and what is run again for that.
  ///
  /// - Throws: `usage` where a step does not fit.
  public func memoryPlan() throws -> MemoryPlan { try plan ?? memoryPlan(on: makeBackend(settings.precision)) }

  private func memoryPlan(on backend: B) throws -> MemoryPlan {
    if let plan { return plan }
    let made = try MemoryPlan(model, settings.stepSize, trained: layout.trained, on: backend, budget: memoryBudget)
    plan = made
    return made
  }

  /// How often a run makes a device that was lost ready again.
  private static var mostDeviceLosses: Int { 2 }

  /// Takes every step, on a new backend where one is lost: what is learned is in the program's own memory.
  private func train() throws {
    if context.fingerprint == nil { context.fingerprint = try Fingerprint(modelSource, concept) }
    var losses = 0
    var latents: LatentCache?
    while true {
      do { return try train(&latents) } catch let error as OperationError
        where error.isOfTheDevice && losses < Self.mostDeviceLosses
      {
        losses += 1
        // The last that holds on to the old backend.
        context.drawing = nil
        try context.emit(
          .warned("\(error); the device is made ready again, and training goes on after step \(context.state.step)"))
      }
    }
  }

  /// Encodes the pictures, drops the VAE, loads what trains, and takes step after step.
  private func train(_ cache: inout LatentCache?) throws {
    let schedule = try model.noiseSchedule()
    let backend = try makeBackend(settings.precision)
    let plan = try memoryPlan(on: backend)
    cache = try cache ?? encodedPictures()
    guard let latents = cache else { return }
    func source(_ settings: TrainingSettings) -> ConceptBatches {
      ConceptBatches(
        settings: settings, latents: latents, repeats: concept.repeats, schedule: schedule, prompts: prompts)
    }
    let batches = source(settings)
    let heldOut = try HeldOutBatches(settings, steps: schedule.steps, source: source)

    defer { context.peakBytes = max(context.peakBytes, backend.memory.peakBytes) }
    let textEncoders = try model.textEncoders(
      on: backend, vocabularies: vocabularies, tables: tables, trained: layout.trained, pooling: settings.pooling)
    tables = [:]
    let unet = try model.unet(on: backend, gradients: textEncoders.gradientNames)
    context.drawing = TrainedModelDrawing(
      model, textEncoders: textEncoders, unet: unet, on: backend, makeBackend: makeBackend)
    let trainer = Trainer(
      backend: backend, textEncoders: textEncoders, unet: unet, schedule: schedule, layout: layout,
      optimizer: optimizer, state: context.state, loss: settings.loss, largestRowNorm: largestRowNorm,
      keeping: plan.keeping)
    if findsWords, context.state.step == 0, settings.findsInitializer {
      guard try findWords(trainer, batches: WordSearch<B>.batches(settings, schedule: schedule, source: source)) else {
        return
      }
      trainer.state = context.state
    }
    if !isStarted { try context.emit(.started(device: backend.name)) }
    isStarted = true
    if settings.heldOut.isOn, context.state.step == 0, context.state.heldOut.losses.isEmpty {
      let measured = try measure(trainer, by: heldOut)
      // Of a squared error that counts every time and place alike.
      if settings.loss == LossSettings() { trainer.state.heldOut.uninformed = heldOut.uninformedLoss(schedule) }
      context.state = trainer.state
      try context.emit(.evaluated(measured))
    }
    while !context.isOver {
      do { try step(trainer, batches, measuredBy: heldOut) } catch let trouble as NumericalTrouble {
        let isTriedAgain = context.state.rollBack(from: trouble)
        try context.emit(.rolledBack(to: context.state.step))
        guard isTriedAgain else {
          throw trouble.giving(", \(Recovery.mostAttempts) times in a row with the rate halved each time")
        }
        try context.emit(
          .warned(
            "\(trouble): back to step \(context.state.step), and on at \(context.state.recovery.rateFactor) of the learning rate"
          ))
      }
    }
    // A run that is cut short by the clock has not been measured where it ends.
    if context.isEndRequested, settings.heldOut.isOn, context.state.heldOut.last == nil {
      trainer.state = context.state
      let measured = try measure(trainer, by: heldOut)
      context.state = trainer.state
      try context.emit(.evaluated(measured))
    }
  }

  /// One step from the run's state, and what is told of it. Until it is done whole, and measured where that is due, it is as if it
  /// had not begun.
  private func step(_ trainer: Trainer<B>, _ batches: ConceptBatches, measuredBy heldOut: HeldOutBatches) throws {
    trainer.state = context.state
    trainer.state.heldOut.last = nil
    let step = trainer.state.step
    let result = try trainer.step(
      (0..<settings.accumulation).map { try batches.batch(step: step, microBatch: $0) },
      learningRate: settings.learningRate(at: step, trainer.state.heldOut) * trainer.state.recovery.rateFactor)
    let isMeasured = settings.isHeldOutDue(result.step) || settings.heldOut.isOn && result.step == context.lastStep
    let measured = isMeasured ? try measure(trainer, by: heldOut) : nil
    context.state = trainer.state
    if let measured { try context.emit(.evaluated(measured)) }
    try context.emit(.stepped(result))
  }

  /// Takes the held-out loss of the rows as they stand.
  private func measure(_ trainer: Trainer<B>, by heldOut: HeldOutBatches) throws -> HeldOutLoss {
    let measured = HeldOutLoss(step: trainer.state.step, loss: try heldOut.loss(by: trainer))
    guard measured.loss.isFinite else { throw NumericalTrouble(subject: .heldOutLoss, step: measured.step) }
    if settings.isHeldOutDue(measured.step) {
      trainer.state.heldOut.add(measured, rows: trainer.state.parameters)
      trainer.state.previous = nil
    }
    let isLast = measured.step == settings.lastStep(trainer.state.heldOut) || context.isEndRequested
    trainer.state.heldOut.last = isLast ? measured : nil
    return measured
  }

  /// Starts from the model's own words for the pictures; false where an observer asked to end before they were found.
  private func findWords(_ trainer: Trainer<B>, batches: [Batch]) throws -> Bool {
    let vocabulary = try WordVocabulary(model, tokenizers: plainTokenizers)
    let search = WordSearch(trainer, word: settings.placeholder, batches: batches, vocabulary: vocabulary)
    let words = try search.run { words in
      try context.emit(.searched(words))
      return !context.isOver
    }
    guard let words else { return false }
    context.settings.foundWords = words.text
    let initial = try InitialRows(
      settings.startingWords, encoders: plainTokenizers, model: model, optimizer: optimizer)
    context.initialParameters = initial.parameters
    context.state = TrainingState(
      parameters: initial.parameters, optimizer: optimizer, precision: settings.precision)
    try context.emit(.found(words))
    return true
  }

  /// The pictures' latents, of the files where they are kept, else by the VAE; nil where an observer asked to end before they were made.
  private func encodedPictures() throws -> LatentCache? {
    let backend = try makeBackend(model.shape.autoencoder.precision(beside: settings.precision))
    let files = LatentFiles(
      latentFolder, vae: context.fingerprint?.vae ?? [:], device: "\(backend.name) \(backend.precision.rawValue)")
    defer { files.trim() }
    return try LatentCache(
      concept, by: model, on: backend, files: files, withMirrored: settings.flips,
      warn: { try context.emit(.warned($0)) }
    ) { done in
      try context.emit(.encoded(pictures: done, of: concept.pictures.count))
      return !context.isOver
    }
  }
}
