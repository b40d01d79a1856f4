"""Small models that keep the rules by which a checkpoint's configuration is read off its tensors, and the shapes of full-size ones.

    python family_models.py                    Tests/Fixtures/single_files/shapes.json: of `sd15`, `sd21` and `sdxl` every tensor's name in the
                                               original naming with its shape, and the configurations that diffusers and transformers write
    python family_models.py --write DIR        model folders with random weights and CLIP's whole vocabulary (20 to 60 MB each), to be
                                               converted by single_file.py: family-sd1, family-sd2 (noise), family-sd2-v (velocity), family-sdxl, family-sdxl-v (zero
                                               terminal SNR)

The rules: SD1 has 8 heads of attention, SD2 and SDXL heads of 64 channels, as every text encoder does; norms have 32 groups; SDXL is
told sizes by 256 sinusoids each.

In `shapes.json` a name's parts are levels of objects, and a key such as "0-9" stands for ten parts that hold the same.
"""
from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import tiny_models
from common import FIXTURES
from shapes import SHAPES, write_clip_tokenizer
from single_file import Folder, checked_plan
from tiny_models import CROSS_DOWN, CROSS_UP, DOWN, UP

VAE = dict(block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=32, sample_size=128)
SD2 = dict(
    pad="!", text=dict(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=1, hidden_act="gelu"),
    unet=dict(sample_size=64, block_out_channels=(64, 128, 64), layers_per_block=1, norm_num_groups=32, attention_head_dim=(1, 2, 1),
              use_linear_projection=True, down_block_types=(CROSS_DOWN, CROSS_DOWN, DOWN), up_block_types=(UP, CROSS_UP, CROSS_UP)),
    vae=VAE | dict(scaling_factor=0.18215))
SDXL = dict(
    text=dict(hidden_size=64, intermediate_size=128, num_hidden_layers=3, num_attention_heads=1, hidden_act="quick_gelu"),
    text_2=dict(hidden_size=128, intermediate_size=256, num_hidden_layers=3, num_attention_heads=2, hidden_act="gelu", projection_dim=192),
    unet=dict(sample_size=128, block_out_channels=(32, 64, 128), layers_per_block=1, norm_num_groups=32, attention_head_dim=(1, 1, 2),
              transformer_layers_per_block=(1, 2, 3), use_linear_projection=True, down_block_types=(DOWN, CROSS_DOWN, CROSS_DOWN),
              up_block_types=(CROSS_UP, CROSS_UP, UP), addition_embed_type="text_time", addition_time_embed_dim=256),
    vae=VAE | dict(scaling_factor=0.13025))
EULER = dict(_class_name="EulerDiscreteScheduler", set_alpha_to_one=False, interpolation_type="linear", timestep_spacing="leading")
FAMILIES = {
    "family-sd1": dict(
        seed=11, text=dict(hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2, hidden_act="quick_gelu"),
        unet=dict(sample_size=64, block_out_channels=(32, 64, 96), layers_per_block=2, norm_num_groups=32, attention_head_dim=8,
                  down_block_types=(CROSS_DOWN, CROSS_DOWN, DOWN), up_block_types=(UP, CROSS_UP, CROSS_UP)),
        vae=VAE | dict(scaling_factor=0.18215), scheduler=dict(prediction_type="epsilon", set_alpha_to_one=False, skip_prk_steps=True)),
    "family-sd2": SD2 | dict(seed=12, scheduler=dict(prediction_type="epsilon", set_alpha_to_one=False, skip_prk_steps=True)),
    "family-sd2-v": SD2 | dict(seed=13, scheduler=dict(prediction_type="v_prediction", set_alpha_to_one=False, skip_prk_steps=True)),
    "family-sdxl": SDXL | dict(seed=14, scheduler=EULER | dict(prediction_type="epsilon")),
    "family-sdxl-v": SDXL | dict(seed=15, scheduler=EULER | dict(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")),
}


def write(out: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Path(folder)
        write_clip_tokenizer(tokenizer, "<|endoftext|>")
        for name, family in FAMILIES.items():
            tiny_models.build(name, tokenizer, out / name, **family)
            if name.startswith("family-sd2"):
                spread_biases(out / name, 3.0 if name.endswith("-v") else 0.5)


def spread_biases(folder: Path, factor: float) -> None:
    """SD2's models that predict the velocity are told by the biases of their last transformer's first norm."""
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    name = max(name for name in tensors if name.startswith("up_blocks.2.attentions.") and name.endswith("transformer_blocks.0.norm1.bias"))
    tensors[name] *= factor
    save_file(tensors, path, metadata={"format": "pt"})


class Modules(Folder):
    """A folder that is in no file: modules without numbers."""

    def __init__(self, shape: dict) -> None:
        with torch.device("meta"):
            modules = {"text_encoder": CLIPTextModel(CLIPTextConfig(**shape["text"])), "unet": UNet2DConditionModel(in_channels=4, out_channels=4, **shape["unet"]),
                       "vae": AutoencoderKL(in_channels=3, out_channels=3, latent_channels=4, **shape["vae"])}
            if "text_2" in shape:
                modules["text_encoder_2"] = CLIPTextModelWithProjection(CLIPTextConfig(**shape["text_2"]))
        self.path = Path("meta")
        self.scheduler = shape["scheduler"]
        self.tensors = {f"{part}/{name}": tensor for part, module in modules.items() for name, tensor in module.named_parameters()}
        self.config = {part: json.loads(module.config.to_json_string() if part.startswith("text") else module.to_json_string())
                       for part, module in modules.items()}


def shape_of(folder: Folder, entry: dict) -> list[int]:
    shapes = [list(folder.tensors[name].shape) for name in entry["from"]]
    return {"copy": lambda: shapes[0], "rows": lambda: [sum(s[0] for s in shapes), *shapes[0][1:]], "transposed": lambda: shapes[0][::-1],
            "pixel": lambda: [*shapes[0], 1, 1], "constant": lambda: []}[entry["as"]]()


def tree(shapes: dict[str, list[int]]) -> dict:
    root: dict = {}
    for name, shape in shapes.items():
        *path, last = name.split(".")
        node = root
        for part in path:
            node = node.setdefault(part, {})
        node[last] = shape
    return merged(root)


def merged(node):
    """Neighbours among numbered parts that hold the same become one."""
    if not isinstance(node, dict):
        return node
    result: dict = {}
    run: list = []

    def flush() -> None:
        if run:
            first, last, content = run
            result[str(first) if first == last else f"{first}-{last}"] = content
            run.clear()
    for key in sorted(node, key=lambda k: (0, int(k), "") if k.isdigit() else (1, 0, k)):
        content = merged(node[key])
        if not key.isdigit():
            flush()
            result[key] = content
        elif run and run[1] + 1 == int(key) and run[2] == content:
            run[1] = int(key)
        else:
            flush()
            run[:] = [int(key), int(key), content]
    flush()
    return result


def fixture() -> None:
    models = {}
    for name, shape in SHAPES.items():
        folder = Modules(shape)
        shapes = {original: shape_of(folder, entry) for original, entry in checked_plan(folder).items()}
        models[name] = {"tensors": tree(shapes), "configurations": folder.config | {"scheduler": folder.scheduler}, "count": len(shapes)}
    text = json.dumps({"script": "Tools/reference/family_models.py", "models": models}, separators=(",", ":"))
    (FIXTURES / "single_files" / "shapes.json").write_text(text + "\n")
    print(f"shapes.json: {len(text) / 1024:.0f} KiB", {name: model["count"] for name, model in models.items()})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write)
    else:
        fixture()


if __name__ == "__main__":
    main()
