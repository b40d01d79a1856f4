import Tensors

/// What `unet/config.json` says of a `UNet2DConditionModel`.
public struct UNetConfiguration: Sendable, Hashable, Decodable {
  /// One resolution's half of the way down, or up.
  public struct Level: Sendable, Hashable {
    public var channels: Int
    /// Residual blocks on the way down; the way up has one more.
    public var layers: Int
    /// Attention heads, and transformer blocks behind each residual block.
    public var heads: Int
    public var transformerBlocks: Int
    /// Whether the level's blocks read the context, on the way down and on the way up.
    public var attendsDown: Bool
    public var attendsUp: Bool

    public init(
      channels: Int, layers: Int = 2, heads: Int = 8, transformerBlocks: Int = 1, attends: Bool
    ) {
      self.channels = channels
      self.layers = layers
      self.heads = heads
      self.transformerBlocks = transformerBlocks
      attendsDown = attends
      attendsUp = attends
    }
  }

  public var inputChannels: Int
  public var outputChannels: Int
  /// The finest resolution first; each next level has half the height and width.
  public var levels: [Level]
  /// The width of the context's rows.
  public var contextWidth: Int
  /// Whether a transformer's projections are linear layers (Stable Diffusion 2) or 1x1 convolutions (1): the file's
  /// shapes.
  public var usesLinearProjection: Bool
  public var groups: Int
  public var epsilon: Float
  /// The width of the timestep's embedding.
  public var timeWidth: Int
  public var flipsSineToCosine: Bool
  public var frequencyShift: Float
  /// The side of the latents that the model was trained on, the larger where they were not square.
  public var sampleSize: Int

  public init(
    inputChannels: Int = 4, outputChannels: Int = 4, levels: [Level], contextWidth: Int,
    usesLinearProjection: Bool = false, groups: Int = 32, epsilon: Float = 1e-5, timeWidth: Int? = nil,
    flipsSineToCosine: Bool = true, frequencyShift: Float = 0, sampleSize: Int = 64
  ) {
    self.inputChannels = inputChannels
    self.outputChannels = outputChannels
    self.levels = levels
    self.contextWidth = contextWidth
    self.usesLinearProjection = usesLinearProjection
    self.groups = groups
    self.epsilon = epsilon
    // Wraps where `check` will refuse the channels.
    self.timeWidth = timeWidth ?? 4 &* (levels.first?.channels ?? 0)
    self.flipsSineToCosine = flipsSineToCosine
    self.frequencyShift = frequencyShift
    self.sampleSize = sampleSize
  }

  /// Throws `badData` that names the key where the numbers make no model.
  public func check() throws(UserError) {
    try StableDiffusion.check("block_out_channels", levels.count, in: SettingRange.levels)
    guard inputChannels == outputChannels else {
      throw UserError(
        .badData, at: .key("in_channels"),
        "\(inputChannels), and out_channels \(outputChannels): inpainting and other models that take more than noisy "
          + "latents are not supported")
    }
    let sizes =
      levels.map { ("block_out_channels", $0.channels) } + levels.map { ("attention_head_dim", $0.heads) } + [
        ("in_channels", inputChannels), ("cross_attention_dim", contextWidth), ("norm_num_groups", groups),
        ("time_embedding_dim", timeWidth),
      ]
    for (key, value) in sizes {
      try StableDiffusion.check(key, value, in: SettingRange.size)
    }
    try StableDiffusion.check("sample_size", sampleSize, in: 1...1024)
    try StableDiffusion.check("norm_eps", epsilon, in: SettingRange.epsilon)
    try StableDiffusion.check("freq_shift", frequencyShift, in: 0...1)
    for (index, level) in levels.enumerated() {
      try StableDiffusion.check("layers_per_block", level.layers, in: SettingRange.layers)
      try StableDiffusion.check("transformer_layers_per_block", level.transformerBlocks, in: SettingRange.layers)
      guard level.channels % groups == 0 else {
        throw UserError(
          .badData, at: .key("block_out_channels"),
          "level \(index) has \(level.channels) channels, not to be cut into \(groups) groups")
      }
      let attends = level.attendsDown || level.attendsUp || index == levels.count - 1
      guard !attends || (level.channels % level.heads == 0 && level.channels / level.heads <= 160) else {
        throw UserError(
          .badData, at: .key("attention_head_dim"),
          "level \(index) has \(level.channels) channels in \(level.heads) heads; heads of 1 to 160 whole channels are "
            + "supported")
      }
    }
  }
}

extension UNetConfiguration {
  public init(from decoder: any Decoder) throws {
    let settings = try SettingsReader(decoder)
    try UNetConfiguration.refuseOtherModels(settings)

    let channels: [Int] = try settings.value("block_out_channels", [320, 640, 1280, 1280])
    let plainDown = "DownBlock2D"
    let plainUp = "UpBlock2D"
    let down: [String] = try settings.value(
      "down_block_types", Array(repeating: "CrossAttnDownBlock2D", count: 3) + [plainDown])
    let up: [String] = try settings.value(
      "up_block_types", [plainUp] + Array(repeating: "CrossAttnUpBlock2D", count: 3))
    let layers = try settings.value("layers_per_block", PerLevel.same(2)).expanded(to: channels.count)
    // The name is a mistake of old that diffusers keeps: the number is that of the heads, not of a head's channels.
    let heads = try settings.value("attention_head_dim", PerLevel.same(8)).expanded(to: channels.count)
    let blocks = try settings.value("transformer_layers_per_block", PerLevel.same(1)).expanded(to: channels.count)
    for (name, count) in [
      ("down_block_types", down.count), ("up_block_types", up.count), ("layers_per_block", layers.count),
      ("attention_head_dim", heads.count), ("transformer_layers_per_block", blocks.count),
    ] where count != channels.count {
      throw UserError(
        .badData, at: .key(name), "is for \(count) levels, block_out_channels for \(channels.count)")
    }
    try UNetConfiguration.refuse(down, besides: [plainDown, "CrossAttnDownBlock2D"], "down_block_types")
    try UNetConfiguration.refuse(up, besides: [plainUp, "CrossAttnUpBlock2D"], "up_block_types")

    var levels: [Level] = []
    for index in channels.indices {
      var level = Level(
        channels: channels[index], layers: layers[index], heads: heads[index], transformerBlocks: blocks[index],
        attends: down[index] != plainDown)
      level.attendsUp = up[channels.count - 1 - index] != plainUp
      levels.append(level)
    }
    self.init(
      inputChannels: try settings.value("in_channels", 4), outputChannels: try settings.value("out_channels", 4),
      levels: levels, contextWidth: try settings.value("cross_attention_dim", 1280),
      usesLinearProjection: try settings.value("use_linear_projection", false),
      groups: try settings.value("norm_num_groups", 32), epsilon: try settings.value("norm_eps", 1e-5),
      timeWidth: try settings.optional("time_embedding_dim", Int.self),
      flipsSineToCosine: try settings.value("flip_sin_to_cos", true),
      frequencyShift: try settings.value("freq_shift", 0),
      sampleSize: try settings.value("sample_size", PerLevel.same(64)).expanded(to: 1).max() ?? 64)
    try check()
  }

  /// Throws for the settings that make another kind of model of it.
  private static func refuseOtherModels(_ settings: SettingsReader) throws {
    if let kind = try settings.optional("addition_embed_type", String.self) {
      let hint =
        kind == "text_time" ? "that is Stable Diffusion XL, which is not supported yet" : "only null is supported"
      throw UserError(.badData, at: .key("addition_embed_type"), "\(quoted(kind)), \(hint)")
    }
    try settings.require("mid_block_type", "UNetMidBlock2DCrossAttn")
    try settings.require("act_fn", "silu")
    try settings.require("downsample_padding", 1)
    try settings.require("mid_block_scale_factor", 1)
    try settings.require("conv_in_kernel", 3)
    try settings.require("conv_out_kernel", 3)
    try settings.require("resnet_time_scale_shift", "default")
    try settings.require("resnet_out_scale_factor", 1)
    try settings.require("time_embedding_type", "positional")
    try settings.require("attention_type", "default")
    for key in [
      "center_input_sample", "only_cross_attention", "dual_cross_attention", "resnet_skip_time_act",
      "class_embeddings_concat", "mid_block_only_cross_attention",
    ] {
      try settings.require(key, false)
    }
    for key in [
      "num_attention_heads", "class_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type",
      "time_embedding_act_fn", "timestep_post_act", "time_cond_proj_dim", "cross_attention_norm",
      "reverse_transformer_layers_per_block", "projection_class_embeddings_input_dim",
    ] {
      try settings.require(key, .null)
    }
  }

  private static func refuse(_ blocks: [String], besides known: [String], _ key: String) throws(UserError) {
    guard let other = blocks.first(where: { !known.contains($0) }) else { return }
    let names = known.map(quoted).joined(separator: " and ")
    throw UserError(.badData, at: .key(key), "has \(quoted(other)), only \(names) are supported")
  }
}
