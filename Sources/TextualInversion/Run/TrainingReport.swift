import Foundation
import ModelFiles
import Tensors

/// `training.json`: what a run was and what came of it.
public struct TrainingReport: Sendable, Codable {
  public var version = 1
  public var settings: TrainingSettings
  /// The prompts' templates as they were used.
  public var templates: [String]
  /// The model as it was named.
  public var model: String
  public var fingerprint: Fingerprint
  /// What computed it.
  public var device: String
  /// Pictures that were passed over, with the reason.
  public var skippedPictures: [String]
  /// Steps done so far, and the mean loss of the last tenth of them.
  public var stepsDone = 0
  public var finalLoss: Double?
  /// Most device memory used at a time, in bytes.
  public var peakBytes = 0
  /// Wall-clock time of this program's part of the run.
  public var seconds = 0.0

  public init(
    settings: TrainingSettings, model: String, fingerprint: Fingerprint, device: String, skippedPictures: [String]
  ) {
    self.settings = settings
    self.model = model
    self.fingerprint = fingerprint
    self.device = device
    self.skippedPictures = skippedPictures
    templates = settings.templates ?? settings.kind.templates
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
