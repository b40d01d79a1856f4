import ModelFiles
import Operators
import Tensors

/// The halves of an autoencoder.
public struct AutoencoderParts: OptionSet, Sendable, Hashable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// Pictures to latents.
  public static let encoder = AutoencoderParts(rawValue: 1)
  /// Latents to pictures.
  public static let decoder = AutoencoderParts(rawValue: 2)
  public static let both: AutoencoderParts = [.encoder, .decoder]
}

/// Stable Diffusion's autoencoder: pictures to latents of an eighth of their height and width, and back.
///
/// Forward alone: latents are made once, before training. Full-size pictures take the most memory of all that the
/// program does; encode and decode them one by one. `configuration.precision(beside:)` says which backend to build it on.
public struct AutoencoderKL<B: Backend> {
  public let configuration: AutoencoderConfiguration

  private let encoder: PictureEncoder<B>?
  private let momentsConvolution: LinearLayer<B>?
  private let latentsConvolution: LinearLayer<B>?
  private let decoder: PictureDecoder<B>?

  /// - Parameters:
  ///   - weights: tensors named as in diffusers' `AutoencoderKL`.
  ///   - parts: what is loaded; the rest of the weights is left unread.
  public init(
    _ backend: B, _ configuration: AutoencoderConfiguration, weights: some WeightSource,
    parts: AutoencoderParts = .both
  ) throws {
    try configuration.check()
    self.configuration = configuration
    let scope = WeightScope(backend, weights, directions: .forward)
    let latents = configuration.latentChannels
    let (encodes, decodes) = (parts.contains(.encoder), parts.contains(.decoder))
    encoder = encodes ? try PictureEncoder(scope["encoder"], configuration) : nil
    momentsConvolution =
      encodes && configuration.convolvesMoments
      ? try LinearLayer(scope["quant_conv"], 2 * latents, 2 * latents, isConvolution: true) : nil
    latentsConvolution =
      decodes && configuration.convolvesLatents
      ? try LinearLayer(scope["post_quant_conv"], latents, latents, isConvolution: true) : nil
    decoder = decodes ? try PictureDecoder(scope["decoder"], configuration) : nil
    try weights.finish(
      passingOver: (encodes ? [] : ["encoder", "quant_conv"]) + (decodes ? [] : ["decoder", "post_quant_conv"]))
  }

  /// The moments of the latents, `[batch, height / sizeMultiple, width / sizeMultiple, 2 * latentChannels]`: means,
  /// then logarithms of variances (`LatentDistribution`).
  ///
  /// - Parameter pixels: `[batch, height, width, 3]` in -1...1.
  public func encode(_ pixels: Tensor<B.Storage>) throws(OperationError) -> Tensor<B.Storage> {
    guard let encoder else {
      throw OperationError(.unsupported, "AutoencoderKL.encode", "the encoder was not loaded")
    }
    let multiple = configuration.sizeMultiple
    let shape = pixels.shape
    try require(
      shape.rank == 4 && shape.channels == configuration.pictureChannels && shape[1] % multiple == 0
        && shape[2] % multiple == 0, "AutoencoderKL.encode",
      "pixels \(shape); height and width must be whole multiples of \(multiple)")
    let moments = try encoder.forward(pixels)
    return try momentsConvolution?.forward(moments) ?? moments
  }

  /// The picture, `[batch, height * sizeMultiple, width * sizeMultiple, 3]` in about -1...1.
  ///
  /// - Parameter latents: `[batch, height, width, latentChannels]`, already divided by the scaling factor.
  public func decode(_ latents: Tensor<B.Storage>) throws(OperationError) -> Tensor<B.Storage> {
    guard let decoder else {
      throw OperationError(.unsupported, "AutoencoderKL.decode", "the decoder was not loaded")
    }
    try require(
      latents.shape.rank == 4 && latents.shape.channels == configuration.latentChannels, "AutoencoderKL.decode",
      "latents \(latents.shape) for \(configuration.latentChannels) channels")
    return try decoder.forward(latentsConvolution?.forward(latents) ?? latents)
  }
}
