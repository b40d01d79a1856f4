"""Builds the tiny Stable Diffusion models under Tests/Fixtures/models: random weights, real layouts.

    python tiny_models.py [--tokenizer DIR] [--output DIR] [NAME ...]

The weights are drawn so that activations and gradients keep a healthy size: matrices by their fan-in, norms around one,
no bias zero. Each model takes another of the ways in which model folders differ:

    tiny-sd1    as SD 1.x: epsilon, conv projections, quick-GELU, `attention_head_dim` that is a number of heads
    tiny-sd2    as SD 2.x: v-prediction, linear projections, heads per level, GELU, padding with "!", text names without `text_model.`
    tiny-odd    12 x 20 latents, channels that fall again, head dimensions 12 and 5, layers per level, two transformer layers,
                no cross-attention in the outermost level, a tokenizer.json alone
    tiny-sdxl   as SDXL: two text encoders of different width, the second with a projection and padded with "!", a UNet told of pooled text
                and sizes, no attention in the outermost level, transformer layers per level; in half precision
    tiny-sdxl-v the same kind as SDXL models that predict velocity: zero terminal SNR, trailing timesteps
    tiny-deep   SD 1.5's own four levels and its old, short configuration files; VAE attention named `query`, `key`, `value`, `proj_attn`;
                a `position_ids` tensor among the text encoder's
"""
from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from common import MODELS, demo_model

CROSS_DOWN, DOWN, CROSS_UP, UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"

SDXL_UNET = dict(sample_size=8, layers_per_block=1, norm_num_groups=4, use_linear_projection=True, down_block_types=(DOWN, CROSS_DOWN, CROSS_DOWN),
                 up_block_types=(CROSS_UP, CROSS_UP, UP), addition_embed_type="text_time", addition_time_embed_dim=8)
SDXL_VAE = dict(block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=4, sample_size=16, scaling_factor=0.13025)

CONFIGURATIONS = {
    "tiny-sd1": dict(
        seed=1,
        text=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, hidden_act="quick_gelu"),
        unet=dict(sample_size=8, block_out_channels=(16, 24), layers_per_block=2, norm_num_groups=4, attention_head_dim=2,
                  down_block_types=(CROSS_DOWN, DOWN), up_block_types=(UP, CROSS_UP)),
        vae=dict(block_out_channels=(4, 8), layers_per_block=2, norm_num_groups=4, sample_size=16, scaling_factor=0.18215),
        scheduler=dict(prediction_type="epsilon", set_alpha_to_one=False, skip_prk_steps=True)),
    "tiny-sd2": dict(
        seed=2, prefix=False, pad="!",
        text=dict(hidden_size=40, intermediate_size=96, num_hidden_layers=3, num_attention_heads=5, hidden_act="gelu"),
        unet=dict(sample_size=8, block_out_channels=(16, 20), layers_per_block=1, norm_num_groups=4, attention_head_dim=(2, 1),
                  use_linear_projection=True, upcast_attention=True,
                  down_block_types=(CROSS_DOWN, CROSS_DOWN), up_block_types=(CROSS_UP, CROSS_UP)),
        vae=dict(block_out_channels=(8, 8, 8), layers_per_block=1, norm_num_groups=8, sample_size=32, scaling_factor=0.18215),
        scheduler=dict(prediction_type="v_prediction", set_alpha_to_one=False, skip_prk_steps=True)),
    "tiny-odd": dict(
        seed=3, tokenizer_json_only=True,
        text=dict(hidden_size=36, intermediate_size=50, num_hidden_layers=2, num_attention_heads=3, hidden_act="quick_gelu",
                  layer_norm_eps=1e-6),
        unet=dict(sample_size=(12, 20), block_out_channels=(12, 24, 15), layers_per_block=(1, 1, 2), norm_num_groups=3,
                  attention_head_dim=(2, 2, 3), transformer_layers_per_block=(1, 2, 1), norm_eps=1e-6,
                  down_block_types=(DOWN, CROSS_DOWN, CROSS_DOWN), up_block_types=(CROSS_UP, CROSS_UP, UP)),
        vae=dict(block_out_channels=(6, 9), layers_per_block=1, norm_num_groups=3, sample_size=24, scaling_factor=0.31),
        scheduler=dict(prediction_type="epsilon", beta_schedule="linear", beta_start=0.0001, beta_end=0.02)),
    "tiny-sdxl": dict(
        seed=5, half=True,
        text=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, hidden_act="quick_gelu"),
        # As in SDXL's own file: transformers takes 2 for "pool at the highest id".
        text_2=dict(hidden_size=40, intermediate_size=80, num_hidden_layers=3, num_attention_heads=5, hidden_act="gelu", projection_dim=36,
                    eos_token_id=2),
        unet=dict(block_out_channels=(16, 20, 24), attention_head_dim=(2, 2, 3), transformer_layers_per_block=(1, 2, 3), **SDXL_UNET),
        vae=SDXL_VAE,
        scheduler=dict(_class_name="EulerDiscreteScheduler", prediction_type="epsilon", timestep_spacing="leading",
                       interpolation_type="linear", use_karras_sigmas=False)),
    "tiny-sdxl-v": dict(
        seed=6, half=True,
        text=dict(hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, hidden_act="quick_gelu"),
        text_2=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, hidden_act="gelu", projection_dim=32),
        unet=dict(block_out_channels=(12, 16, 16), attention_head_dim=(1, 2, 2), transformer_layers_per_block=(1, 1, 2), **SDXL_UNET),
        vae=SDXL_VAE,
        scheduler=dict(_class_name="EulerDiscreteScheduler", prediction_type="v_prediction", timestep_spacing="trailing",
                       rescale_betas_zero_snr=True)),
    "tiny-deep": dict(
        seed=4, old=True,
        text=dict(hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, hidden_act="quick_gelu"),
        unet=dict(sample_size=16, block_out_channels=(12, 12, 16, 16), layers_per_block=2, norm_num_groups=4, attention_head_dim=2,
                  down_block_types=(CROSS_DOWN, CROSS_DOWN, CROSS_DOWN, DOWN), up_block_types=(UP, CROSS_UP, CROSS_UP, CROSS_UP)),
        vae=dict(block_out_channels=(4, 4, 4, 8), layers_per_block=1, norm_num_groups=4, sample_size=64),
        scheduler=dict(prediction_type="epsilon", set_alpha_to_one=False, skip_prk_steps=True)),
}

# What SD 1.5's own files say, and no more: the rest is left to a reader's defaults.
OLD_KEYS = {
    "unet": ("_class_name _diffusers_version act_fn attention_head_dim block_out_channels center_input_sample cross_attention_dim "
             "down_block_types downsample_padding flip_sin_to_cos freq_shift in_channels layers_per_block mid_block_scale_factor "
             "norm_eps norm_num_groups out_channels sample_size up_block_types").split(),
    "vae": ("_class_name _diffusers_version act_fn block_out_channels down_block_types in_channels latent_channels layers_per_block "
            "norm_num_groups out_channels sample_size up_block_types").split(),
}
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Draws every parameter, in the order of the names: none zero, none that makes values grow or vanish, attention not peaked."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        draw = torch.randn(parameter.shape, generator=generator)
        if "embedding" in name and "time_embedding" not in name and "add_embedding" not in name:
            draw *= 0.4 if "token" in name else 0.2
        elif parameter.dim() > 1:
            draw *= parameter[0].numel() ** -0.5 * (0.5 if ".to_q." in name or ".to_k." in name else 1)
        elif name.endswith("weight"):
            draw = 1 + 0.2 * draw
        else:
            draw *= 0.1
        parameter.data.copy_(draw)


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content), indent=2) + "\n")


def rename(path: Path, change) -> None:
    save_file({change(name): tensor for name, tensor in load_file(path).items()}, path, metadata={"format": "pt"})


def write_tokenizer(source: Path, out: Path, json_only: bool, pad: str | None) -> int:
    out.mkdir(parents=True)
    for name in ["tokenizer.json"] if json_only else ["vocab.json", "merges.txt"]:
        shutil.copyfile(source / name, out / name)
    shutil.copyfile(source / "tokenizer_config.json", out / "tokenizer_config.json")
    if pad:
        edit(out / "tokenizer_config.json", lambda c: {**c, "pad_token": pad})
        (out / "special_tokens_map.json").write_text(json.dumps(
            dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token=pad), indent=2) + "\n")
    return len(json.loads((source / "vocab.json").read_text()))


def text_configuration(vocabulary: int, pad: str | None, text: dict) -> CLIPTextConfig:
    return CLIPTextConfig(**(dict(
        vocab_size=vocabulary, max_position_embeddings=77, projection_dim=text["hidden_size"], bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1, pad_token_id=0 if pad == "!" else vocabulary - 1) | text))


def build(name: str, tokenizer: Path, out: Path, seed: int, text: dict, unet: dict, vae: dict, scheduler: dict, prefix: bool = True,
          old: bool = False, pad: str | None = None, tokenizer_json_only: bool = False, text_2: dict | None = None,
          half: bool = False) -> None:
    shutil.rmtree(out, ignore_errors=True)
    dtype = torch.float16 if half else torch.float32
    vocabulary = write_tokenizer(tokenizer, out / "tokenizer", tokenizer_json_only, pad)

    text_encoder = CLIPTextModel(text_configuration(vocabulary, pad, text))
    randomize(text_encoder, seed)
    text_encoder.to(dtype).save_pretrained(out / "text_encoder")
    weights = out / "text_encoder" / "model.safetensors"
    rename(weights, lambda n: ("text_model." if prefix else "") + n.removeprefix("text_model."))
    context = text["hidden_size"]
    if text_2:
        write_tokenizer(tokenizer, out / "tokenizer_2", tokenizer_json_only, "!")
        second = CLIPTextModelWithProjection(text_configuration(vocabulary, "!", text_2))
        randomize(second, seed + 100)
        second.to(dtype).save_pretrained(out / "text_encoder_2")
        context += text_2["hidden_size"]
        unet = unet | dict(projection_class_embeddings_input_dim=second.config.projection_dim + 6 * unet["addition_time_embed_dim"])

    levels = len(vae["block_out_channels"])
    parts = {
        "unet": UNet2DConditionModel(in_channels=4, out_channels=4, cross_attention_dim=context, **unet),
        "vae": AutoencoderKL(in_channels=3, out_channels=3, latent_channels=4, down_block_types=("DownEncoderBlock2D",) * levels,
                             up_block_types=("UpDecoderBlock2D",) * levels, **vae),
    }
    for part, module in parts.items():
        randomize(module, seed)
        module.to(dtype).save_pretrained(out / part)

    schedule = dict(_class_name="PNDMScheduler", _diffusers_version="0.6.0", beta_start=0.00085, beta_end=0.012,
                    beta_schedule="scaled_linear", num_train_timesteps=1000, clip_sample=False, steps_offset=1, trained_betas=None)
    (out / "scheduler").mkdir()
    (out / "scheduler" / "scheduler_config.json").write_text(json.dumps({**schedule, **scheduler}, indent=2) + "\n")
    if text_2:
        index = {"_class_name": "StableDiffusionXLPipeline", "_diffusers_version": "0.19.0", "force_zeros_for_empty_prompt": True,
                 "scheduler": ["diffusers", "EulerDiscreteScheduler"], "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
                 "tokenizer_2": ["transformers", "CLIPTokenizer"]}
    else:
        index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0", "feature_extractor": [None, None],
                 "safety_checker": [None, None], "requires_safety_checker": False, "scheduler": ["diffusers", "PNDMScheduler"]}
    index |= {"text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
              "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")

    if old:
        for part, keys in OLD_KEYS.items():
            edit(out / part / "config.json", lambda c: {key: c[key] for key in keys} | {"_diffusers_version": "0.6.0"})
        path = out / "vae" / "diffusion_pytorch_model.safetensors"

        def old_name(name: str) -> str:
            for new, former in OLD_ATTENTION.items():
                name = name.replace(f"attentions.0.{new}.", f"attentions.0.{former}.")
            return name
        rename(path, old_name)
        tensors = load_file(weights)
        tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        save_file(tensors, weights, metadata={"format": "pt"})

    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{name}: {size / 1024:.0f} KiB")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokenizer", type=Path, help="tokenizer folder of the demo model")
    parser.add_argument("--output", type=Path, default=MODELS)
    parser.add_argument("models", nargs="*", choices=[[], *CONFIGURATIONS], help="which of them; all by default")
    arguments = parser.parse_args()
    tokenizer = arguments.tokenizer or demo_model() / "tokenizer"
    for name in arguments.models or CONFIGURATIONS:
        build(name, tokenizer, arguments.output / name, **CONFIGURATIONS[name])


if __name__ == "__main__":
    main()
