"""Full-size Stable Diffusion models with random weights: `sd15`, `sd21`, `sdxl` and the demo's shape.

    python shapes.py                       Tests/Fixtures/tensors.json: of each part how many tensors it has, and the SHA-256 of their names and
                                           shapes, a line `name [a, b]` each, sorted; text encoders' names begin with `text_model.`
    python shapes.py --write DIR SHAPE     a model folder with random weights in half precision (2 GB; of `sdxl` 7 GB)
"""
from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from common import FIXTURES, MODELS, ROOT, demo_model
from tiny_models import CROSS_DOWN, CROSS_UP, DOWN, UP, randomize

MERGES = ROOT / "Sources/CLIPVocabulary/merges.txt"
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
    "sdxl": dict(
        text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu",
                  projection_dim=768, pad_token_id=49_407, **CLIP),
        text_2=dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, hidden_act="gelu",
                    projection_dim=1280, pad_token_id=0, **CLIP | dict(eos_token_id=2)),
        unet=dict(sample_size=128, block_out_channels=(320, 640, 1280), cross_attention_dim=2048, attention_head_dim=(5, 10, 20),
                  transformer_layers_per_block=(1, 2, 10), layers_per_block=2, use_linear_projection=True,
                  down_block_types=(DOWN, CROSS_DOWN, CROSS_DOWN), up_block_types=(CROSS_UP, CROSS_UP, UP),
                  addition_embed_type="text_time", addition_time_embed_dim=256, projection_class_embeddings_input_dim=2816),
        vae=VAE | dict(scaling_factor=0.13025, sample_size=1024),
        scheduler=dict(SCHEDULE, _class_name="EulerDiscreteScheduler", prediction_type="epsilon", timestep_spacing="leading")),
}
VAE_FACTOR = {"sd15": 8, "sd21": 8, "sdxl": 8, "demo": 4}


def build_unet(shape: str, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
    with torch.device("meta"):  # no use in drawing the weights twice
        unet = UNet2DConditionModel(**SHAPES[shape]["unet"])
    assert not list(unet.buffers())
    unet.to(dtype).to_empty(device="cpu")
    randomize(unet, 5)
    return unet.eval()


def build_text_encoder(shape: str) -> CLIPTextModel:
    text = CLIPTextModel(CLIPTextConfig(**SHAPES[shape]["text"]))
    randomize(text, 5)
    return text.eval()


def build_text_encoder_2(shape: str) -> CLIPTextModelWithProjection:
    text = CLIPTextModelWithProjection(CLIPTextConfig(**SHAPES[shape]["text_2"]))
    randomize(text, 6)
    return text.eval()


def write_model(shape: str, out: Path) -> None:
    """A whole folder in diffusers' layout, weights in half precision: what any reader makes of them in f32 is the same."""
    configuration = SHAPES[shape]
    build_text_encoder(shape).half().save_pretrained(out / "text_encoder")
    build_unet(shape, torch.float16).save_pretrained(out / "unet", max_shard_size="100GB")
    vae = AutoencoderKL(**configuration["vae"])
    randomize(vae, 5)
    vae.half().save_pretrained(out / "vae")
    write_clip_tokenizer(out / "tokenizer", "!" if shape == "sd21" else "<|endoftext|>")
    (out / "scheduler").mkdir(exist_ok=True)
    (out / "scheduler" / "scheduler_config.json").write_text(json.dumps(configuration["scheduler"], indent=2) + "\n")
    index = json.loads((demo_model() / "model_index.json").read_text())
    if "text_2" in configuration:
        build_text_encoder_2(shape).half().save_pretrained(out / "text_encoder_2")
        write_clip_tokenizer(out / "tokenizer_2", "!")
        index = json.loads((MODELS / "tiny-sdxl" / "model_index.json").read_text())
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


def tensors(shape: str) -> dict[str, dict]:
    """Of each part the number of its tensors, and a digest of their names and shapes."""
    configuration = SHAPES[shape]
    with torch.device("meta"):
        parts = {"text_encoder": CLIPTextModel(CLIPTextConfig(**configuration["text"])),
                 "unet": UNet2DConditionModel(**configuration["unet"]), "vae": AutoencoderKL(**configuration["vae"])}
        if "text_2" in configuration:
            parts["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**configuration["text_2"]))
    found = {}
    for part, module in parts.items():
        lines = []
        for name, parameter in module.named_parameters():
            if part.startswith("text") and not name.startswith(("text_model.", "text_projection.")):
                name = "text_model." + name
            lines.append(f"{name} {list(parameter.shape)}")
        digest = hashlib.sha256("".join(line + "\n" for line in sorted(lines)).encode()).hexdigest()
        found[part] = {"count": len(lines), "sha256": digest}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", nargs=2, metavar=("DIR", "SHAPE"))
    arguments = parser.parse_args()
    if arguments.write:
        write_model(arguments.write[1], Path(arguments.write[0]))
    else:
        text = json.dumps({"script": "Tools/reference/shapes.py", "shapes": {shape: tensors(shape) for shape in SHAPES}}, indent=1)
        (FIXTURES / "tensors.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
