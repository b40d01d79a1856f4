import Tensors

/// What `vae/config.json` says of an `AutoencoderKL`.
public struct AutoencoderConfiguration: Sendable, Hashable, Decodable {
  /// Channels of a picture: 3.
  public var pictureChannels: Int
  public var latentChannels: Int
  /// Channels of each level, the finest resolution first.
  public var levels: [Int]
  /// Residual blocks a level in the encoder; the decoder has one more.
  public var layers: Int
  public var groups: Int
  /// What latents are multiplied by before noise is added to them, so that they have a deviation of about 1.
  public var scalingFactor: Float
  /// Whether the middle attends.
  public var attends: Bool
  /// Whether 1x1 convolutions stand between the encoder and the moments, and between the latents and the decoder.
  public var convolvesMoments: Bool
  public var convolvesLatents: Bool
  /// Whether its features outgrow float16, as those of Stable Diffusion's own do (`force_upcast`).
  public var needsFloat32: Bool

  /// What to store it in where the rest of the model is stored in `type`.
  public func precision(beside type: ElementType) -> ElementType { needsFloat32 ? .float32 : type }

  public init(
    pictureChannels: Int = 3, latentChannels: Int = 4, levels: [Int], layers: Int = 2, groups: Int = 32,
    scalingFactor: Float = 0.18215, attends: Bool = true, convolvesMoments: Bool = true,
    convolvesLatents: Bool = true, needsFloat32: Bool = true
  ) {
    self.pictureChannels = pictureChannels
    self.latentChannels = latentChannels
    self.levels = levels
    self.layers = layers
    self.groups = groups
    self.scalingFactor = scalingFactor
    self.attends = attends
    self.convolvesMoments = convolvesMoments
    self.convolvesLatents = convolvesLatents
    self.needsFloat32 = needsFloat32
  }

  public init(from decoder: any Decoder) throws {
    let settings = try SettingsReader(decoder)
    try settings.require("act_fn", "silu")
    try settings.require("down_block_types", "DownEncoderBlock2D")
    try settings.require("up_block_types", "UpDecoderBlock2D")
    for key in ["shift_factor", "latents_mean", "latents_std"] { try settings.require(key, .null) }
    self.init(
      pictureChannels: try settings.value("in_channels", 3), latentChannels: try settings.value("latent_channels", 4),
      levels: try settings.value("block_out_channels", [64]), layers: try settings.value("layers_per_block", 1),
      groups: try settings.value("norm_num_groups", 32), scalingFactor: try settings.value("scaling_factor", 0.18215),
      attends: try settings.value("mid_block_add_attention", true),
      convolvesMoments: try settings.value("use_quant_conv", true),
      convolvesLatents: try settings.value("use_post_quant_conv", true),
      needsFloat32: try settings.value("force_upcast", true))
    guard try settings.value("out_channels", 3) == pictureChannels else {
      throw UserError(.badData, at: .key("out_channels"), "differs from in_channels")
    }
    try check()
  }

  /// A picture's height and width over its latents'; they must be whole multiples of it.
  public var sizeMultiple: Int { 1 << (levels.count - 1) }

  /// Throws `badData` that names the key where the numbers make no model.
  public func check() throws(UserError) {
    try StableDiffusion.check("block_out_channels", levels.count, in: SettingRange.levels)
    try StableDiffusion.check("in_channels", pictureChannels, in: 3...3)
    for (key, value) in [("latent_channels", latentChannels), ("norm_num_groups", groups)]
      + levels.map({ ("block_out_channels", $0) })
    {
      try StableDiffusion.check(key, value, in: SettingRange.size)
    }
    try StableDiffusion.check("layers_per_block", layers, in: SettingRange.layers)
    try StableDiffusion.check("scaling_factor", scalingFactor, in: 1e-4...1e4)
    for channels in levels where channels % groups != 0 {
      throw UserError(
        .badData, at: .key("block_out_channels"),
        "a level of \(channels) channels, not to be cut into \(groups) groups")
    }
    if let last = levels.last, attends, last > 512 {
      throw UserError(
        .badData, at: .key("block_out_channels"), "attention over \(last) channels, up to 512 are supported")
    }
  }
}
