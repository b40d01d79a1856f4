import Tensors

/// What a checkpoint's UNet predicts, and how that was told.
public struct Prediction: Sendable, Hashable, CustomStringConvertible {
  /// Whether it is the velocity; the noise otherwise.
  public let isVelocity: Bool
  /// Whether the noise schedule ends in nothing but noise.
  public let hasZeroSNR: Bool
  /// Where that was seen.
  public let reason: String

  /// By the signs that other programs go by: of SDXL the empty tensors `v_pred` and `ztsnr`, which its v-predicting models carry
  /// (ComfyUI, the web UIs); the file's own word in its metadata (`modelspec.prediction_type`); of SD2 how far the biases of the
  /// last transformer's first norm spread, over 0.09 in models that predict the velocity (ComfyUI).
  init(_ family: ModelFamily, _ all: TensorView, unet: TensorView?, metadata: [String: String]) throws(UserError) {
    let word = metadata["modelspec.prediction_type"].map { $0.lowercased() }
    if family == .stableDiffusionXL, all.contains("v_pred") {
      let signs = all.contains("ztsnr") ? "its tensors v_pred and ztsnr" : "its tensor v_pred"
      self.init(isVelocity: true, hasZeroSNR: all.contains("ztsnr"), reason: signs)
    } else if let word, let isVelocity = ["v": true, "v_prediction": true, "epsilon": false][word] {
      self.init(isVelocity: isVelocity, hasZeroSNR: all.contains("ztsnr"), reason: "its metadata")
    } else if family == .stableDiffusion2, let unet, let spread = try Self.spread(unet) {
      self.init(isVelocity: spread > 0.09, hasZeroSNR: false, reason: "the spread of its last transformer's biases")
    } else {
      self.init(isVelocity: false, hasZeroSNR: false, reason: "as most of its family")
    }
  }

  private init(isVelocity: Bool, hasZeroSNR: Bool, reason: String) {
    self.isVelocity = isVelocity
    self.hasZeroSNR = hasZeroSNR
    self.reason = reason
  }

  /// The standard deviation of those biases.
  private static func spread(_ unet: TensorView) throws(UserError) -> Float? {
    let level = "up_blocks.\(unet.count("up_blocks") - 1).attentions"
    let name = "\(level).\(unet.count(level) - 1).transformer_blocks.0.norm1.bias"
    guard unet.shape(of: name) != nil else { return nil }
    let values = try unet.tensor(name).values
    let mean = values.reduce(0, +) / Float(max(1, values.count))
    return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(max(1, values.count))).squareRoot()
  }

  public var description: String {
    let what = isVelocity ? "predicts the velocity" : "predicts the noise"
    return "\(what)\(hasZeroSNR ? " with zero terminal SNR" : "") (\(reason))"
  }
}
