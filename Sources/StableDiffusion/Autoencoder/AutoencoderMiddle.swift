import Operators
import Tensors

/// The autoencoder's middle, in encoder and decoder alike: a residual block, attention where configured, a residual
/// block.
struct AutoencoderMiddle<B: Backend> {
  private let first: ResNet<B>
  private let attention: AutoencoderAttention<B>?
  private let second: ResNet<B>

  init(_ scope: WeightScope<B>, _ configuration: AutoencoderConfiguration, _ channels: Int) throws {
    let groups = configuration.groups
    first = try ResNet(scope["resnets.0"], channels, channels, groups: groups, epsilon: 1e-6)
    attention =
      configuration.attends ? try AutoencoderAttention(scope["attentions.0"], channels, groups: groups) : nil
    second = try ResNet(scope["resnets.1"], channels, channels, groups: groups, epsilon: 1e-6)
  }

  func forward(_ x: Tensor<B.Storage>) throws(OperationError) -> Tensor<B.Storage> {
    var h = try first.forward(x).y
    if let attention { h = try attention.forward(h) }
    return try second.forward(h).y
  }
}
