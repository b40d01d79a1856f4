import Foundation
import ModelFiles
import Tensors

/// Where a run leaves what it makes, and under which names.
public struct RunFolder: Sendable {
  public let url: URL

  /// Makes the folder.
  ///
  /// - Throws: `UserError(.cannotCreate)` where it can't be made or written to.
  public init(_ url: URL) throws(UserError) {
    self.url = url
    try AtomicFile.makeFolder(url)
  }

  /// The learned word, as other tools load it.
  public var embedding: URL { url.appendingPathComponent("learned_embeds.safetensors") }
  /// Every setting, and the hashes of model and pictures.
  public var report: URL { url.appendingPathComponent("training.json") }
  /// One line a step.
  public var metrics: URL { url.appendingPathComponent("metrics.csv") }
  /// The loss curve.
  public var lossCurve: URL { url.appendingPathComponent("loss.png") }
}
