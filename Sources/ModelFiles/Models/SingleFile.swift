import Foundation
import Tensors

/// A whole model in one file, in the naming of Stable Diffusion's own code: `.safetensors`, or a `.ckpt` of `torch.save`.
///
/// | part | where it stands |
/// |---|---|
/// | UNet | `model.diffusion_model` |
/// | VAE | `first_stage_model` |
/// | text encoder of SD1 | `cond_stage_model.transformer`, with or without `text_model` |
/// | text encoder of SD2 | `cond_stage_model.model`, as OpenCLIP names it |
/// | text encoders of SDXL | `conditioner.embedders.0.transformer`, `conditioner.embedders.1.model` |
public struct SingleFile: Sendable {
  public let url: URL
  public let family: ModelFamily
  public let prediction: Prediction
  /// Told what is read otherwise than the file suggests, a line each.
  public let warn: @Sendable (String) -> Void
  /// Whether the file holds running means of the UNet's weights beside them.
  public let holdsMeans: Bool

  private struct Part {
    /// As the file names them.
    let stored: TensorView
    let naming: ComponentNaming
    /// As diffusers and transformers do.
    let tensors: TensorView
    let isOpenCLIP: Bool

    init(_ stored: TensorView, _ naming: ComponentNaming, isOpenCLIP: Bool = false) throws(UserError) {
      self.stored = stored
      self.naming = naming
      self.isOpenCLIP = isOpenCLIP
      tensors = try stored.mapped(by: naming.map)
    }
  }

  private let parts: [Component: Part]

  /// Where a text encoder may stand.
  private static let textEncoders: [(component: Component, path: String, isOpenCLIP: Bool)] = [
    (.textEncoder, "cond_stage_model.transformer", false), (.textEncoder, "cond_stage_model.model", true),
    (.textEncoder, "conditioner.embedders.0.transformer", false), (.textEncoder, "conditioner.embedders.0.model", true),
    (.textEncoder2, "conditioner.embedders.1.model", true),
    (.textEncoder2, "conditioner.embedders.1.transformer", false),
  ]

  private static let unetPath = "model.diffusion_model"

  /// - Parameters:
  ///   - usesMeans: whether the running means of the UNet's weights (EMA) are taken, where the file has them, in place of the weights.
  ///   - warn: told what is read otherwise than the file suggests, a line each.
  /// - Throws: `UserError(.noInput)` where there is no such file, `.badData` for one that is damaged or holds something else,
  ///   which it then names.
  public init(
    _ url: URL, usesMeans: Bool = false, warn: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(UserError) {
    try self.init(openTensorFile(url), usesMeans: usesMeans, warn: warn)
  }

  /// The model in a file that is open.
  public init(
    _ file: any TensorFile, usesMeans: Bool = false, warn: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(UserError) {
    url = file.url
    self.warn = warn
    let all = try TensorView([file])
    if let other = Self.other(all) {
      throw UserError(.badData, at: .file(url), "is \(other.kind)", remedy: other.remedy)
    }
    guard Self.holdsUNet(file.names) else {
      throw UserError(
        .badData, at: .file(url),
        "holds tensors of no known kind of model, such as \(file.names.first.map(quoted) ?? "none")",
        remedy: "name a checkpoint of Stable Diffusion 1, 2 or XL")
    }
    var unet = all.below(Self.unetPath)
    holdsMeans = all.contains("model_ema")
    if usesMeans {
      guard holdsMeans else {
        throw UserError(.badData, at: .file(url), "holds no running means of its weights", remedy: "leave --ema out")
      }
      unet = try all.means(of: unet, at: "diffusion_model")
    }
    var parts: [Component: Part] = [.unet: try Part(unet, OriginalNaming.unet(unet))]
    let vae = all.below("first_stage_model")
    if !vae.isEmpty { parts[.vae] = try Part(vae, OriginalNaming.autoencoder(vae)) }
    for place in Self.textEncoders where parts[place.component] == nil && all.contains(place.path) {
      let stored = all.below(place.path)
      parts[place.component] = try Part(
        stored, place.isOpenCLIP ? OriginalNaming.openCLIP(stored) : .textEncoder, isOpenCLIP: place.isOpenCLIP)
    }
    self.parts = parts
    family = Self.family(all)
    prediction = try Prediction(family, all, unet: parts[.unet]?.tensors, metadata: file.metadata)
    let known = [Self.unetPath, "first_stage_model", "model_ema"] + Self.textEncoders.map(\.path) + Self.unused
    let unknown = all.filtered { name in !known.contains { name == $0 || name.hasPrefix($0 + ".") } }.names
    if let first = unknown.first {
      warn("\(url.path): \(unknown.count) tensors of no known part are passed over, \(quoted(first)) the first")
    }
  }

  /// What training and other programs leave in such files: the noise schedule, constants of CLIP, signs for their readers.
  private static let unused = [
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "logvar", "lvlb_weights",
    "denoiser", "v_pred", "ztsnr", "scale_factor", "model_ema", "cond_stage_model.logit_scale",
    "conditioner.embedders.0.logit_scale", "conditioner.embedders.1.logit_scale",
  ]

  /// What a file of tensors is that is no model that is run; nil where it is one, and where it is nothing that is known.
  public static func other(_ all: TensorView) -> OtherContent? {
    guard holdsUNet(all.names), !all.contains("control_model") else { return OtherContent(names: all.names) }
    let inputs = all.shape(of: firstConvolution)?.dimensions.dropFirst().first ?? 0
    let outputs = all.shape(of: "\(unetPath).out.2.weight")?.dimensions.first ?? inputs
    if inputs != outputs {
      let kinds = [
        (outputs &+ 5, "an inpainting model"), (2 &* outputs, "a model that edits pictures (InstructPix2Pix)"),
        (outputs &+ 1, "a model that reads depths"),
      ]
      let kind = kinds.first { $0.0 == inputs }?.1 ?? "a model that takes more than noisy latents"
      return OtherContent("\(kind) (\(inputs) channels in, \(outputs) out)")
    }
    if all.contains("edm_mean") { return OtherContent("Playground 2.5, a model of EDM's scaling") }
    if all.contains("edm_vpred") { return OtherContent("a model of EDM's scaling, such as CosXL") }
    guard all.contains("\(unetPath).label_emb") else { return nil }
    if all.contains("cond_stage_model") {
      return OtherContent("Stable unCLIP, which draws from a picture's embedding")
    }
    let isRefiner =
      textEncoder(.textEncoder2, all) == nil && (textEncoder(.textEncoder, all)?.isOpenCLIP ?? (textWidth(all) == 1280))
    return isRefiner ? OtherContent("the refiner of SDXL") : nil
  }

  /// Whether there is a UNet in the original naming among tensors.
  public static func holdsUNet(_ names: some Sequence<String>) -> Bool { names.contains(firstConvolution) }

  private static let firstConvolution = "\(unetPath).input_blocks.0.0.weight"

  /// Where one of the text encoders stands.
  private static func textEncoder(_ component: Component, _ all: TensorView) -> (path: String, isOpenCLIP: Bool)? {
    textEncoders.first { $0.component == component && all.contains($0.path) }.map { ($0.path, $0.isOpenCLIP) }
  }

  /// The width of the text that the UNet reads.
  private static func textWidth(_ all: TensorView) -> Int? {
    let name = all.names.first { $0.hasPrefix(unetPath) && $0.hasSuffix(".attn2.to_k.weight") }
    return name.flatMap { all.shape(of: $0)?.channels }
  }

  /// Which family it is, by its text encoders or, where it holds none, by the width that the UNet reads.
  private static func family(_ all: TensorView) -> ModelFamily {
    if all.contains("\(unetPath).label_emb") { return .stableDiffusionXL }
    let isSecond = textEncoder(.textEncoder, all).map(\.isOpenCLIP) ?? (textWidth(all) == 1024)
    return isSecond ? .stableDiffusion2 : .stableDiffusion1
  }

  /// The model's name: the file's, without its ending.
  public var name: String { url.deletingPathExtension().lastPathComponent }

  public func contains(_ component: Component) -> Bool { parts[component] != nil }

  /// A part's tensors under the names of diffusers and transformers: what its configuration is read off.
  ///
  /// - Throws: `badData` where the file has no such part.
  public func tensors(_ component: Component) throws(UserError) -> TensorView { try part(component).tensors }

  /// Whether a text encoder is one of OpenCLIP's.
  public func isOpenCLIP(_ component: Component) -> Bool { parts[component]?.isOpenCLIP ?? false }

  private func part(_ component: Component) throws(UserError) -> Part {
    guard let part = parts[component] else {
      throw UserError(
        .badData, at: .file(url), "has no \(component.title)",
        remedy: component == .vae ? "give one by --vae" : "name a whole checkpoint")
    }
    return part
  }

  /// A part's weights under the names of diffusers and transformers.
  public func weights(_ component: Component) throws(UserError) -> any WeightSource {
    let part = try part(component)
    return try FileWeights(part.stored, naming: part.naming, warn: warn)
  }

  /// The SHA-256 of the file.
  public func sha256() throws(UserError) -> [String: String] { ["model": try FileHash.sha256(of: url)] }

  /// The parts that a model of its family has and the file has not.
  public var missing: [Component] {
    let needed: [Component] =
      family == .stableDiffusionXL ? [.textEncoder, .textEncoder2, .vae] : [.textEncoder, .vae]
    return needed.filter { parts[$0] == nil }
  }

  /// What was recognized, in a line.
  public var recognition: String {
    (["\(url.lastPathComponent): \(family), \(prediction)"] + missing.map { "no \($0.title)" }
      + (holdsMeans ? ["holds weights and their running means (EMA)"] : [])).joined(separator: "; ")
  }
}

extension TensorView {
  /// The running means of tensors: LitEma's names are those of the weights with the dots left out.
  fileprivate func means(of weights: TensorView, at path: String) throws(UserError) -> TensorView {
    let means = below("model_ema")
    let names = Dictionary(
      weights.names.map { ("\(path).\($0)".replacing(".", with: ""), $0) }, uniquingKeysWith: { first, _ in first })
    let named = means.renamed { names[$0] }
    guard named.names.count == weights.names.count else {
      throw UserError(.badData, at: .file(url), "holds running means of some weights only", remedy: "leave --ema out")
    }
    return named
  }
}
