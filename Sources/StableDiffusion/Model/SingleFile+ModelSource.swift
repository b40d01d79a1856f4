import Foundation
import ModelFiles
import Tensors

/// A configuration is read off the tensors' sizes; what they do not tell is as the family has it.
extension SingleFile: ModelSource {
  public var location: URL? { url }

  public var schedulerFile: URL? { nil }

  public func textEncoder(_ component: Component) throws(UserError) -> CLIPTextConfiguration {
    try CLIPTextConfiguration(tensors(component), family: family, isOpenCLIP: isOpenCLIP(component))
  }

  public func unet() throws(UserError) -> UNetConfiguration {
    var configuration = try UNetConfiguration(tensors(.unet), family: family)
    configuration.sampleSize =
      switch family {
      case .stableDiffusion1: 64
      case .stableDiffusion2: prediction.isVelocity ? 96 : 64
      case .stableDiffusionXL: 128
      }
    return configuration
  }

  public func autoencoder() throws(UserError) -> AutoencoderConfiguration {
    try AutoencoderConfiguration(tensors(.vae), scalingFactor: family.scalingFactor)
  }

  public func scheduler() -> SchedulerConfiguration { SchedulerConfiguration(prediction, family) }

  public func tokenizer(_ component: Component) throws(UserError) -> CLIPTokenizer {
    // OpenCLIP fills prompts up with token 0, and so do diffusers' folders of the models that read it.
    let tokenizer = try CLIPTokenizer.builtIn(padding: isOpenCLIP(component) ? .exclamationMark : .endOfText)
    let vocabulary = try tensors(component).size("text_model.embeddings.token_embedding.weight", 0)
    guard vocabulary >= tokenizer.vocabularySize else {
      throw try tensors(component).untold(
        "its tokenizer can't be told: the text encoder knows \(vocabulary) tokens, CLIP's has \(tokenizer.vocabularySize)"
      )
    }
    return tokenizer
  }
}

extension ModelFamily {
  /// What latents are multiplied by before noise is added to them.
  public var scalingFactor: Float { self == .stableDiffusionXL ? 0.13025 : 0.18215 }
}

extension SchedulerConfiguration {
  /// Stable Diffusion's noise, and steps spaced as the folders of its models in diffusers say: those of SD1 and SD2 leave it to
  /// each sampler.
  public init(_ prediction: Prediction, _ family: ModelFamily) {
    self.init(predictionType: (prediction.isVelocity ? PredictionType.velocity : .epsilon).rawValue)
    setAlphaToOne = false
    if family == .stableDiffusionXL { timestepSpacing = "leading" }
    if prediction.hasZeroSNR {
      // A model that was trained to see nothing but noise has to be started there.
      rescaleBetasZeroSNR = true
      timestepSpacing = "trailing"
    }
  }
}

extension CLIPTextConfiguration {
  /// A text encoder's sizes, off its tensors under transformers' names.
  ///
  /// - Parameter isOpenCLIP: whether it is OpenCLIP's, in whose naming SD2 reads the layer before the last.
  init(_ tensors: TensorView, family: ModelFamily, isOpenCLIP: Bool) throws(UserError) {
    let model = "text_model"
    let table = "\(model).embeddings.token_embedding.weight"
    let width = try tensors.size(table, 1)
    let blocks = tensors.count("\(model).encoder.layers")
    self.init(
      vocabularySize: try tensors.size(table, 0), width: width,
      hiddenWidth: try tensors.size("\(model).encoder.layers.0.mlp.fc1.weight", 0),
      layers: family == .stableDiffusion2 && isOpenCLIP ? Self.layersBelowLast(tensors, blocks) : blocks,
      heads: try tensors.heads(of: width, "the text encoder"),
      positions: try tensors.size("\(model).embeddings.position_embedding.weight", 0),
      activation: isOpenCLIP ? .gelu : .quickGELU,
      projectionWidth: tensors.shape(of: "text_projection.weight")?.dimensions.first)
    do throws(UserError) { try check() } catch { throw error.at(.file(tensors.url)) }
  }

  /// OpenCLIP's tower of SD2 has 24 blocks, of which 23 are used. Files that were made of diffusers' folders may hold just those: they lack what
  /// stands behind the tower.
  private static func layersBelowLast(_ tensors: TensorView, _ blocks: Int) -> Int {
    let isWhole = blocks == 24 || tensors.contains("text_projection") || tensors.contains("logit_scale")
    return isWhole && blocks != 23 ? blocks - 1 : blocks
  }
}

extension UNetConfiguration {
  /// A UNet's sizes, off its tensors under diffusers' names.
  init(_ tensors: TensorView, family: ModelFamily) throws(UserError) {
    let count = tensors.count("down_blocks")
    /// The transformer blocks behind each residual block of a place.
    func transformers(_ place: String) -> [Int] {
      (0..<tensors.count("\(place).resnets")).map { tensors.count("\(place).attentions.\($0).transformer_blocks") }
    }
    let middle = tensors.count("mid_block.attentions.0.transformer_blocks")
    var levels: [Level] = []
    for index in 0..<count {
      let channels = try tensors.size("down_blocks.\(index).resnets.0.conv1.weight", 0)
      var level = Level(channels: channels, attends: false)
      level.transformersDown = transformers("down_blocks.\(index)")
      level.transformersUp = transformers("up_blocks.\(count - 1 - index)")
      // The middle belongs to the coarsest level; where nothing attends, the number of heads is of no use.
      let attends = (level.transformersDown + level.transformersUp + (index == count - 1 ? [middle] : [])).contains {
        $0 > 0
      }
      if family != .stableDiffusion1, attends { level.heads = try tensors.heads(of: channels, "the UNet") }
      levels.append(level)
    }
    try tensors.checkGroups(levels.map(\.channels), "the UNet")
    let attention = tensors.names.first { $0.hasSuffix(".attn2.to_k.weight") } ?? "attn2.to_k.weight"
    let projection = tensors.names.first { $0.hasSuffix(".proj_in.weight") }
    self.init(
      inputChannels: try tensors.size("conv_in.weight", 1), outputChannels: try tensors.size("conv_out.weight", 0),
      levels: levels, middleTransformers: middle, contextWidth: try tensors.size(attention, 1),
      added: try Self.added(tensors, family),
      usesLinearProjection: projection.flatMap { tensors.shape(of: $0)?.rank } == 2,
      timeWidth: try tensors.size("time_embedding.linear_1.weight", 0))
    do throws(UserError) { try check() } catch { throw error.at(.file(tensors.url)) }
  }
}

extension UNetConfiguration {
  /// SDXL's pooled text and six sizes of 256 sinusoids each.
  private static func added(_ tensors: TensorView, _ family: ModelFamily) throws(UserError) -> AddedConditioning? {
    guard family == .stableDiffusionXL else { return nil }
    let inputs = try tensors.size("add_embedding.linear_1.weight", 1)
    let sizes = AddedConditioning(pooledWidth: 0)
    guard inputs > sizes.inputs else {
      throw tensors.untold("how its sizes are told the UNet can't be told of \(inputs) numbers")
    }
    return AddedConditioning(pooledWidth: inputs - sizes.inputs)
  }
}

extension AutoencoderConfiguration {
  /// A VAE's sizes, off its tensors under diffusers' names.
  init(_ tensors: TensorView, scalingFactor: Float) throws(UserError) {
    var levels: [Int] = []
    for index in 0..<tensors.count("encoder.down_blocks") {
      levels.append(try tensors.size("encoder.down_blocks.\(index).resnets.0.conv1.weight", 0))
    }
    try tensors.checkGroups(levels, "the VAE")
    self.init(
      pictureChannels: try tensors.size("encoder.conv_in.weight", 1),
      latentChannels: try tensors.size("decoder.conv_in.weight", 1), levels: levels,
      layers: tensors.count("encoder.down_blocks.0.resnets"), scalingFactor: scalingFactor,
      attends: tensors.contains("encoder.mid_block.attentions.0"), convolvesMoments: tensors.contains("quant_conv"),
      convolvesLatents: tensors.contains("post_quant_conv"))
    do throws(UserError) { try check() } catch { throw error.at(.file(tensors.url)) }
  }
}
