import Operators
import Tensors

/// What `text_encoder/config.json` says of a CLIP text encoder, plainly or under `text_config`.
public struct CLIPTextConfiguration: Sendable, Hashable, Decodable {
  public var vocabularySize: Int
  /// The width of a token's vector, and of the context the UNet gets.
  public var width: Int
  /// The width inside a block's two-layer perceptron.
  public var hiddenWidth: Int
  public var layers: Int
  public var heads: Int
  /// The number of positions that have a vector: the longest prompt, with start and end.
  public var positions: Int
  public var activation: Activation
  public var epsilon: Float
  /// The width of the text in one vector, where the encoder makes one; nil where the file does not say.
  public var projectionWidth: Int?
  /// The id of the end of text. Files that say 2, as the older do, mean the last of the vocabulary.
  public var endOfText: Int

  public init(
    vocabularySize: Int = 49408, width: Int, hiddenWidth: Int, layers: Int, heads: Int, positions: Int = 77,
    activation: Activation, epsilon: Float = 1e-5, projectionWidth: Int? = nil, endOfText: Int? = nil
  ) {
    self.vocabularySize = vocabularySize
    self.width = width
    self.hiddenWidth = hiddenWidth
    self.layers = layers
    self.heads = heads
    self.positions = positions
    self.activation = activation
    self.epsilon = epsilon
    self.projectionWidth = projectionWidth
    // Wraps where `check` will refuse the vocabulary.
    self.endOfText = endOfText ?? vocabularySize &- 1
  }

  /// The width of pooled text; the default is transformers'.
  public var pooledWidth: Int { projectionWidth ?? 512 }

  public init(from decoder: any Decoder) throws {
    let settings = try SettingsReader(decoder, within: "text_config")
    let activation: String = try settings.value("hidden_act", "quick_gelu")
    let endOfText = try settings.optional("eos_token_id", Int.self)
    self.init(
      vocabularySize: try settings.value("vocab_size", 49408), width: try settings.value("hidden_size", 512),
      hiddenWidth: try settings.value("intermediate_size", 2048), layers: try settings.value("num_hidden_layers", 12),
      heads: try settings.value("num_attention_heads", 8), positions: try settings.value("max_position_embeddings", 77),
      activation: try CLIPTextConfiguration.activation(named: activation),
      epsilon: try settings.value("layer_norm_eps", 1e-5),
      projectionWidth: try settings.optional("projection_dim", Int.self), endOfText: endOfText == 2 ? nil : endOfText)
    try check()
  }

  private static func activation(named name: String) throws(UserError) -> Activation {
    switch name {
    case "quick_gelu": return .quickGELU
    case "gelu": return .gelu
    case "gelu_new", "gelu_pytorch_tanh": return .geluTanh
    default:
      throw UserError(
        .badData, at: .key("hidden_act"),
        "\(quoted(name)), only 'quick_gelu', 'gelu' and 'gelu_pytorch_tanh' are supported")
    }
  }

  /// Throws `badData` that names the key where the numbers make no model.
  public func check() throws(UserError) {
    for (key, value) in [
      ("hidden_size", width), ("intermediate_size", hiddenWidth), ("num_attention_heads", heads),
      ("projection_dim", pooledWidth),
    ] {
      try StableDiffusion.check(key, value, in: SettingRange.size)
    }
    try StableDiffusion.check("num_hidden_layers", layers, in: SettingRange.layers)
    // A prompt's start and end leave room for a token.
    try StableDiffusion.check("max_position_embeddings", positions, in: 3...65_536)
    try StableDiffusion.check("vocab_size", vocabularySize, in: 1...(1 << 24))
    try StableDiffusion.check("layer_norm_eps", epsilon, in: SettingRange.epsilon)
    guard width % heads == 0, width / heads <= 160 else {
      throw UserError(
        .badData, at: .key("hidden_size"),
        "\(width) over \(heads) heads; heads of 1 to 160 whole numbers are supported")
    }
  }
}
