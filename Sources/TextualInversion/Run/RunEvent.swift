import Foundation
import Images
import ModelFiles
import Tensors

/// What happens in a run, in its order: everything that watches a run is told these and nothing else.
public enum RunEvent: Sendable {
  /// Pictures go through the VAE: so many are done, none at first.
  case encoded(pictures: Int, of: Int)
  /// Words for the pictures are looked for, to start from: those so far.
  case searched(FoundWords)
  /// They are found, and stand in the run's settings.
  case found(FoundWords)
  /// The model is loaded and knows what it starts from; the next event is a step, or the end.
  case started(device: String)
  /// The held-out loss was taken, of the step that is told next; step 0 is the initializer.
  case evaluated(HeldOutLoss)
  /// An optimizer step is done.
  case stepped(StepResult)
  /// Numbers were none: what is told next goes on behind this step.
  case rolledBack(to: Int)
  /// The run's state is on the disk.
  case checkpointed(step: Int, URL)
  /// Pictures are drawn with the word as it is: so many of the samplers' steps are done, none at first.
  case previewing(done: Int, of: Int)
  /// Pictures drawn with the word as it was behind a step are on the disk, one a prompt.
  case previewed(step: Int, [URL])
  /// Something is otherwise than a person expects, in one line.
  case warned(String)
  /// The run is over. Whatever ended it, everybody is told, and what was learned until then is kept.
  case ended(RunEnd)
}

/// How a run came to its end.
public enum RunEnd: Sendable {
  case finished
  /// An observer asked for it.
  case stopped
  /// A loss that is no number, a device that fails, a disk that is full.
  case failed(any Error)
}

/// Something that watches a run: metrics, checkpoints, the report, a line of progress. Each is a file of its own.
public protocol RunObserver: AnyObject {
  /// Told every event, in order. `run` knows the run as it is behind the event, and takes the request to stop.
  ///
  /// - Throws: what ends the run, saving what there is.
  func observe(_ event: RunEvent, of run: RunContext) throws
}

/// A run as its observers see it.
public final class RunContext {
  public internal(set) var settings: TrainingSettings
  public let folder: RunFolder
  /// The step that the run starts after: 0, or that of the checkpoint it goes on from.
  public let firstStep: Int
  /// The state after the last step that succeeded.
  public internal(set) var state: TrainingState
  /// Absent until model and pictures have been read.
  public internal(set) var fingerprint: Fingerprint?
  /// The name of the rule of update.
  public let optimizer: String
  /// Most device memory used at a time so far, in bytes.
  public internal(set) var peakBytes = 0
  /// The model's name, without the folders that it lies in, and whether it predicts v.
  var model: (name: String, predictsVelocity: Bool)?
  /// What is trained as it was before the first step.
  public internal(set) var initialParameters: Parameters
  /// Whether an observer asked the run to stop after the step at hand.
  public private(set) var isStopRequested = false
  /// Whether an observer asked for a checkpoint behind the step at hand; down again once it is written.
  public internal(set) var isCheckpointRequested = false
  /// Whether an observer asked for previews behind the step at hand; down again once they are drawn.
  public internal(set) var isPreviewRequested = false
  /// Draws with the run's own text encoders and UNet; absent before they are loaded, and behind the run.
  var drawing: (any RunDrawing)?
  /// Whether an observer asked the run to be taken as finished behind the step at hand.
  public private(set) var isEndRequested = false
  /// Whether no further step is to be taken, whatever for.
  var isOver: Bool { isStopRequested || isEndRequested || state.step >= lastStep }
  /// The step that the run ends behind, as far as is known by now.
  public var lastStep: Int { settings.lastStep(state.heldOut) }
  /// Whether the run may end before `lastStep`: once its word has settled, which it has not yet.
  public var mayEndEarlier: Bool { settings.heldOut.settling != nil && settings.settledStep(state.heldOut) == nil }
  /// What the held-out loss says of the word, of a run that is at its end.
  public var conclusion: HeldOutConclusion? {
    HeldOutConclusion(
      state.heldOut, settled: settings.settledStep(state.heldOut), isShortWay: settings.isShortWay(of: state.step))
  }

  var observers: [any RunObserver] = []
  /// What was said of files that can't be written.
  private var saidFailures: Set<String> = []

  init(
    settings: TrainingSettings, folder: RunFolder, state: TrainingState, initial: Parameters, optimizer: String
  ) {
    self.settings = settings
    self.folder = folder
    self.state = state
    self.optimizer = optimizer
    initialParameters = initial
    firstStep = state.step
  }

  /// Asks the run to end after the step at hand, as one that can be gone on with.
  public func requestStop() { isStopRequested = true }
  /// Asks for a checkpoint behind the next step.
  public func requestCheckpoint() { isCheckpointRequested = true }
  /// Asks for previews behind the next step.
  public func requestPreview() { isPreviewRequested = true }

  /// Asks the run to end after the step at hand, as one that is finished with what there is; it can be gone on with all the same.
  public func requestEnd() { isEndRequested = true }

  /// The words that the run is for, the settings' own first: as they are now or, behind a run's end, as they were at their best.
  public var embeddings: [EmbeddingFile] { embeddings(of: state.result.parameters) }

  /// Those words with other rows: `initialParameters`, or those of a `StepResult`.
  public func embeddings(of parameters: Parameters) -> [EmbeddingFile] {
    settings.resultingWords.map { EmbeddingFile(word: $0, rows: parameters.rows(of: $0)) }
  }

  /// A picture drawn with the run's own text encoders and UNet: with the taught words as they are now, or as given. The run's
  /// numbers do not change by it.
  ///
  /// - Parameters:
  ///   - warn: told, a line each, where a prompt is cut or odd, and where it holds no taught word.
  ///   - progress: told each step of the sampler; the picture is given up where it returns false.
  /// - Throws: `UserError(.usage)` before the model is loaded and behind the run; `CancellationError` for a picture that was
  ///   given up; what `Generator.picture` throws.
  public func picture(
    _ drawn: GenerationSettings, with words: [EmbeddingFile]? = nil, warn: (String) -> Void = { _ in },
    progress: (Int) -> Bool = { _ in true }
  ) throws -> Picture {
    guard let drawing else { throw UserError(.usage, "a run draws pictures between its first step and its end") }
    defer { peakBytes = max(peakBytes, drawing.peakBytes) }
    return try drawing.picture(drawn, with: words ?? embeddings, warn: warn, progress: progress)
  }

  /// What the decoder's weights take on the device, in bytes; nil before the first picture was drawn.
  public var decoderBytes: Int? { drawing?.decoderBytes }

  /// The widths of a word's rows, first encoder first.
  public var widths: [Int] {
    state.parameters.rows(of: settings.placeholder.word).sorted { $0.key.rawValue < $1.key.rawValue }
      .map(\.value.shape.channels)
  }

  /// Leaves the run's state in a folder; false where there is none to speak of.
  func writeCheckpoint(to folder: RunFolder) throws(UserError) -> Bool {
    guard let fingerprint else { return false }
    try AtomicFile.makeFolder(folder.checkpoints)
    try Checkpoint(state: state, settings: settings, fingerprint: fingerprint, optimizer: optimizer)
      .write(to: folder.checkpointFile(step: state.step))
    return true
  }

  /// Leaves the taught words in a folder.
  func writeWords(to folder: RunFolder) throws(UserError) {
    let provenance = Provenance(
      settings: settings, optimizer: optimizer, steps: state.result.step, fingerprint: fingerprint, model: model?.name,
      predictsVelocity: model?.predictsVelocity)
    try folder.write(embeddings, metadata: provenance.metadata)
  }

  /// Whether a run goes on: a disk that is full in its midst may have room for what comes next.
  private func isBearable(_ error: UserError, at event: RunEvent) -> Bool {
    if case .started = event { return false }
    return state.step > 0 && (error.kind == .cannotCreate || error.kind == .inputOutput)
  }

  /// Does what a run can do without: what is there to be looked at. Where that fails it is said, and the run goes on.
  ///
  /// - Parameter consequence: what is so where it fails.
  /// - Returns: whether it was done.
  @discardableResult
  func attempt(_ consequence: @autoclosure () -> String, _ body: () throws -> Void) throws -> Bool {
    do { try body() } catch {
      try emit(.warned("\(consequence()): \(error)"))
      return false
    }
    return true
  }

  /// Tells every observer. The first that throws ends the round, but for the run's end, which all are told. A file that can't be
  /// written in the midst of a run is said once, and ends nothing.
  public func emit(_ event: RunEvent) throws {
    guard case .ended = event else {
      for observer in observers {
        do { try observer.observe(event, of: self) } catch let error as UserError where isBearable(error, at: event) {
          guard saidFailures.insert(error.message).inserted else { continue }
          try emit(.warned("\(error.message); training goes on, and what is missing is written once it can be"))
        }
      }
      return
    }
    var failure: (any Error)?
    for observer in observers {
      do { try observer.observe(event, of: self) } catch { failure = failure ?? error }
    }
    if let failure { throw failure }
  }
}

/// A closure that watches a run.
final class ClosureObserver: RunObserver {
  private let body: (RunEvent, RunContext) throws -> Void

  init(_ body: @escaping (RunEvent, RunContext) throws -> Void) { self.body = body }

  func observe(_ event: RunEvent, of run: RunContext) throws { try body(event, run) }
}
