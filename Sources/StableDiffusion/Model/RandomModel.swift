import Foundation
import ModelFiles
import Tensors

/// A model of the given sizes with random weights, for measuring. It has no file and no tokenizer.
public struct RandomModel: ModelSource {
  private let configuration: ModelShape
  private let seed: UInt64?

  public init(_ shape: ModelShape, seed: UInt64 = 0) {
    configuration = shape
    self.seed = seed
  }

  /// A model of the given sizes whose weights nobody may read, for dry runs.
  public init(blank shape: ModelShape) {
    configuration = shape
    seed = nil
  }

  public var name: String { configuration.name }
  public var location: URL? { nil }
  public var warn: @Sendable (String) -> Void { { _ in } }

  public var schedulerFile: URL? { nil }

  public func textEncoder(_ component: Component) -> CLIPTextConfiguration {
    configuration.textComponents.first { $0.component == component }?.configuration ?? configuration.textEncoder
  }
  public func unet() -> UNetConfiguration { configuration.unet }
  public func autoencoder() -> AutoencoderConfiguration { configuration.autoencoder }
  public func scheduler() -> SchedulerConfiguration { configuration.scheduler }

  public func weights(_ component: Component) -> any WeightSource {
    guard let seed else { return BlankWeights() }
    return RandomWeights(seed: seed)
  }

  public func tokenizer(_ component: Component) throws(UserError) -> CLIPTokenizer {
    throw UserError(.usage, "a model of random weights has no tokenizer", remedy: "name a model")
  }

  public func sha256() -> [String: String] { [:] }
}
