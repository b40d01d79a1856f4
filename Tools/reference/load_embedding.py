"""Loads a learned embedding through diffusers and shows that it acts.

    python load_embedding.py EMBEDDING [MODEL] [--images DIR] [--prompt "a photo of {}"] [--output PICTURE.png]

EMBEDDING is a `learned_embeds.safetensors`; MODEL a diffusers folder, the demo model if none is named. Exits 1 with a line on
standard error when the file does not load, its rows don't arrive in the text encoder, or the picture for a prompt with the word is the
same as without it. With --images the noise error on those pictures is compared too, at fixed noise and timesteps: before (the word as
plain text) and after; it has to fall. --output writes both pictures side by side. Prints one line of JSON.
"""
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, StableDiffusionPipeline
from PIL import Image, ImageOps
from safetensors import safe_open

from common import demo_model, load_schedule


def fail(message: str) -> None:
    print(f"load_embedding: {message}", file=sys.stderr)
    raise SystemExit(1)


def picture(pipe: StableDiffusionPipeline, prompt: str) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return pipe(prompt, num_inference_steps=20, guidance_scale=5, generator=generator, output_type="np").images[0]


def noise_error(pipe: StableDiffusionPipeline, model: Path, images: Path, prompt: str, draws: int = 20) -> float:
    size = pipe.unet.config.sample_size * pipe.vae_scale_factor
    files = sorted(f for f in images.iterdir() if f.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp") and not f.name.startswith("."))
    pixels = [np.asarray(ImageOps.fit(ImageOps.exif_transpose(Image.open(f)).convert("RGB"), (size, size), Image.BICUBIC)) for f in files]
    batch = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    generator, schedule = torch.Generator().manual_seed(1), load_schedule(model)
    with torch.no_grad():
        latents = pipe.vae.encode(batch).latent_dist.mean * pipe.vae.config.scaling_factor
        context = pipe.encode_prompt(prompt, "cpu", 1, False)[0].expand(len(latents), -1, -1)
        total = 0.0
        for i in range(draws):
            noise = torch.randn(latents.shape, generator=generator)
            t = torch.full((len(latents),), 25 + 950 * i // (draws - 1))
            prediction = pipe.unet(schedule.add_noise(latents, noise, t), t, context).sample
            velocity = schedule.config.prediction_type == "v_prediction"
            total += F.mse_loss(prediction, schedule.get_velocity(latents, noise, t) if velocity else noise).item()
    return total / draws


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("embedding", type=Path)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--prompt", default="a photo of {}")
    parser.add_argument("--output", type=Path)
    a = parser.parse_args()
    model = a.model or demo_model()
    try:
        with safe_open(a.embedding, "pt") as file:
            keys, metadata = list(file.keys()), file.metadata()
            rows = file.get_tensor(keys[0])
    except Exception as error:
        fail(f"{a.embedding}: {error}")
    if len(keys) != 1 or rows.dim() != 2:
        fail(f"{a.embedding}: one tensor [n, width] expected, there are {keys}, the first {list(rows.shape)}")
    token, n = keys[0], rows.shape[0]

    pipe = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    prompt, size = a.prompt.format(token), len(pipe.tokenizer)
    report = {"token": token, "vectors": n, "width": rows.shape[1], "metadata": metadata, "prompt": prompt}
    before = picture(pipe, prompt)
    if a.images:
        report["noise_error_before"] = noise_error(pipe, model, a.images, prompt)

    try:
        pipe.load_textual_inversion(str(a.embedding))
    except Exception as error:
        fail(f"diffusers does not load {a.embedding}: {error}")
    names = [token] + [f"{token}_{i}" for i in range(1, n)]
    ids = pipe.tokenizer.convert_tokens_to_ids(names)
    if ids != list(range(size, size + n)):
        fail(f"the words {names} have the ids {ids}, not {size}...{size + n - 1}")
    if not torch.equal(pipe.text_encoder.get_input_embeddings().weight[size : size + n], rows.float()):
        fail("the rows in the text encoder are not the file's")
    found = pipe.tokenizer(pipe.maybe_convert_prompt(prompt, pipe.tokenizer)).input_ids
    if [i for i in found if i >= size] != ids:
        fail(f"the prompt {prompt!r} becomes {found}, without the word's rows in turn")
    after = picture(pipe, prompt)
    report["picture_difference"] = float(np.abs(after - before).mean())
    if a.output:
        Image.fromarray((np.concatenate([before, after], 1) * 255).round().astype(np.uint8)).save(a.output)
    if report["picture_difference"] < 1e-3:
        fail(f"the picture is the same with and without the embedding (mean difference {report['picture_difference']:.1e})")
    if a.images:
        report["noise_error_after"] = noise_error(pipe, model, a.images, prompt)
        if report["noise_error_after"] >= report["noise_error_before"]:
            fail(f"the noise error does not fall: {report['noise_error_before']:.4f} to {report['noise_error_after']:.4f}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
