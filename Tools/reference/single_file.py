"""Converts model folders in diffusers' layout to single files in the naming of Stable Diffusion's own code, in every form in which
such files go about, and writes down what was converted from what.

    python single_file.py                              plans for the tests, and one VAE as .ckpt and .pt: Tests/Fixtures/single_files
    python single_file.py --output DIR FOLDER ...      NAME.safetensors, NAME.ckpt (ZIP), NAME-legacy.ckpt, NAME-bare.pt, NAME-ema.ckpt;
                                                       each is checked by diffusers' own from_single_file
    python single_file.py --refused DIR                a file of each kind that is none of the supported families

A plan names every tensor of the single file and what it is made of: {"NAME": {"from": ["unet/conv_in.weight"], "as": "copy"}}.

    copy         as it is
    rows         several, one below the other (OpenCLIP's in_proj)
    transposed   a matrix with its axes exchanged (OpenCLIP's text_projection)
    pixel        a matrix as a convolution of one pixel (the VAE's attention)
    constant     a scalar, 1 (`logit_scale`, and signs such as `v_pred`)

The names are read off CompVis' and Stability's modules and OpenCLIP's, block by block, from the configuration: no table is shared
with the program that is tested.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from common import FIXTURES, MODELS

COMPONENTS = ("text_encoder", "text_encoder_2", "unet", "vae")


class Plan(dict):
    """By the original name: what it is made of."""

    def add(self, original: str, source: str, how: str = "copy") -> None:
        self[original] = {"from": [source], "as": how}

    def layer(self, original: str, source: str, kinds=("weight", "bias"), how: str = "copy") -> None:
        for kind in kinds:
            self.add(f"{original}.{kind}", f"{source}.{kind}", how if kind == "weight" else "copy")


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors: dict[str, torch.Tensor] = {}
        self.config: dict[str, dict] = {}
        for component in COMPONENTS:
            if not (path / component).is_dir():
                continue
            self.config[component] = json.loads((path / component / "config.json").read_text())
            for file in sorted((path / component).glob("*.safetensors")):
                for name, tensor in load_file(file).items():
                    self.tensors[f"{component}/{name}"] = tensor
        self.scheduler = json.loads((path / "scheduler" / "scheduler_config.json").read_text())

    @property
    def family(self) -> str:
        if "text_encoder_2" in self.config:
            return "sdxl"
        return "sd2" if self.config["text_encoder"]["hidden_act"] == "gelu" else "sd1"

    def has(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self.tensors)

    def text(self, component: str, name: str) -> str:
        """A text encoder's tensor, with or without `text_model.` in front."""
        full = f"{component}/text_model.{name}"
        return full if full in self.tensors else f"{component}/{name}"


def per_level(value, count: int) -> list:
    return list(value) if isinstance(value, (list, tuple)) else [value] * count


def plan_unet(folder: Folder, plan: Plan) -> None:
    """openaimodel.UNetModel: every list of modules is an nn.Sequential whose places are numbers."""
    config = folder.config["unet"]
    root = "model.diffusion_model"

    def res_block(original: str, source: str) -> None:
        plan.layer(f"{original}.in_layers.0", f"{source}.norm1")
        plan.layer(f"{original}.in_layers.2", f"{source}.conv1")
        plan.layer(f"{original}.emb_layers.1", f"{source}.time_emb_proj")
        plan.layer(f"{original}.out_layers.0", f"{source}.norm2")
        plan.layer(f"{original}.out_layers.3", f"{source}.conv2")
        if folder.has(f"{source}.conv_shortcut"):
            plan.layer(f"{original}.skip_connection", f"{source}.conv_shortcut")

    def transformer(original: str, source: str) -> None:
        # SpatialTransformer has the same names inside.
        for name in sorted(folder.tensors):
            if name.startswith(source + "."):
                plan.add(original + name[len(source):], name)

    plan.layer(f"{root}.time_embed.0", "unet/time_embedding.linear_1")
    plan.layer(f"{root}.time_embed.2", "unet/time_embedding.linear_2")
    if folder.has("unet/add_embedding"):
        plan.layer(f"{root}.label_emb.0.0", "unet/add_embedding.linear_1")
        plan.layer(f"{root}.label_emb.0.2", "unet/add_embedding.linear_2")
    levels = len(config["block_out_channels"])
    layers = per_level(config["layers_per_block"], levels)
    plan.layer(f"{root}.input_blocks.0.0", "unet/conv_in")
    block = 1
    for level, kind in enumerate(config["down_block_types"]):
        for layer in range(layers[level]):
            res_block(f"{root}.input_blocks.{block}.0", f"unet/down_blocks.{level}.resnets.{layer}")
            if kind.startswith("CrossAttn"):
                transformer(f"{root}.input_blocks.{block}.1", f"unet/down_blocks.{level}.attentions.{layer}")
            block += 1
        if level < levels - 1:
            plan.layer(f"{root}.input_blocks.{block}.0.op", f"unet/down_blocks.{level}.downsamplers.0.conv")
            block += 1
    res_block(f"{root}.middle_block.0", "unet/mid_block.resnets.0")
    transformer(f"{root}.middle_block.1", "unet/mid_block.attentions.0")
    res_block(f"{root}.middle_block.2", "unet/mid_block.resnets.1")
    block = 0
    for level, kind in enumerate(config["up_block_types"]):
        count = layers[levels - 1 - level] + 1
        for layer in range(count):
            res_block(f"{root}.output_blocks.{block}.0", f"unet/up_blocks.{level}.resnets.{layer}")
            place = 1
            if kind.startswith("CrossAttn"):
                transformer(f"{root}.output_blocks.{block}.1", f"unet/up_blocks.{level}.attentions.{layer}")
                place = 2
            if layer == count - 1 and level < levels - 1:
                plan.layer(f"{root}.output_blocks.{block}.{place}.conv", f"unet/up_blocks.{level}.upsamplers.0.conv")
            block += 1
    plan.layer(f"{root}.out.0", "unet/conv_norm_out")
    plan.layer(f"{root}.out.2", "unet/conv_out")


def plan_vae(folder: Folder, plan: Plan, root: str = "first_stage_model") -> None:
    """diffusionmodules.model: Encoder and Decoder; the decoder's levels are counted from the finest."""
    config = folder.config["vae"]
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]

    def res_block(original: str, source: str) -> None:
        for layer in ("norm1", "conv1", "norm2", "conv2"):
            plan.layer(f"{original}.{layer}", f"{source}.{layer}")
        if folder.has(f"{source}.conv_shortcut"):
            plan.layer(f"{original}.nin_shortcut", f"{source}.conv_shortcut")

    def middle(half: str) -> None:
        source = f"vae/{half}.mid_block"
        res_block(f"{root}.{half}.mid.block_1", f"{source}.resnets.0")
        res_block(f"{root}.{half}.mid.block_2", f"{source}.resnets.1")
        plan.layer(f"{root}.{half}.mid.attn_1.norm", f"{source}.attentions.0.group_norm")
        for original, new, old in (("q", "to_q", "query"), ("k", "to_k", "key"), ("v", "to_v", "value"), ("proj_out", "to_out.0", "proj_attn")):
            name = new if folder.has(f"{source}.attentions.0.{new}.") else old
            plan.layer(f"{root}.{half}.mid.attn_1.{original}", f"{source}.attentions.0.{name}", how="pixel")

    for half in ("encoder", "decoder"):
        plan.layer(f"{root}.{half}.conv_in", f"vae/{half}.conv_in")
        middle(half)
        plan.layer(f"{root}.{half}.norm_out", f"vae/{half}.conv_norm_out")
        plan.layer(f"{root}.{half}.conv_out", f"vae/{half}.conv_out")
    for level in range(levels):
        for layer in range(layers):
            res_block(f"{root}.encoder.down.{level}.block.{layer}", f"vae/encoder.down_blocks.{level}.resnets.{layer}")
        if level < levels - 1:
            plan.layer(f"{root}.encoder.down.{level}.downsample.conv", f"vae/encoder.down_blocks.{level}.downsamplers.0.conv")
        mirrored = levels - 1 - level
        for layer in range(layers + 1):
            res_block(f"{root}.decoder.up.{mirrored}.block.{layer}", f"vae/decoder.up_blocks.{level}.resnets.{layer}")
        if level < levels - 1:
            plan.layer(f"{root}.decoder.up.{mirrored}.upsample.conv", f"vae/decoder.up_blocks.{level}.upsamplers.0.conv")
    plan.layer(f"{root}.quant_conv", "vae/quant_conv")
    plan.layer(f"{root}.post_quant_conv", "vae/post_quant_conv")


def plan_clip(folder: Folder, plan: Plan, component: str, root: str) -> None:
    """transformers' CLIPTextModel, as it is."""
    for name in sorted(folder.tensors):
        if name.startswith(component + "/") and "projection" not in name:
            plan.add(f"{root}.text_model." + name.removeprefix(component + "/").removeprefix("text_model."), name)


def plan_open_clip(folder: Folder, plan: Plan, component: str, root: str, penultimate: bool) -> None:
    """open_clip.transformer.TextTransformer, with one block more where the one before the last is what is used."""
    def of(name: str) -> str:
        return folder.text(component, name)

    layers = folder.config[component]["num_hidden_layers"]
    plan.add(f"{root}.token_embedding.weight", of("embeddings.token_embedding.weight"))
    plan.add(f"{root}.positional_embedding", of("embeddings.position_embedding.weight"))
    for block in range(layers + penultimate):
        original, source = f"{root}.transformer.resblocks.{block}", f"encoder.layers.{min(block, layers - 1)}"
        plan.layer(f"{original}.ln_1", of(f"{source}.layer_norm1"))
        plan.layer(f"{original}.ln_2", of(f"{source}.layer_norm2"))
        for kind in ("weight", "bias"):
            names = [of(f"{source}.self_attn.{part}_proj.{kind}") for part in "qkv"]
            names = [name for name in names if name in folder.tensors] or [f"{of(source)}.self_attn.{part}_proj.{kind}" for part in "qkv"]
            plan[f"{original}.attn.in_proj_{kind}"] = {"from": names, "as": "rows"}
        plan.layer(f"{original}.attn.out_proj", of(f"{source}.self_attn.out_proj"))
        plan.layer(f"{original}.mlp.c_fc", of(f"{source}.mlp.fc1"))
        plan.layer(f"{original}.mlp.c_proj", of(f"{source}.mlp.fc2"))
    plan.layer(f"{root}.ln_final", of("final_layer_norm"))
    projection = f"{component}/text_projection.weight"
    if projection in folder.tensors:
        plan.add(f"{root}.text_projection", projection, "transposed")
    else:
        # SD2's encoder lost it on its way to diffusers; nobody reads it.
        plan.add(f"{root}.text_projection", of("encoder.layers.0.self_attn.out_proj.weight"), "transposed")
    plan[f"{root}.logit_scale"] = {"from": [], "as": "constant"}


def plan(folder: Folder) -> Plan:
    plan = Plan()
    plan_unet(folder, plan)
    plan_vae(folder, plan)
    if folder.family == "sd1":
        plan_clip(folder, plan, "text_encoder", "cond_stage_model.transformer")
    elif folder.family == "sd2":
        plan_open_clip(folder, plan, "text_encoder", "cond_stage_model.model", penultimate=True)
    else:
        plan_clip(folder, plan, "text_encoder", "conditioner.embedders.0.transformer")
        plan_open_clip(folder, plan, "text_encoder_2", "conditioner.embedders.1.model", penultimate=False)
        if folder.scheduler["prediction_type"] == "v_prediction":
            plan["v_pred"] = {"from": [], "as": "constant"}
        if folder.scheduler.get("rescale_betas_zero_snr"):
            plan["ztsnr"] = {"from": [], "as": "constant"}
    return plan


def fix_text_names(folder: Folder, plan: Plan) -> None:
    """`layer` names a path, and only whole names tell whether `text_model.` is in front: put it where the file has it."""
    for entry in plan.values():
        entry["from"] = [name if name in folder.tensors else name.replace("/", "/text_model.", 1) for name in entry["from"]]
        missing = [name for name in entry["from"] if name not in folder.tensors]
        if missing:
            raise SystemExit(f"the plan names what the folder lacks: {missing}")


def checked_plan(folder: Folder) -> Plan:
    result = plan(folder)
    fix_text_names(folder, result)
    used = {name for entry in result.values() for name in entry["from"]}
    left = [name for name in folder.tensors if name not in used and "position_ids" not in name]
    if left:
        raise SystemExit(f"{folder.path}: the plan leaves out {left[:5]} and {len(left)} in all")
    return result


def made(folder: Folder, plan: Plan) -> dict[str, torch.Tensor]:
    ways = {
        "copy": lambda parts: parts[0].clone(),
        "rows": lambda parts: torch.cat(parts),
        "transposed": lambda parts: parts[0].T.contiguous(),
        "pixel": lambda parts: parts[0].reshape(*parts[0].shape[:2], 1, 1).clone(),
        "constant": lambda parts: torch.tensor(1.0),
    }
    return {name: ways[entry["as"]]([folder.tensors[part] for part in entry["from"]]) for name, entry in plan.items()}


def with_means(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """LitEma beside the UNet: names without dots, and values of its own that nobody may take by mistake."""
    means = {"model_ema." + name.removeprefix("model.").replace(".", ""): tensor * 0.5
             for name, tensor in tensors.items() if name.startswith("model.diffusion_model.")}
    return tensors | means | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(470000, dtype=torch.int32)}


def digests(folder: Folder) -> dict[str, str]:
    """The SHA-256 of every tensor's numbers as little-endian float32, by its name in diffusers' folder of today."""
    renamed = {}
    for name, tensor in folder.tensors.items():
        component, rest = name.split("/", 1)
        if component.startswith("text_encoder") and not rest.startswith(("text_model.", "text_projection")):
            rest = "text_model." + rest
        for old, new in (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0")):
            rest = rest.replace(f"attentions.0.{old}.", f"attentions.0.{new}.") if component == "vae" else rest
        if "position_ids" not in rest:
            renamed[f"{component}/{rest}"] = hashlib.sha256(tensor.float().contiguous().numpy().tobytes()).hexdigest()
    return renamed


def check_by_diffusers(file: Path, folder: Folder) -> str:
    """Every tensor of what diffusers makes of the file, against the folder's."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
    checked = []
    for part, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        if part == "unet" and isinstance(folder.config[part]["layers_per_block"], list):
            continue  # which diffusers' conversion does not know
        model = kind.from_single_file(str(file), config=str(folder.path), subfolder=part, local_files_only=True)
        expected = kind.from_pretrained(folder.path, subfolder=part).state_dict()
        state = model.state_dict()
        assert state.keys() == expected.keys() and all(torch.equal(state[name].float(), expected[name].float()) for name in state), part
        checked.append(part)
    kind = StableDiffusionXLPipeline if folder.family == "sdxl" else StableDiffusionPipeline
    try:
        pipeline = kind.from_single_file(str(file), config=str(folder.path), local_files_only=True, safety_checker=None)
        expected = kind.from_pretrained(folder.path, safety_checker=None)
        for part in ("text_encoder", "text_encoder_2"):
            if part in folder.config:
                state, right = getattr(pipeline, part).state_dict(), getattr(expected, part).state_dict()
                wrong = [name for name in right if "position_ids" not in name and not torch.equal(state[name].float(), right[name].float())]
                assert not wrong, (part, wrong[:3])
                checked.append(part)
    except Exception as error:  # diffusers' own way with a text encoder of no known size
        checked.append(f"text encoders not by the pipeline ({type(error).__name__}: {str(error)[:80]})")
    return ", ".join(checked)


def write_forms(folder: Folder, out: Path) -> None:
    name = folder.path.name
    out.mkdir(parents=True, exist_ok=True)
    tensors = made(folder, checked_plan(folder))
    metadata = {"format": "pt"}
    save_file(tensors, out / f"{name}.safetensors", metadata=metadata)
    torch.save({"epoch": 0, "global_step": 470000, "pytorch-lightning_version": "1.4.2", "state_dict": tensors}, out / f"{name}.ckpt")
    torch.save({"state_dict": tensors}, out / f"{name}-legacy.ckpt", _use_new_zipfile_serialization=False)
    torch.save(tensors, out / f"{name}-bare.pt")
    torch.save({"state_dict": with_means(tensors)}, out / f"{name}-ema.ckpt")
    save_file({key: value for key, value in tensors.items() if not key.startswith("first_stage_model")},
              out / f"{name}-no-vae.safetensors", metadata=metadata)
    save_file({key: value for key, value in tensors.items() if key.startswith("first_stage_model")}, out / f"{name}-vae.safetensors", metadata=metadata)
    save_file({key.removeprefix("first_stage_model."): value for key, value in tensors.items() if key.startswith("first_stage_model")},
              out / f"{name}-vae-bare.safetensors", metadata=metadata)
    print(f"{name}: {len(tensors)} tensors, {folder.family}; diffusers agrees on {check_by_diffusers(out / f'{name}.safetensors', folder)}")


def refused(out: Path) -> None:
    """Names that only other kinds of files have, with tensors of little or no size."""
    out.mkdir(parents=True, exist_ok=True)

    def write(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
        save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, out / f"{name}.safetensors")

    root = "model.diffusion_model"
    unet = {f"{root}.input_blocks.0.0.weight": (8, 4, 3, 3), f"{root}.out.2.weight": (4, 8, 3, 3)}
    key = f"{root}.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    write("sd3", {f"{root}.joint_blocks.0.x_block.attn.qkv.weight": (6, 2), f"{root}.pos_embed": (1, 4, 8)})
    write("flux", {"double_blocks.0.img_attn.qkv.weight": (6, 2), "single_blocks.0.linear1.weight": (6, 2)})
    write("lora", {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (4, 8)})
    write("lora-peft", {"unet.down_blocks.0.attentions.0.to_q.lora_A.weight": (4, 8)})
    write("vae", {"encoder.down.0.block.0.norm1.weight": (4,), "decoder.up.0.block.0.norm1.weight": (4,)})
    write("inpainting", unet | {f"{root}.input_blocks.0.0.weight": (8, 9, 3, 3), "cond_stage_model.transformer.text_model.final_layer_norm.weight": (4,)})
    write("pix2pix", unet | {f"{root}.input_blocks.0.0.weight": (8, 8, 3, 3)})
    write("embedding", {"emb_params": (1, 768)})
    write("embedding-sdxl", {"clip_l": (1, 768), "clip_g": (1, 1280)})
    write("controlnet", {"control_model.input_hint_block.0.weight": (4, 3, 3, 3), **unet})
    write("refiner", unet | {f"{root}.label_emb.0.0.weight": (8, 16), key: (8, 1280), "conditioner.embedders.0.model.ln_final.weight": (4,)})
    write("refiner-unet", unet | {f"{root}.label_emb.0.0.weight": (8, 16), key: (8, 1280)})
    write("unet-diffusers", {"down_blocks.0.resnets.0.conv1.weight": (8, 8, 3, 3)})
    write("nothing", {"weight": (2, 2)})
    for file in sorted(out.iterdir()):
        print(file.name)


def fixtures() -> None:
    """Plans and digests of the tiny models, and one VAE as a torch file of either layout."""
    out = FIXTURES / "single_files"
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(MODELS.iterdir()):
        if not (path / "model_index.json").exists():
            continue
        folder = Folder(path)
        lines = ['"script": "Tools/reference/single_file.py"', f'"family": "{folder.family}"']
        for key, table in (("plan", checked_plan(folder)), ("sha256", digests(folder))):
            lines.append(f'"{key}": {{\n' + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(table.items())) + "}")
        text = "{" + ",\n".join(lines) + "}"
        (out / f"{path.name}.json").write_text(text + "\n")
        print(f"{path.name}: {len(text) / 1024:.0f} KiB")
    folder = Folder(MODELS / "tiny-sdxl-v")
    vae = {key: value for key, value in made(folder, checked_plan(folder)).items() if key.startswith("first_stage_model.")}
    torch.save({"state_dict": vae, "global_step": 1}, out / "vae.ckpt")
    torch.save({key.removeprefix("first_stage_model."): value for key, value in vae.items()}, out / "vae-legacy.pt",
               _use_new_zipfile_serialization=False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path)
    parser.add_argument("--refused", type=Path)
    parser.add_argument("folders", nargs="*", type=Path)
    arguments = parser.parse_args()
    if arguments.refused:
        refused(arguments.refused)
    elif arguments.output:
        for path in arguments.folders:
            write_forms(Folder(path), arguments.output)
    else:
        fixtures()


if __name__ == "__main__":
    main()
