/// How Stable Diffusion's own code, and the files in one piece that began with it, name what diffusers and transformers name
/// otherwise (CompVis' latent-diffusion, Stability's generative-models, OpenCLIP).
///
/// UNet and VAE there are numbered lists of blocks, so their maps are made for the blocks that a file has.
enum OriginalNaming {
  /// - Parameter view: the tensors below `model.diffusion_model`.
  static func unet(_ view: TensorView) -> ComponentNaming {
    let resNet = TensorMap([
      .init("in_layers.0", "norm1"), .init("in_layers.2", "conv1"), .init("emb_layers.1", "time_emb_proj"),
      .init("out_layers.0", "norm2"), .init("out_layers.3", "conv2"), .init("skip_connection", "conv_shortcut"),
    ])
    var rules: [TensorMap.Rule] = [
      .init("time_embed.0", "time_embedding.linear_1"), .init("time_embed.2", "time_embedding.linear_2"),
      .init("label_emb.0.0", "add_embedding.linear_1"), .init("label_emb.0.2", "add_embedding.linear_2"),
      .init("input_blocks.0.0", "conv_in"), .init("out.0", "conv_norm_out"), .init("out.2", "conv_out"),
      .init("middle_block.0", "mid_block.resnets.0", inside: resNet),
      .init("middle_block.1", "mid_block.attentions.0"),
      .init("middle_block.2", "mid_block.resnets.1", inside: resNet),
    ]
    // The way down: a block halves the picture, or is a residual block and perhaps a transformer.
    var level = 0
    var layer = 0
    for index in stride(from: 1, to: view.count("input_blocks"), by: 1) {
      let block = "input_blocks.\(index)"
      if view.contains("\(block).0.op") {
        rules.append(.init("\(block).0.op", "down_blocks.\(level).downsamplers.0.conv"))
        (level, layer) = (level + 1, 0)
      } else {
        rules.append(.init("\(block).0", "down_blocks.\(level).resnets.\(layer)", inside: resNet))
        rules.append(.init("\(block).1", "down_blocks.\(level).attentions.\(layer)"))
        layer += 1
      }
    }
    // The way up: what doubles the picture stands last in the last block of a level.
    (level, layer) = (0, 0)
    for index in 0..<view.count("output_blocks") {
      let block = "output_blocks.\(index)"
      let doubling = [1, 2].first { view.contains("\(block).\($0).conv") }
      rules.append(.init("\(block).0", "up_blocks.\(level).resnets.\(layer)", inside: resNet))
      if let doubling { rules.append(.init("\(block).\(doubling).conv", "up_blocks.\(level).upsamplers.0.conv")) }
      if doubling != 1 { rules.append(.init("\(block).1", "up_blocks.\(level).attentions.\(layer)")) }
      layer += 1
      if doubling != nil { (level, layer) = (level + 1, 0) }
    }
    return ComponentNaming(TensorMap(rules))
  }

  /// - Parameter view: the tensors below `first_stage_model`.
  static func autoencoder(_ view: TensorView) -> ComponentNaming {
    let resNet = TensorMap([.init("nin_shortcut", "conv_shortcut")])
    let attention = TensorMap(
      [("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")].flatMap { old, new in
        [.init("\(old).weight", "\(new).weight", .matrix), .init(old, new)]
      } + [.init("norm", "group_norm")])
    var rules: [TensorMap.Rule] = [
      .init("*.mid.block_1", "*.mid_block.resnets.0", inside: resNet),
      .init("*.mid.attn_1", "*.mid_block.attentions.0", inside: attention),
      .init("*.mid.block_2", "*.mid_block.resnets.1", inside: resNet),
      .init("*.norm_out", "*.conv_norm_out"),
      .init("encoder.down.*.block.*", "encoder.down_blocks.*.resnets.*", inside: resNet),
      .init("encoder.down.*.downsample", "encoder.down_blocks.*.downsamplers.0"),
    ]
    // The decoder's levels are numbered from the finest, though it begins at the coarsest.
    let levels = view.count("decoder.up")
    for level in 0..<levels {
      let block = "decoder.up_blocks.\(levels - 1 - level)"
      rules.append(.init("decoder.up.\(level).block.*", "\(block).resnets.*", inside: resNet))
      rules.append(.init("decoder.up.\(level).upsample", "\(block).upsamplers.0"))
    }
    // What only the VAE's own training used.
    return ComponentNaming(TensorMap(rules), ignored: ["loss", "model_ema"], surplus: ["logvar"])
  }

  /// OpenCLIP's text tower.
  ///
  /// - Parameter view: the tensors that hold `transformer.resblocks`.
  static func openCLIP(_ view: TensorView) -> ComponentNaming {
    let attention = TensorMap(
      ["weight", "bias"].map { kind in
        .init("in_proj_\(kind)", splitInto: ["q", "k", "v"].map { "\($0)_proj.\(kind)" })
      })
    let block = TensorMap([
      .init("ln_1", "layer_norm1"), .init("ln_2", "layer_norm2"), .init("attn", "self_attn", inside: attention),
      .init("mlp.c_fc", "mlp.fc1"), .init("mlp.c_proj", "mlp.fc2"),
    ])
    var naming = ComponentNaming(
      TensorMap([
        .init("token_embedding", "text_model.embeddings.token_embedding"),
        .init("positional_embedding", "text_model.embeddings.position_embedding.weight"),
        .init("transformer.resblocks.*", "text_model.encoder.layers.*", inside: block),
        .init("ln_final", "text_model.final_layer_norm"),
        .init("text_projection", "text_projection.weight", .transposed),
      ]), ignored: ["logit_scale", "attn_mask", "text_projection"])
    // Where the layer before the last is used, nobody asks for the last.
    let blocks = view.count("transformer.resblocks")
    if blocks > 0 { naming.ignored.append("text_model.encoder.layers.\(blocks - 1)") }
    return naming
  }
}
