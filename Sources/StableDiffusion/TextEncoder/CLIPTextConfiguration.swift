import Operators
import Tensors

/// What `text_encoder/config.json` says of a CLIP text encoder.
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

  public init(
    vocabularySize: Int = 49408, width: Int, hiddenWidth: Int, layers: Int, heads: Int, positions: Int = 77,
    activation: Activation, epsilon: Float = 1e-5
  ) {
    self.vocabularySize = vocabularySize
    self.width = width
    self.hiddenWidth = hiddenWidth
    self.layers = layers
    self.heads = heads
    self.positions = positions
    self.activation = activation
    self.epsilon = epsilon
  }

  public init(from decoder: any Decoder) throws {
    let settings = try SettingsReader(decoder, of: "text encoder")
    let activation: String = try settings.value("hidden_act", "quick_gelu")
    self.init(
      vocabularySize: try settings.value("vocab_size", 49408), width: try settings.value("hidden_size", 512),
      hiddenWidth: try settings.value("intermediate_size", 2048), layers: try settings.value("num_hidden_layers", 12),
      heads: try settings.value("num_attention_heads", 8), positions: try settings.value("max_position_embeddings", 77),
      activation: try CLIPTextConfiguration.activation(named: activation),
      epsilon: try settings.value("layer_norm_eps", 1e-5))
    try check()
  }

  private static func activation(named name: String) throws(UserError) -> Activation {
    switch name {
    case "quick_gelu": return .quickGELU
    case "gelu": return .gelu
    case "gelu_new", "gelu_pytorch_tanh": return .geluTanh
    default:
      throw UserError(
        .badData,
        "the text encoder's hidden_act is \"\(name)\", only \"quick_gelu\", \"gelu\" and \"gelu_pytorch_tanh\" "
          + "are supported")
    }
  }

  /// Throws where the numbers make no model.
  public func check() throws(UserError) {
    let least = min(vocabularySize, width, hiddenWidth, layers, heads, positions)
    guard least > 0, epsilon > 0 else {
      throw UserError(.badData, "the text encoder's configuration has a size that is not positive")
    }
    guard width % heads == 0, width / heads <= 160 else {
      throw UserError(
        .badData,
        "the text encoder's hidden_size \(width) over \(heads) heads; heads of 1 to 160 whole numbers are supported")
    }
  }
}
