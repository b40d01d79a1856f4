"""Writes Tests/Fixtures/demo: pictures that diffusers draws with the demo model, or any other of the Stable Diffusion family, from
given latents.

    python generate.py [--model DIR] [--output DIR] [--prompt P] [--negative-prompt N] [--height H --width W]

    latents.safetensors     `latents` [1,4,h,w], N(0,1): what `ti-gpu generate --latents` reads
    SAMPLER30.png           30 steps, guidance 7.5; SAMPLER is ddim, euler or dpm2m
    ddim30-negative.png     the same with a negative prompt
    pictures.safetensors    `SAMPLER30` [H,W,3] U8, and `SAMPLER30.latents` [1,4,h,w], the last latents before the VAE; prompts in the
                            metadata

The samplers are made with `from_config` of the model's own scheduler configuration, as a user of diffusers does it; the demo's
says nothing of `set_alpha_to_one`, so DDIM's default, true, holds. Everything runs in f32.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, DPMSolverMultistepScheduler, EulerDiscreteScheduler
from PIL import Image
from safetensors.torch import save_file

from common import FIXTURES, demo_model

SAMPLERS = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpm2m": DPMSolverMultistepScheduler}
NEGATIVE = "red, outlined"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--output", type=Path, default=FIXTURES / "demo")
    parser.add_argument("--prompt", default="a striped purple and yellow cat on a orange background")
    parser.add_argument("--negative-prompt", default=NEGATIVE)
    parser.add_argument("--height", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    pipe = DiffusionPipeline.from_pretrained(a.model or demo_model(), torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    height, width = [side or pipe.unet.config.sample_size * pipe.vae_scale_factor for side in (a.height, a.width)]
    shape = (1, pipe.unet.config.in_channels, height // pipe.vae_scale_factor, width // pipe.vae_scale_factor)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(a.seed))
    a.output.mkdir(parents=True, exist_ok=True)
    metadata = {"script": "Tools/reference/generate.py", "prompt": a.prompt, "negative_prompt": a.negative_prompt, "steps": "30", "guidance": "7.5"}
    save_file({"latents": latents}, a.output / "latents.safetensors", metadata=metadata)
    tensors = {}
    base = pipe.scheduler.config
    for name in [*SAMPLERS, "ddim-negative"]:
        sampler, _, negative = name.partition("-")
        pipe.scheduler = SAMPLERS[sampler].from_config(base)
        drawn = pipe(a.prompt, negative_prompt=a.negative_prompt if negative else None, num_inference_steps=30, guidance_scale=7.5,
                     latents=latents.clone(), height=height, width=width, output_type="latent").images
        with torch.no_grad():
            picture = pipe.vae.decode(drawn / pipe.vae.config.scaling_factor).sample[0]
        pixels = (picture / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).mul(255).round().to(torch.uint8)
        key = f"{sampler}30" + (f"-{negative}" if negative else "")
        Image.fromarray(np.asarray(pixels)).save(a.output / f"{key}.png")
        tensors |= {key: pixels.contiguous(), f"{key}.latents": drawn.contiguous()}
    save_file(tensors, a.output / "pictures.safetensors", metadata=metadata)
    print(json.dumps(metadata), *sorted(tensors))


if __name__ == "__main__":
    main()
