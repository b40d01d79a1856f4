import Foundation
import ModelFiles
import StableDiffusion
import Tensors

/// `training.json`: what a run was asked for and what came of it. It is written before the first step, and going on with a run
/// reads it again.
public struct TrainingReport: Sendable, Codable {
  /// Where a run stands.
  public enum State: String, Sendable, Codable { case running, finished, stopped, failed }

  public var version = 2
  public var settings: TrainingSettings
  /// The prompts' templates as they were used.
  public var templates: [String]
  /// The model as it was named.
  public var model: String
  /// What of it was read otherwise than its own files say.
  public var reading: ModelReading?
  /// The pictures' folder as it was named; absent in version 1, as is what follows it up to the fingerprint.
  public var pictures: String?
  /// The masks' folder, where there is one.
  public var masks: String?
  /// The device as it was named.
  public var deviceChoice: String?
  public var checkpointEvery: Int?
  public var keepCheckpoints: Int?
  /// Absent where no previews were asked for.
  public var previews: PreviewPolicy?
  public var tensorBoard: Bool?
  public var state: State?
  /// What ended a run that failed.
  public var error: String?
  /// What was said to differ from what a person may expect.
  public var warnings: [String]?
  /// Absent until model and pictures have been read.
  public var fingerprint: Fingerprint?
  /// What computed it.
  public var device: String?
  /// Pictures that were passed over, with the reason.
  public var skippedPictures: [String] = []
  /// Steps done so far, and the mean loss of the last tenth of them.
  public var stepsDone = 0
  public var finalLoss: Double?
  /// The initializer's own held-out loss; absent where none is taken.
  public var initialHeldOutLoss: Float?
  /// The step whose rows were left; absent before the end, and in reports of older programs.
  public var resultStep: Int?
  /// What the held-out loss says of the word; absent until the run is at its end.
  public var heldOut: HeldOutConclusion?
  /// Most device memory used at a time, in bytes.
  public var peakBytes = 0
  /// Wall-clock time, without that between a stop and going on.
  public var seconds = 0.0

  /// - Parameter earlier: the report of the run that is gone on with, whose results stand until there are newer ones.
  public init(
    settings: TrainingSettings, source: RunSource, checkpoints: CheckpointPolicy,
    policy: ReportPolicy = ReportPolicy(), goingOnWith earlier: TrainingReport? = nil
  ) {
    if let earlier {
      fingerprint = earlier.fingerprint
      device = earlier.device
      stepsDone = earlier.stepsDone
      finalLoss = earlier.finalLoss
      initialHeldOutLoss = earlier.initialHeldOutLoss
      peakBytes = earlier.peakBytes
      seconds = earlier.seconds
    }
    self.settings = settings
    templates = settings.templates ?? settings.kind.templates
    model = source.model
    reading = source.reading.isEmpty ? nil : source.reading
    pictures = source.pictures
    masks = source.masks
    deviceChoice = source.device
    checkpointEvery = checkpoints.every
    keepCheckpoints = checkpoints.keep
    previews = policy.previews == PreviewPolicy() ? nil : policy.previews
    tensorBoard = policy.tensorBoard ? true : nil
    state = .running
  }

  /// Reads a run's report.
  ///
  /// - Throws: `UserError(.noInput)` where there is none, `.badData` where it is none.
  public init(_ file: URL) throws(UserError) {
    let data = try Data(contentsOfInput: file, limit: 16 << 20)
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
      self = try decoder.decode(TrainingReport.self, from: data)
      try settings.validate()
    } catch let error as UserError {
      throw UserError(.badData, at: .file(file), error.message)
    } catch {
      throw UserError(.badData, at: .file(file), "is no report of a run")
    }
  }

  public func write(to url: URL) throws(UserError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    let data: Data
    do { data = try encoder.encode(self) } catch {
      throw UserError(.badData, "the report can't be written as JSON: \(error)")
    }
    try AtomicFile.write(data, to: url)
  }
}

/// Where a run's parts come from, as a person named them: what going on with the run looks up again.
public struct RunSource: Sendable, Hashable {
  public var model: String
  public var pictures: String
  public var masks: String?
  public var device: String?
  public var reading: ModelReading

  public init(
    model: String, pictures: String, masks: String? = nil, device: String? = nil, reading: ModelReading = ModelReading()
  ) {
    self.masks = masks
    self.reading = reading
    self.model = model
    self.pictures = pictures
    self.device = device
  }
}

/// When a run writes its state, and how much of it stays.
public struct CheckpointPolicy: Sendable, Hashable {
  /// Steps from one checkpoint to the next; nil for one at the end alone.
  public var every: Int?
  /// How many of the newest are kept.
  public var keep: Int

  public init(every: Int? = 500, keep: Int = 3) {
    self.every = every
    self.keep = keep
  }

  /// Throws `UserError(.usage)` for a number out of range.
  public func validate() throws(UserError) {
    if let every, every < 1 { throw UserError(.usage, "--checkpoint-every must be at least 1, not \(every)") }
    guard keep >= 1 else { throw UserError(.usage, "--keep-checkpoints must be at least 1, not \(keep)") }
  }
}

/// What is drawn and kept of a run to look at; its numbers do not depend on it.
public struct ReportPolicy: Sendable, Hashable {
  public var previews: PreviewPolicy
  /// Whether event files for TensorBoard are kept.
  public var tensorBoard: Bool

  public init(previews: PreviewPolicy = PreviewPolicy(), tensorBoard: Bool = false) {
    self.previews = previews
    self.tensorBoard = tensorBoard
  }

  /// That of an earlier run.
  public init(_ earlier: TrainingReport?) {
    self.init(previews: earlier?.previews ?? PreviewPolicy(), tensorBoard: earlier?.tensorBoard ?? false)
  }
}
