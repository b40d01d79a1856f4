import Operators
import Tensors

/// Latents to pictures: residual blocks, level after level, the coarsest first, each but the last doubling height and
/// width.
struct PictureDecoder<B: Backend> {
  private let backend: B
  private let convIn: ConvolutionLayer<B>
  private let middle: AutoencoderMiddle<B>
  private let levels: [Level]
  private let normOut: GroupNormLayer<B>
  private let convOut: ConvolutionLayer<B>

  private struct Level {
    let resnets: [ResNet<B>]
    let upsample: ConvolutionLayer<B>?
  }

  init(_ scope: WeightScope<B>, _ configuration: AutoencoderConfiguration) throws {
    let groups = configuration.groups
    let last = configuration.levels.count - 1
    var channels = configuration.levels[last]
    backend = scope.backend
    convIn = try ConvolutionLayer(scope["conv_in"], configuration.latentChannels, channels)
    middle = try AutoencoderMiddle(scope["mid_block"], configuration, channels)
    var levels: [Level] = []
    for (index, outputs) in configuration.levels.reversed().enumerated() {
      let place = scope["up_blocks.\(index)"]
      var resnets: [ResNet<B>] = []
      for layer in 0...configuration.layers {
        resnets.append(
          try ResNet(place["resnets.\(layer)"], channels, outputs, groups: groups, epsilon: 1e-6))
        channels = outputs
      }
      levels.append(
        Level(
          resnets: resnets,
          upsample: index == last
            ? nil : try ConvolutionLayer(place["upsamplers.0.conv"], channels, channels)))
    }
    self.levels = levels
    normOut = try GroupNormLayer(scope["conv_norm_out"], channels, groups: groups, epsilon: 1e-6, activation: .silu)
    convOut = try ConvolutionLayer(scope["conv_out"], channels, configuration.pictureChannels)
  }

  func forward(_ latents: Tensor<B.Storage>) throws(OperationError) -> Tensor<B.Storage> {
    var h = try convIn.forward(latents)
    h = try middle.forward(h)
    for level in levels {
      for resnet in level.resnets { h = try resnet.forward(h).y }
      if let upsample = level.upsample { h = try upsample.forward(backend.forward(Upsample(), h)) }
    }
    return try convOut.forward(normOut.forward(h).y)
  }
}
