"""Embedding files of every form, by the means of the tools that write and read them.

    python embedding_files.py                 writes Tests/Fixtures/embeddings
    python embedding_files.py check TI_GPU    converts each of them to every form with the program, and reads that back by other means

The numbers of every fixture are in `expected.safetensors`, named `FILE/WORD/KEY` with KEY one of clip_l, clip_g and t5xxl. Widths are
small; no reader needs the real ones. What each file is:

- `diffusers.safetensors`, `diffusers.bin`: `{word: rows}`; `flat.bin` one row without its first axis; `several.safetensors` two words.
- `learned_embeds.safetensors` and `learned_embeds_2.safetensors`, `xl.bin` and `xl_2.bin`: SDXL pairs of diffusers.
- `webui.pt`, `webui-half.pt`, `webui-grad.pt`, `webui-legacy.pt`: AUTOMATIC1111's dictionary, in f32, in f16, with requires_grad, and in
  the format before PyTorch 1.6. `first.pt`, `first-bf16.pt`: rinongal's, a ParameterDict.
- `card-text.png`, `card-ztxt.png`, `card-itxt.png`: a card by its text chunk; `card-pixels.png`: by its strips alone, as the web UI
  draws them; `plain.png`: a picture.
- `kohya.safetensors` (bf16), `onetrainer.safetensors` (f16), `double.safetensors` (f64): `emb_params`, `emp_params`.
- `sdxl.safetensors`, `sd3.safetensors` (with `t5xxl`), `flux.safetensors` (`clip_l` and `t5`): one tensor an encoder.
- `bundle.safetensors`: a LoRA with words: one of SD1 (`string_to_param.*`), one of SDXL.
- refused: `outputs.safetensors` (`emp_params_out`), `outputs-xl.safetensors`, `nan.safetensors`, `cube.safetensors`, `integers.safetensors`,
  `lora.safetensors`, `unequal.safetensors`.

`check` needs torch, safetensors, PIL, numpy and diffusers; it exits 1 with a line on standard error for every form that does not come
back.
"""
from __future__ import annotations

import base64
import io
import json
import pickletools
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, PngImagePlugin
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from common import FIXTURES, MODELS, save

FOLDER = FIXTURES / "embeddings"
# CLIP-L, CLIP-G and T5 as small as they can be told apart.
L, G, T = 8, 12, 16


# The web UI's format, written from its definition: strips of nibbles beside the picture, disguised by a generator of remainders.


def disguise(count: int) -> np.ndarray:
    state, result = 0, np.empty(count, np.uint8)
    for index in range(count):
        state = (1664525 * state + 1013904223) % 2**32
        result[index] = state % 255 & 15
    return result


def as_json(data: dict) -> bytes:
    def encode(value):
        return {"TORCHTENSOR": value.detach().float().numpy().tolist()}

    return json.dumps(data, default=encode).encode()


def with_strips(picture: Image.Image, data: dict) -> Image.Image:
    packed = np.frombuffer(zlib.compress(as_json(data), 9), np.uint8)
    height = picture.height
    columns = -(-len(packed) // (height * 3))
    # What is left over is filled with the data's beginning, as numpy.resize does.
    packed = np.resize(packed, height * columns * 3)
    mask = disguise(len(packed))
    dots = np.where((np.indices((height, columns)).sum(0) % 4 < 2)[..., None], 0x80, 0x10).astype(np.uint8)
    low, high = (((nibbles ^ mask).reshape(height, columns, 3) | dots) for nibbles in (packed & 15, packed >> 4))
    black = np.zeros((height, 1, 3), np.uint8)
    return Image.fromarray(np.concatenate([low, black, np.asarray(picture), black, high], axis=1))


def from_strips(card: Image.Image) -> dict:
    pixels = np.asarray(card.convert("RGB"))
    inked = (pixels > 0).all(2)
    rows, columns = np.flatnonzero(inked.any(1)), np.flatnonzero(inked.any(0))
    nibbles = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] & 15
    black = np.flatnonzero(nibbles.sum((0, 2)) == 0)
    low, high = nibbles[:, : black[0]].reshape(-1), nibbles[:, black[-1] + 1 :].reshape(-1)
    mask = disguise(len(low))
    return json.loads(zlib.decompress((((high ^ mask) << 4) | (low ^ mask)).astype(np.uint8).tobytes()))


def make() -> None:
    FOLDER.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(13)
    expected = {}

    def draw(*shape, dtype=torch.float32):
        return torch.randn(*shape, generator=generator).to(dtype)

    def keep(file, word, **rows):
        for key, tensor in rows.items():
            tensor = tensor.detach().float()
            expected[f"{file}/{word}/{key}"] = tensor.reshape(-1, tensor.shape[-1])

    def tensors(file, entries, metadata=None):
        save_file({key: value.contiguous().clone() for key, value in entries.items()}, FOLDER / file, metadata=metadata)

    rows = draw(2, L)
    tensors("diffusers.safetensors", {"<toy>": rows}, {"format": "pt"})
    keep("diffusers.safetensors", "<toy>", clip_l=rows)
    torch.save({"<toy>": rows}, FOLDER / "diffusers.bin")
    keep("diffusers.bin", "<toy>", clip_l=rows)
    flat = draw(L)
    torch.save({"<flat>": flat}, FOLDER / "flat.bin")
    keep("flat.bin", "<flat>", clip_l=flat)
    one, two = draw(1, L), draw(3, L)
    tensors("several.safetensors", {"<one>": one, "<two>": two})
    keep("several.safetensors", "<one>", clip_l=one)
    keep("several.safetensors", "<two>", clip_l=two)
    first, second = draw(2, L), draw(2, G)
    tensors("learned_embeds.safetensors", {"<xl>": first}, {"format": "pt"})
    tensors("learned_embeds_2.safetensors", {"<xl>": second}, {"format": "pt"})
    keep("learned_embeds.safetensors", "<xl>", clip_l=first, clip_g=second)
    torch.save({"<xl>": first * 2}, FOLDER / "xl.bin")
    torch.save({"<xl>": second * 2}, FOLDER / "xl_2.bin")
    keep("xl.bin", "<xl>", clip_l=first * 2, clip_g=second * 2)

    def webui(rows, name="toy"):
        return {"string_to_token": {"*": 265}, "string_to_param": {"*": rows}, "name": name, "step": 500,
                "sd_checkpoint": "81761151", "sd_checkpoint_name": "v1-5"}

    rows = draw(2, L)
    torch.save(webui(rows), FOLDER / "webui.pt")
    keep("webui.pt", "toy", clip_l=rows)
    torch.save(webui(rows.half()), FOLDER / "webui-half.pt")
    keep("webui-half.pt", "toy", clip_l=rows.half())
    torch.save(webui(rows.clone().requires_grad_()), FOLDER / "webui-grad.pt")
    keep("webui-grad.pt", "toy", clip_l=rows)
    torch.save(webui(rows), FOLDER / "webui-legacy.pt", _use_new_zipfile_serialization=False)
    keep("webui-legacy.pt", "toy", clip_l=rows)
    for file, dtype in [("first.pt", torch.float32), ("first-bf16.pt", torch.bfloat16)]:
        parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(rows.to(dtype))})
        torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, FOLDER / file)
        keep(file, Path(file).stem, clip_l=rows.to(dtype))

    x, y = np.meshgrid(np.arange(72), np.arange(64))
    picture = Image.fromarray(np.stack([x * 3, y * 4, (x * y) % 256], -1).astype(np.uint8))
    text = base64.b64encode(as_json(webui(rows, "card"))).decode()
    for kind in ["text", "ztxt", "itxt"]:
        info = PngImagePlugin.PngInfo()
        if kind == "itxt":
            info.add_itxt("sd-ti-embedding", text, zip=True)
        else:
            info.add_text("sd-ti-embedding", text, zip=kind == "ztxt")
        picture.save(FOLDER / f"card-{kind}.png", pnginfo=info)
        keep(f"card-{kind}.png", "card", clip_l=rows)
    with_strips(picture, webui(rows, "card")).save(FOLDER / "card-pixels.png")
    keep("card-pixels.png", "card", clip_l=rows)
    picture.save(FOLDER / "plain.png")

    rows = draw(2, L, dtype=torch.bfloat16)
    tensors("kohya.safetensors", {"emb_params": rows}, {"modelspec.title": "kohya"})
    keep("kohya.safetensors", "kohya", clip_l=rows)
    rows = draw(2, L, dtype=torch.float16)
    tensors("onetrainer.safetensors", {"emp_params": rows})
    keep("onetrainer.safetensors", "onetrainer", clip_l=rows)
    rows = draw(2, L, dtype=torch.float64)
    tensors("double.safetensors", {"emb_params": rows})
    keep("double.safetensors", "double", clip_l=rows)
    first, second, third = draw(3, L), draw(3, G), draw(3, T)
    tensors("sdxl.safetensors", {"clip_l": first, "clip_g": second})
    keep("sdxl.safetensors", "sdxl", clip_l=first, clip_g=second)
    tensors("sd3.safetensors", {"clip_l": first, "clip_g": second, "t5xxl": third})
    keep("sd3.safetensors", "sd3", clip_l=first, clip_g=second, t5xxl=third)
    tensors("flux.safetensors", {"clip_l": first, "t5": third})
    keep("flux.safetensors", "flux", clip_l=first, t5xxl=third)
    tensors("bundle.safetensors", {
        "lora_unet_down_blocks_0.lora_down.weight": draw(2, 4), "bundle_emb.plain.string_to_param.*": first,
        "bundle_emb.big.toy.clip_l": first * 2, "bundle_emb.big.toy.clip_g": second})
    keep("bundle.safetensors", "plain", clip_l=first)
    keep("bundle.safetensors", "big.toy", clip_l=first * 2, clip_g=second)

    tensors("outputs.safetensors", {"emp_params": first, "emp_params_out": first})
    tensors("outputs-xl.safetensors", {"clip_l_out": first, "clip_g_out": second})
    tensors("nan.safetensors", {"<toy>": torch.full((1, L), float("nan"))})
    tensors("cube.safetensors", {"<toy>": draw(2, 2, L)})
    tensors("integers.safetensors", {"<toy>": torch.ones(1, L, dtype=torch.int64)})
    tensors("lora.safetensors", {"lora_unet_down_blocks_0.lora_down.weight": draw(2, 4)})
    tensors("unequal.safetensors", {"clip_l": first, "clip_g": second[:2]})
    save(FOLDER / "expected.safetensors", expected, "embedding_files.py")


# Reading back what the program wrote.


def read(form: str, path: Path) -> dict[str, np.ndarray]:
    """The rows by encoder, of a file with one word, by the means of the tools whose form it is."""
    def second() -> Path:
        return path.with_name(path.stem + "_2" + path.suffix)

    if form in ("diffusers", "diffusers-bin"):
        result = {}
        for key, file in [("clip_l", path), ("clip_g", second())]:
            if file.exists():
                data = load_file(file) if form == "diffusers" else torch.load(file, weights_only=True)
                assert len(data) == 1, data.keys()
                result[key] = next(iter(data.values())).numpy()
        return result
    if form == "webui":
        check_allowed(path)
        data = torch.load(path, weights_only=True)
        assert data["string_to_token"] == {"*": 265} and list(data) == [
            "string_to_token", "string_to_param", "name", "step", "sd_checkpoint", "sd_checkpoint_name"], data
        return {"clip_l": data["string_to_param"]["*"].numpy()}
    if form == "webui-png":
        card = Image.open(path)
        from_text = json.loads(base64.b64decode(card.text["sd-ti-embedding"]))
        assert from_text == from_strips(card), "text and strips differ"
        return {"clip_l": np.array(from_text["string_to_param"]["*"]["TORCHTENSOR"], np.float32)}
    data = {key: tensor.numpy() for key, tensor in load_file(path).items()}
    key = {"kohya": "emb_params", "onetrainer": "emp_params"}.get(form)
    if key:
        assert list(data) == [key], data.keys()
        return {"clip_l": data[key]}
    return data


def check_allowed(path: Path) -> None:
    """The web UI's own unpickler takes these members and names alone."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            assert re.fullmatch(r"[^/]+/(data/\d+|version|data\.pkl)", name), name
        pickled = archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    names = {argument for opcode, argument, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"}
    assert names <= {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch FloatStorage"}, names


def check(program: str) -> int:
    forms = {"diffusers": "safetensors", "diffusers-bin": "bin", "webui": "pt", "webui-png": "png", "kohya": "safetensors",
             "onetrainer": "safetensors", "sdxl": "safetensors"}
    expected: dict[str, dict[str, np.ndarray]] = {}
    with safe_open(FOLDER / "expected.safetensors", "numpy") as file:
        for name in file.keys():
            fixture, word, key = name.split("/")
            expected.setdefault(f"{fixture}/{word}", {})[key] = file.get_tensor(name)
    failures = done = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for place, rows in expected.items():
            fixture, word = place.split("/")
            for form, ending in forms.items():
                target = Path(folder) / form / f"{fixture}-{word.strip('<>')}" / f"x.{ending}"
                target.parent.mkdir(parents=True)
                result = subprocess.run(
                    [program, "convert", FOLDER / fixture, target, "--format", form, "--word", word], capture_output=True, text=True)
                # What a form has room for.
                held = {"diffusers": {"clip_l", "clip_g"}, "diffusers-bin": {"clip_l", "clip_g"}, "sdxl": {"clip_l", "clip_g", "t5xxl"}}
                fits = set(rows) <= held.get(form, {"clip_l"}) and (form != "sdxl" or len(rows) > 1)
                if not fits:
                    refused += 1
                    if result.returncode != 64 or len(result.stderr.strip().splitlines()) < 1 or target.exists():
                        failures += 1
                        print(f"{place} to {form}: not refused: {result.returncode} {result.stderr}", file=sys.stderr)
                    continue
                try:
                    assert result.returncode == 0, result.stderr
                    back = read(form, target)
                    assert set(back) == set(rows), (back.keys(), rows.keys())
                    for key, values in rows.items():
                        assert back[key].dtype == np.float32 and np.array_equal(back[key], values), key
                    done += 1
                except Exception as error:
                    failures += 1
                    print(f"{place} to {form}: {error!r}", file=sys.stderr)
        failures += check_diffusers(program, Path(folder))
    print(json.dumps({"converted": done, "refused": refused, "failures": failures}))
    return 1 if failures else 0


def check_diffusers(program: str, folder: Path) -> int:
    """diffusers' own loader puts the rows of every form that it takes into the tiny model's table."""
    import contextlib

    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    width = json.loads((MODELS / "tiny-sd1/text_encoder/config.json").read_text())["hidden_size"]
    rows = torch.randn(3, width, generator=torch.Generator().manual_seed(3))
    source = folder / "toy.safetensors"
    save_file({"emb_params": rows}, source)
    failures = 0
    for form, ending in [("diffusers", "safetensors"), ("diffusers-bin", "bin"), ("webui", "pt"), ("kohya", "safetensors"),
                         ("onetrainer", "safetensors")]:
        target = folder / f"out-{form}.{ending}"
        subprocess.run([program, "convert", f"{source}=<toy>", target, "--format", form], check=True, capture_output=True)
        with contextlib.redirect_stderr(io.StringIO()):
            pipe = StableDiffusionPipeline.from_pretrained(MODELS / "tiny-sd1", safety_checker=None)
        # Files that name no word are called so by the caller.
        token = "<toy>" if form in ("kohya", "onetrainer") else None
        pipe.load_textual_inversion(str(folder), weight_name=target.name, token=token)
        table = pipe.text_encoder.get_input_embeddings().weight
        ids = pipe.tokenizer.convert_tokens_to_ids(["<toy>", "<toy>_1", "<toy>_2"])
        if not torch.equal(table[ids].detach(), rows):
            failures += 1
            print(f"diffusers does not take {form}", file=sys.stderr)

    # Of SDXL words the caller hands each file to its encoder.
    with contextlib.redirect_stderr(io.StringIO()):
        pipe = StableDiffusionXLPipeline.from_pretrained(MODELS / "tiny-sdxl", torch_dtype=torch.float32)
    encoders = [(pipe.text_encoder, pipe.tokenizer), (pipe.text_encoder_2, pipe.tokenizer_2)]
    rows = [torch.randn(3, encoder.config.hidden_size, generator=torch.Generator().manual_seed(4)) for encoder, _ in encoders]
    save_file({"clip_l": rows[0], "clip_g": rows[1]}, source)
    for form, ending in [("diffusers", "safetensors"), ("diffusers-bin", "bin")]:
        target = folder / f"pair.{ending}"
        subprocess.run([program, "convert", f"{source}=<{form}>", target, "--format", form], check=True, capture_output=True)
        for place, (encoder, tokenizer) in enumerate(encoders):
            name = target.name if place == 0 else f"pair_2.{ending}"
            pipe.load_textual_inversion(str(folder), weight_name=name, text_encoder=encoder, tokenizer=tokenizer)
            ids = tokenizer.convert_tokens_to_ids([f"<{form}>", f"<{form}>_1", f"<{form}>_2"])
            if not torch.equal(encoder.get_input_embeddings().weight[ids].detach(), rows[place]):
                failures += 1
                print(f"diffusers does not take {name}", file=sys.stderr)
    return failures


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "check":
        sys.exit(check(sys.argv[2]))
    make()
