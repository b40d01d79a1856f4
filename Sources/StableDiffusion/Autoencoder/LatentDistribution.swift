import Foundation
import Tensors

/// What the encoder says of a picture's latents: independent normal distributions, one a number.
public struct LatentDistribution: Sendable {
  /// `[batch, height, width, latentChannels]` each.
  public let mean: HostTensor
  public let deviation: HostTensor

  /// - Parameter moments: `[batch, height, width, 2 * latentChannels]`, means before logarithms of variances, as
  ///   `AutoencoderKL.encode` makes them.
  package init(moments: HostTensor) {
    let channels = moments.shape.channels / 2
    let shape = moments.shape.withChannels(channels)
    var mean = HostTensor(repeating: 0, shape)
    var deviation = mean
    for row in 0..<shape.rows {
      for channel in 0..<channels {
        mean.values[row * channels + channel] = moments.values[2 * row * channels + channel]
        // The bounds are diffusers': they keep a stray logarithm from overflowing.
        let logVariance = min(20, max(-30, moments.values[(2 * row + 1) * channels + channel]))
        deviation.values[row * channels + channel] = Float(exp(0.5 * Double(logVariance)))
      }
    }
    self.mean = mean
    self.deviation = deviation
  }

  /// `(mean + deviation * noise) * scale`: latents as the UNet takes them, `scale` being the scaling factor.
  ///
  /// - Parameter noise: normal numbers, of the mean's count.
  package func sample(noise: [Float], scale: Float) -> HostTensor {
    var latents = mean
    for index in latents.values.indices {
      latents.values[index] = (mean.values[index] + deviation.values[index] * noise[index]) * scale
    }
    return latents
  }
}
