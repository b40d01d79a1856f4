"""Inputs and outputs of each part of the tiny models, computed in double precision: outputs.safetensors in each folder.

    python outputs.py [MODEL_DIR ...]

Pictures and latents are NCHW, as in PyTorch. B is 2.

    text.input_ids           [B,77] I64   two prompts
    text.output              [B,77,d]     what the UNet reads: the last hidden state after the final LayerNorm; of SDXL, the one before
                                          the last, without
    text.output_gradient     [B,77,d]     dy, drawn at random
    text.embedding_gradient  [B,77,d]     d<output,dy>/d(token embedding), which is also that before the position is added
    text_2.*                              of SDXL, the same for the second text encoder, and
    text_2.pooled            [B,p]        the projected last hidden state, after the final LayerNorm, at the end of the text
    text_2.pooled_gradient   [B,p]        dy of it, drawn at random; embedding_gradient is that of <output,dy> + <pooled,dy>
    unet.sample              [B,4,h,w]
    unet.timesteps           [B] I64
    unet.context             [B,77,d]
    unet.pooled, unet.sizes  [B,p] [B,6]  of SDXL: pooled text, and the six numbers of size and crop
    unet.output              [B,4,h,w]
    unet.output_gradient     [B,4,h,w]    dy, drawn at random
    unet.context_gradient    [B,77,d]     d<output,dy>/d(context)
    unet.pooled_gradient     [B,p]        d<output,dy>/d(pooled)
    unet.sample_odd, unet.output_odd, unet.output_gradient_odd, unet.context_gradient_odd, unet.pooled_gradient_odd
                             the same with latents that no level but the first halves evenly (same timesteps and context)
    vae.pixels               [1,3,H,W]    in -1..1
    vae.mean, vae.logvar     [1,4,h,w]    the moments; logvar is clamped to -30..20
    vae.latents              [1,4,h,w]    what goes into decode(), that is: already divided by the scaling factor
    vae.decoded              [1,3,H,W]    not clamped
    alphas_cumprod           [1000]       of the model's own schedule, as diffusers computes it (in f32)

The metadata's `spread` says of the UNet's results how far PyTorch's own float16 and bfloat16 are from them, max|a - b| / max|b|.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch

from common import (MODELS, has_two_text_encoders, load_schedule, load_text_encoder, load_text_encoder_2, load_tokenizer, load_unet, load_vae,
                    relative_error, save)

PROMPTS = ["a photo of a striped blue cat on a green background, outlined", "rocket"]


def text_part(encoder: torch.nn.Module, ids: torch.Tensor, dy: torch.Tensor, penultimate: bool, d_pooled: torch.Tensor | None = None,
              name: str = "text") -> dict[str, torch.Tensor]:
    embedded = []

    def keep(module, arguments, output):
        output = output.detach().requires_grad_()
        embedded.append(output)
        return output
    encoder.get_input_embeddings().register_forward_hook(keep)
    result = encoder(ids, output_hidden_states=True)
    output = result.hidden_states[-2] if penultimate else result.last_hidden_state
    product = (output * dy).sum()
    found = {f"{name}.output": output}
    if d_pooled is not None:
        found[f"{name}.pooled"] = result.text_embeds
        product = product + (result.text_embeds * d_pooled).sum()
    product.backward()
    return found | {f"{name}.embedding_gradient": embedded[0].grad}


def unet_part(model: Path, dtype: torch.dtype, sample, timesteps, context, dy, pooled=None, sizes=None,
              suffix: str = "") -> dict[str, torch.Tensor]:
    unet = load_unet(model, dtype)
    context = context.to(dtype, copy=True).requires_grad_()
    added = None
    if pooled is not None:
        pooled = pooled.to(dtype, copy=True).requires_grad_()
        added = {"text_embeds": pooled, "time_ids": sizes.to(dtype)}
    output = unet(sample.to(dtype), timesteps, context, added_cond_kwargs=added).sample
    output.backward(dy.to(dtype))
    found = {f"unet.output{suffix}": output, f"unet.context_gradient{suffix}": context.grad}
    return found if pooled is None else found | {f"unet.pooled_gradient{suffix}": pooled.grad}


def vae_part(model: Path, dtype: torch.dtype, pixels, latents) -> dict[str, torch.Tensor]:
    vae = load_vae(model, dtype)
    with torch.no_grad():
        moments = vae.encode(pixels.to(dtype)).latent_dist
        return {"vae.mean": moments.mean, "vae.logvar": moments.logvar, "vae.decoded": vae.decode(latents.to(dtype)).sample}


def write(model: Path) -> None:
    generator = torch.Generator().manual_seed(100)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)
    config = load_unet(model).config
    size = config.sample_size
    h, w = size if isinstance(size, (tuple, list)) else (size, size)
    odd = [2 * (side // 2) - 3 for side in (h, w + 2)]
    d = config.cross_attention_dim
    scale = 2 ** (len(load_vae(model).config.block_out_channels) - 1)

    def tokens(name: str) -> torch.Tensor:
        return load_tokenizer(model, name)(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
    two = has_two_text_encoders(model)
    width = load_text_encoder(model).config.hidden_size

    inputs = {"text.input_ids": tokens("tokenizer"), "text.output_gradient": draw(2, 77, width), "unet.sample": draw(2, 4, h, w),
              "unet.timesteps": torch.tensor([17, 981]), "unet.context": draw(2, 77, d), "unet.output_gradient": draw(2, 4, h, w),
              "unet.sample_odd": draw(2, 4, *odd), "unet.output_gradient_odd": draw(2, 4, *odd),
              "vae.pixels": torch.rand((1, 3, h * scale, w * scale), generator=generator) * 2 - 1, "vae.latents": draw(1, 4, h, w)}
    if two:
        p = load_text_encoder_2(model).config.projection_dim
        inputs |= {"text_2.input_ids": tokens("tokenizer_2"), "text_2.output_gradient": draw(2, 77, d - width),
                   "text_2.pooled_gradient": draw(2, p) * 4, "unet.pooled": draw(2, p),
                   "unet.sizes": torch.tensor([[1024.0, 1536, 0, 256, 1024, 1024], [333, 500, 12, 0, 832, 1216]])}

    def unet_parts(dtype: torch.dtype) -> dict[str, torch.Tensor]:
        found = {}
        for suffix in ["", "_odd"]:
            found |= unet_part(model, dtype, inputs["unet.sample" + suffix], inputs["unet.timesteps"], inputs["unet.context"],
                               inputs["unet.output_gradient" + suffix], inputs.get("unet.pooled"), inputs.get("unet.sizes"), suffix)
        return found

    def outputs(dtype: torch.dtype) -> dict[str, torch.Tensor]:
        found = text_part(load_text_encoder(model, dtype), inputs["text.input_ids"], inputs["text.output_gradient"].to(dtype), two)
        if two:
            found |= text_part(load_text_encoder_2(model, dtype), inputs["text_2.input_ids"], inputs["text_2.output_gradient"].to(dtype), two,
                               inputs["text_2.pooled_gradient"].to(dtype), "text_2")
        return found | unet_parts(dtype) | vae_part(model, dtype, inputs["vae.pixels"], inputs["vae.latents"])

    truth, single = outputs(torch.float64), outputs(torch.float32)
    for name, tensor in truth.items():
        print(f"  {name:26} max {tensor.abs().max().item():8.3g}  std {tensor.std().item():8.3g}  "
              f"f32 differs by {relative_error(single[name], tensor):.1e}")
    spread = {name: {} for name in truth if name.startswith("unet.")}
    for key, dtype in [("f16", torch.float16), ("bf16", torch.bfloat16)]:
        for name, tensor in unet_parts(dtype).items():
            spread[name][key] = relative_error(tensor, truth[name])
    save(model / "outputs.safetensors", {**inputs, **truth, "alphas_cumprod": load_schedule(model).alphas_cumprod}, "outputs.py",
         prompts=PROMPTS, spread=spread)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path, nargs="*")
    for model in parser.parse_args().models or sorted(MODELS.glob("tiny-*")):
        write(model)


if __name__ == "__main__":
    main()
