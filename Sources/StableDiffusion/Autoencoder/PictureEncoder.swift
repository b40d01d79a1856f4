import Operators
import Tensors

/// Pictures to the moments of their latents: residual blocks, level after level, each but the last halving height and
/// width.
struct PictureEncoder<B: Backend> {
  private let convIn: ConvolutionLayer<B>
  private let levels: [Level]
  private let middle: AutoencoderMiddle<B>
  private let normOut: GroupNormLayer<B>
  private let convOut: ConvolutionLayer<B>

  private struct Level {
    let resnets: [ResNet<B>]
    /// Zeros go below and to the right alone.
    let downsample: ConvolutionLayer<B>?
  }

  init(_ scope: WeightScope<B>, _ configuration: AutoencoderConfiguration) throws {
    let groups = configuration.groups
    var channels = configuration.levels[0]
    convIn = try ConvolutionLayer(scope["conv_in"], configuration.pictureChannels, channels)
    var levels: [Level] = []
    for (index, outputs) in configuration.levels.enumerated() {
      let place = scope["down_blocks.\(index)"]
      var resnets: [ResNet<B>] = []
      for layer in 0..<configuration.layers {
        resnets.append(
          try ResNet(place["resnets.\(layer)"], channels, outputs, groups: groups, epsilon: 1e-6))
        channels = outputs
      }
      let isLast = index == configuration.levels.count - 1
      levels.append(
        Level(
          resnets: resnets,
          downsample: isLast
            ? nil
            : try ConvolutionLayer(
              place["downsamplers.0.conv"], channels, channels, stride: 2, padding: .trailing)))
    }
    self.levels = levels
    middle = try AutoencoderMiddle(scope["mid_block"], configuration, channels)
    normOut = try GroupNormLayer(scope["conv_norm_out"], channels, groups: groups, epsilon: 1e-6, activation: .silu)
    convOut = try ConvolutionLayer(scope["conv_out"], channels, 2 * configuration.latentChannels)
  }

  func forward(_ pixels: Tensor<B.Storage>) throws(OperationError) -> Tensor<B.Storage> {
    var h = try convIn.forward(pixels)
    for level in levels {
      for resnet in level.resnets { h = try resnet.forward(h).y }
      if let downsample = level.downsample { h = try downsample.forward(h) }
    }
    h = try middle.forward(h)
    return try convOut.forward(normOut.forward(h).y)
  }
}
