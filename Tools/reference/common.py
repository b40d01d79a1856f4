"""What the reference scripts share: where fixtures lie, how parts are loaded, how a file is written."""
from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "Tests" / "Fixtures"
MODELS = FIXTURES / "models"
DTYPES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def demo_model() -> Path:
    """The demo model's folder, wherever in the package its resources lie."""
    found = sorted(ROOT.glob("Sources/DemoModel/**/model_index.json"))
    if not found:
        raise SystemExit("no demo model under Sources/DemoModel: name its folder")
    return found[0].parent


def load_text_encoder(model: Path, dtype: torch.dtype = torch.float32) -> CLIPTextModel:
    return CLIPTextModel.from_pretrained(model / "text_encoder", dtype=dtype, attn_implementation="eager").eval()


def load_text_encoder_2(model: Path, dtype: torch.dtype = torch.float32) -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection.from_pretrained(model / "text_encoder_2", dtype=dtype, attn_implementation="eager").eval()


def load_unet(model: Path, dtype: torch.dtype = torch.float32) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(model / "unet", torch_dtype=dtype).eval()


def load_vae(model: Path, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(model / "vae", torch_dtype=dtype).eval()


def load_schedule(model: Path) -> DDPMScheduler:
    """The training schedule; any scheduler's config will do, as in diffusers' training scripts."""
    return DDPMScheduler.from_pretrained(model / "scheduler")


def load_tokenizer(model: Path, name: str = "tokenizer") -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(model / name)


def has_two_text_encoders(model: Path) -> bool:
    return (model / "text_encoder_2").is_dir()


def save(path: Path, tensors: dict[str, torch.Tensor], script: str, **metadata) -> None:
    """Writes floats as F32, integers as they are, with the script's name in the metadata."""
    stored = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu()
        stored[name] = (tensor.float() if tensor.is_floating_point() else tensor).contiguous().clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    save_file(stored, path, metadata={"script": f"Tools/reference/{script}", **text})
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    """max|a - b| / max|b|, the measure of the replay format."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1e-300)).item()
