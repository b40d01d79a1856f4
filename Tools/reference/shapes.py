"""Full-size Stable Diffusion models with random weights: `sd15`, `sd21` and the demo's shape."""
from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from common import FIXTURES, demo_model
from tiny_models import CROSS_DOWN, CROSS_UP, DOWN, UP, randomize

MERGES = FIXTURES / "clip" / "merges.txt"
FOUR_LEVELS = dict(down_block_types=(CROSS_DOWN,) * 3 + (DOWN,), up_block_types=(UP,) + (CROSS_UP,) * 3, layers_per_block=2)
CLIP = dict(vocab_size=49_408, max_position_embeddings=77, bos_token_id=49_406, eos_token_id=49_407)
VAE = dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2, norm_num_groups=32, sample_size=512, scaling_factor=0.18215,
           down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
SCHEDULE = dict(_class_name="DDPMScheduler", beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000,
                clip_sample=False, set_alpha_to_one=False, steps_offset=1)
SHAPES = {
    "sd15": dict(
        text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu",
                  projection_dim=768, pad_token_id=49_407, **CLIP),
        unet=dict(sample_size=64, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8, **FOUR_LEVELS),
        vae=VAE, scheduler=dict(SCHEDULE, prediction_type="epsilon")),
    "sd21": dict(
        text=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu",
                  projection_dim=512, pad_token_id=0, **CLIP),
        unet=dict(sample_size=96, block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20),
                  use_linear_projection=True, **FOUR_LEVELS),
        vae=VAE, scheduler=dict(SCHEDULE, prediction_type="v_prediction")),
}
VAE_FACTOR = {"sd15": 8, "sd21": 8, "demo": 4}


def build_unet(shape: str) -> UNet2DConditionModel:
    with torch.device("meta"):  # no use in drawing the weights twice
        unet = UNet2DConditionModel(**SHAPES[shape]["unet"])
    assert not list(unet.buffers())
    unet.to_empty(device="cpu")
    randomize(unet, 5)
    return unet.eval()


def build_text_encoder(shape: str) -> CLIPTextModel:
    text = CLIPTextModel(CLIPTextConfig(**SHAPES[shape]["text"]))
    randomize(text, 5)
    return text.eval()


def write_model(shape: str, out: Path) -> None:
    """A whole folder in diffusers' layout, weights in half precision: what any reader makes of them in f32 is the same."""
    configuration = SHAPES[shape]
    build_text_encoder(shape).half().save_pretrained(out / "text_encoder")
    build_unet(shape).half().save_pretrained(out / "unet", max_shard_size="100GB")
    vae = AutoencoderKL(**configuration["vae"])
    randomize(vae, 5)
    vae.half().save_pretrained(out / "vae")
    write_clip_tokenizer(out / "tokenizer", "!" if shape == "sd21" else "<|endoftext|>")
    (out / "scheduler").mkdir(exist_ok=True)
    (out / "scheduler" / "scheduler_config.json").write_text(json.dumps(configuration["scheduler"], indent=2) + "\n")
    index = json.loads((demo_model() / "model_index.json").read_text())
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def write_clip_tokenizer(out: Path, pad: str) -> None:
    """CLIP's whole vocabulary, from its merges."""
    out.mkdir(parents=True, exist_ok=True)
    lines = MERGES.read_text(encoding="utf-8").splitlines()[1:48_895]
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    symbols = [chr(b) for b in visible] + [chr(0x100 + i) for i in range(256 - len(visible))]
    words = symbols + [s + "</w>" for s in symbols] + [line.replace(" ", "") for line in lines] + ["<|startoftext|>", "<|endoftext|>"]
    assert len(words) == 49_408
    (out / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}, ensure_ascii=False))
    (out / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
    special = dict(bos_token="<|startoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token=pad)
    (out / "tokenizer_config.json").write_text(json.dumps(dict(special, tokenizer_class="CLIPTokenizer", model_max_length=77), indent=2) + "\n")
    (out / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
