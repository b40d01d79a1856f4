import Tensors

/// What `unet/config.json` says of a `UNet2DConditionModel`.
public struct UNetConfiguration: Sendable, Hashable, Decodable {
  /// One resolution's half of the way down, or up.
  public struct Level: Sendable, Hashable {
    public var channels: Int
    /// Attention heads.
    public var heads: Int
    /// For each residual block how many transformer blocks stand behind it, on the way down, and on the way up, which has one
    /// residual block more; none where the level does not read the context.
    public var transformersDown: [Int]
    public var transformersUp: [Int]

    /// - Parameters:
    ///   - layers: residual blocks on the way down.
    ///   - transformers: transformer blocks behind each residual block.
    public init(channels: Int, layers: Int = 2, heads: Int = 8, transformers: Int = 1, attends: Bool) {
      self.channels = channels
      self.heads = heads
      // `check` refuses what is beyond.
      let layers = min(max(0, layers), SettingRange.layers.upperBound + 1)
      transformersDown = Array(repeating: attends ? transformers : 0, count: layers)
      transformersUp = Array(repeating: attends ? transformers : 0, count: layers + 1)
    }

    /// Residual blocks on the way down.
    public var layers: Int { transformersDown.count }
  }

  /// What the model is told beside timestep and context, added to the timestep's embedding: pooled text, and the sinusoids of
  /// six sizes.
  public struct AddedConditioning: Sendable, Hashable {
    public var pooledWidth: Int
    /// Sinusoids a size.
    public var sizeWidth: Int

    /// The numbers of `Conditioning.sizes`.
    public static let sizes = 6

    /// The width of all of it.
    public var inputs: Int { pooledWidth + Self.sizes * sizeWidth }

    public init(pooledWidth: Int, sizeWidth: Int = 256) {
      self.pooledWidth = pooledWidth
      self.sizeWidth = sizeWidth
    }
  }

  public var inputChannels: Int
  public var outputChannels: Int
  /// The finest resolution first; each next level has half the height and width.
  public var levels: [Level]
  /// The transformer blocks in the middle.
  public var middleTransformers: Int
  /// nil where the model takes none.
  public var added: AddedConditioning?
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
    inputChannels: Int = 4, outputChannels: Int = 4, levels: [Level], middleTransformers: Int? = nil,
    contextWidth: Int, added: AddedConditioning? = nil, usesLinearProjection: Bool = false, groups: Int = 32,
    epsilon: Float = 1e-5, timeWidth: Int? = nil,
    flipsSineToCosine: Bool = true, frequencyShift: Float = 0, sampleSize: Int = 64
  ) {
    self.inputChannels = inputChannels
    self.outputChannels = outputChannels
    self.levels = levels
    self.middleTransformers = middleTransformers ?? max(1, levels.last?.transformersDown.first ?? 1)
    self.contextWidth = contextWidth
    self.added = added
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
        ("time_embedding_dim", timeWidth), ("projection_class_embeddings_input_dim", added?.pooledWidth ?? 1),
        ("addition_time_embed_dim", added?.sizeWidth ?? 1),
      ]
    for (key, value) in sizes {
      try StableDiffusion.check(key, value, in: SettingRange.size)
    }
    try StableDiffusion.check("sample_size", sampleSize, in: 1...1024)
    try StableDiffusion.check("norm_eps", epsilon, in: SettingRange.epsilon)
    try StableDiffusion.check("freq_shift", frequencyShift, in: 0...1)
    try StableDiffusion.check("transformer_layers_per_block", middleTransformers, in: SettingRange.layers)
    for (index, level) in levels.enumerated() {
      try StableDiffusion.check("layers_per_block", level.layers, in: SettingRange.layers)
      try StableDiffusion.check("layers_per_block", level.transformersUp.count, in: level.layers + 1...level.layers + 1)
      for transformers in level.transformersDown + level.transformersUp {
        try StableDiffusion.check(
          "transformer_layers_per_block", transformers, in: 0...SettingRange.layers.upperBound)
      }
      guard level.channels % groups == 0 else {
        throw UserError(
          .badData, at: .key("block_out_channels"),
          "level \(index) has \(level.channels) channels, not to be cut into \(groups) groups")
      }
      let attends =
        (level.transformersDown + level.transformersUp).contains { $0 > 0 } || index == levels.count - 1
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
    // The name is a mistake of old that diffusers keeps: the number is that of the heads, not of a head's channels.
    let heads = try settings.value("attention_head_dim", PerLevel.same(8)).expanded(to: channels.count)
    try UNetConfiguration.check("attention_head_dim", heads.count, isThatOf: channels)
    let (down, up) = try UNetConfiguration.transformers(settings, channels)
    var levels: [Level] = []
    for index in channels.indices {
      var level = Level(channels: channels[index], heads: heads[index], attends: false)
      level.transformersDown = down[index]
      level.transformersUp = up[index]
      levels.append(level)
    }
    let depths = try settings.value("transformer_layers_per_block", PerBlock.same(1)).expanded(to: channels.count)
    self.init(
      inputChannels: try settings.value("in_channels", 4), outputChannels: try settings.value("out_channels", 4),
      levels: levels, middleTransformers: depths.last?.expanded(to: 1).first,
      contextWidth: try settings.value("cross_attention_dim", 1280), added: try UNetConfiguration.added(settings),
      usesLinearProjection: try settings.value("use_linear_projection", false),
      groups: try settings.value("norm_num_groups", 32), epsilon: try settings.value("norm_eps", 1e-5),
      timeWidth: try settings.optional("time_embedding_dim", Int.self),
      flipsSineToCosine: try settings.value("flip_sin_to_cos", true),
      frequencyShift: try settings.value("freq_shift", 0),
      sampleSize: try settings.value("sample_size", PerLevel.same(64)).expanded(to: 1).max() ?? 64)
    try check()
  }

  /// How many transformer blocks stand behind each residual block of each level, on both ways.
  private static func transformers(_ settings: SettingsReader, _ channels: [Int]) throws -> (
    down: [[Int]], up: [[Int]]
  ) {
    let (plainDown, plainUp) = ("DownBlock2D", "UpBlock2D")
    let down: [String] = try settings.value(
      "down_block_types", Array(repeating: "CrossAttnDownBlock2D", count: 3) + [plainDown])
    // The way up comes from the coarsest level.
    let up: [String] = try settings.value(
      "up_block_types", [plainUp] + Array(repeating: "CrossAttnUpBlock2D", count: 3)
    ).reversed()
    let layers = try settings.value("layers_per_block", PerLevel.same(2)).expanded(to: channels.count)
    let key = "transformer_layers_per_block"
    let depths = try settings.value(key, PerBlock.same(1)).expanded(to: channels.count)
    let reversed = try settings.optional("reverse_" + key, PerBlock.self)?.expanded(to: channels.count)
    for (name, count) in [
      ("down_block_types", down.count), ("up_block_types", up.count), ("layers_per_block", layers.count),
      (key, depths.count), ("reverse_" + key, reversed?.count ?? channels.count),
    ] { try check(name, count, isThatOf: channels) }
    try refuse(down, besides: [plainDown, "CrossAttnDownBlock2D"], "down_block_types")
    try refuse(up, besides: [plainUp, "CrossAttnUpBlock2D"], "up_block_types")
    for layers in layers { try StableDiffusion.check("layers_per_block", layers, in: SettingRange.layers) }

    func expanded(_ depth: PerLevel, _ attends: Bool, _ key: String, layers: Int) throws(UserError) -> [Int] {
      guard attends else { return Array(repeating: 0, count: layers) }
      let blocks = depth.expanded(to: layers)
      guard blocks.count == layers else {
        throw UserError(.badData, at: .key(key), "has \(blocks.count) numbers for \(layers) residual blocks")
      }
      for count in blocks { try StableDiffusion.check(key, count, in: SettingRange.layers) }
      return blocks
    }
    let above = reversed.map { Array($0.reversed()) } ?? depths
    return (
      try channels.indices.map { try expanded(depths[$0], down[$0] != plainDown, key, layers: layers[$0]) },
      try channels.indices.map {
        try expanded(above[$0], up[$0] != plainUp, reversed == nil ? key : "reverse_" + key, layers: layers[$0] + 1)
      }
    )
  }

  /// What is added to the timestep's embedding, nil for nothing.
  private static func added(_ settings: SettingsReader) throws -> AddedConditioning? {
    let (inputs, width) = ("projection_class_embeddings_input_dim", "addition_time_embed_dim")
    guard let kind = try settings.optional("addition_embed_type", String.self) else {
      try settings.require(inputs, .null)
      return nil
    }
    guard kind == "text_time" else {
      throw UserError(
        .badData, at: .key("addition_embed_type"), "\(quoted(kind)) is not supported, only 'text_time' and null are")
    }
    func number(_ key: String) throws -> Int {
      guard let value = try settings.optional(key, Int.self) else {
        throw UserError(.badData, at: .key(key), "is missing, addition_embed_type 'text_time' needs it")
      }
      try StableDiffusion.check(key, value, in: SettingRange.size)
      return value
    }
    let (all, sizeWidth) = (try number(inputs), try number(width))
    let pooledWidth = all - AddedConditioning.sizes * sizeWidth
    guard pooledWidth > 0 else {
      throw UserError(
        .badData, at: .key(inputs), "\(all) leaves no room for pooled text beside 6 sizes of \(sizeWidth) numbers")
    }
    return AddedConditioning(pooledWidth: pooledWidth, sizeWidth: sizeWidth)
  }

  private static func check(_ key: String, _ count: Int, isThatOf channels: [Int]) throws(UserError) {
    guard count != channels.count else { return }
    throw UserError(.badData, at: .key(key), "is for \(count) levels, block_out_channels for \(channels.count)")
  }

  /// Throws for the settings that make another kind of model of it.
  private static func refuseOtherModels(_ settings: SettingsReader) throws {
    try settings.require("mid_block_type", "UNetMidBlock2DCrossAttn")
    if settings.isNull("mid_block_type") {
      throw UserError(.badData, at: .key("mid_block_type"), "null: UNets without a middle are not supported")
    }
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
