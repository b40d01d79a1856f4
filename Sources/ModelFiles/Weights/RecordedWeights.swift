import Foundation
import Synchronization
import Tensors

/// Passes another source's weights on and remembers what was asked for, so that the very same weights can be written
/// to a file.
///
/// With `RandomWeights` behind it this makes a model folder of any size that other programs load:
///
///     let recorded = RecordedWeights(RandomWeights(seed: 1))
///     let unet = try UNet(backend, configuration, weights: recorded, ...)
///     try recorded.write(to: folder.appendingPathComponent("diffusion_pytorch_model.safetensors"))
public final class RecordedWeights: WeightSource {
  private let source: any WeightSource
  /// What was taken, in that order.
  public private(set) var taken: [(name: String, shape: Shape)] = []

  public init(_ source: any WeightSource) { self.source = source }

  public func contains(_ name: String) -> Bool { source.contains(name) }

  public func finish(passingOver paths: [String]) throws(UserError) { try source.finish(passingOver: paths) }

  public func take(_ name: String, _ shape: Shape) throws(UserError) -> HostTensor {
    let tensor = try source.take(name, shape)
    if !taken.contains(where: { $0.name == name }) { taken.append((name, shape)) }
    return tensor
  }

  /// Writes every tensor that was taken, asking the source for each again; only one is in memory at a time.
  public func write(to url: URL, type: ElementType = .float32) throws(UserError) {
    try Safetensors.write(shapes: taken, type: type, to: url) { (name, shape) throws(UserError) in
      try source.take(name, shape)
    }
  }
}
