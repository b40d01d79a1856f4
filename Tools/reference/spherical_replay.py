"""Writes TRACE-spherical.safetensors beside replay traces: spherical training of tiny models, by PyTorch in float64 from pictures to rows.

    python spherical_replay.py           the fixtures

Every draw is the replay trace's own (`replay.py`): latents, noise, timesteps, token numbers, initial rows. The equations are those of
Docs/Numerics.md's source, written with PyTorch's operations: each example's gradient is that of its own loss, by autograd, one example
at a time; with accumulation a, a step's examples are those of a successive entries.

- `losses` [steps]: mean squared error of all of a step's examples
- `rows` [steps + 1, n, width]: on the sphere, then after each step; `rows_2` of a second encoder
"""
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from common import MODELS, load_schedule, load_unet, save
from replay import FIXTURES, Encoder, encoder_suffixes
from safetensors import safe_open

ANGLE = 0.16
CHOSEN = {("tiny-sd1", "replay"), ("tiny-odd", "replay"), ("tiny-sdxl-v", "replay")}


def run(model: Path, trace: Path, accumulation: int, pooling: str | None) -> dict[str, torch.Tensor]:
    with safe_open(trace, "pt") as file:
        draws = {name: file.get_tensor(name) for name in file.keys()}
    unet, schedule = load_unet(model, torch.float64), load_schedule(model)
    unet.requires_grad_(False)
    encoders = [Encoder(model, suffix, draws[f"initial_embedding{suffix}"], torch.float64) for suffix in encoder_suffixes(model)]
    norms = {}
    for encoder in encoders:
        norms[encoder] = encoder.untouched[:encoder.first].norm(dim=1).mean()
        encoder.table.data[encoder.rows] = F.normalize(encoder.table.data[encoder.rows], dim=1) * norms[encoder]
    results = {"losses": [], **{f"rows{encoder.suffix}": [encoder.table.detach()[encoder.rows].clone()] for encoder in encoders}}
    entries, batch = draws["timesteps"].shape
    steps = entries // accumulation
    for step in range(steps):
        eta = ANGLE / 2 * (1 + math.cos(math.pi * step / steps))
        examples = [(entry, sample) for entry in range(step * accumulation, (step + 1) * accumulation) for sample in range(batch)]
        means, losses = {encoder: 0 for encoder in encoders}, []
        for entry, sample in examples:
            one = slice(sample, sample + 1)
            latents, noise, timesteps = (draws[name][entry, one] for name in ("latents", "noise", "timesteps"))
            latents, noise = latents.double(), noise.double()
            found = [encoder.hidden(draws[f"input_ids{encoder.suffix}"][entry, one], len(encoders) > 1, pooling) for encoder in encoders]
            added = None
            if len(encoders) > 1:
                added = {"text_embeds": found[1][1], "time_ids": draws["time_ids"][entry, one].double()}
            prediction = unet(schedule.add_noise(latents, noise, timesteps), timesteps, torch.cat([text for text, _ in found], dim=-1),
                              added_cond_kwargs=added).sample
            velocity = schedule.config.prediction_type == "v_prediction"
            loss = F.mse_loss(prediction, schedule.get_velocity(latents, noise, timesteps) if velocity else noise)
            losses.append(loss.detach())
            for encoder, gradient in zip(encoders, torch.autograd.grad(loss, [encoder.table for encoder in encoders])):
                direction = F.normalize(encoder.table.detach()[encoder.rows], dim=1)
                gradient = gradient[encoder.rows]
                tangent = gradient - (gradient * direction).sum(1, keepdim=True) * direction
                means[encoder] = means[encoder] + F.normalize(tangent, dim=1, eps=1e-300) / len(examples)
        results["losses"].append(torch.stack(losses).mean())
        for encoder in encoders:
            direction = F.normalize(encoder.table.detach()[encoder.rows], dim=1)
            encoder.table.data[encoder.rows] = F.normalize(direction - eta * means[encoder], dim=1) * norms[encoder]
            results[f"rows{encoder.suffix}"].append(encoder.table.detach()[encoder.rows].clone())
    return {name: torch.stack(values) for name, values in results.items()}


for model, file, _, accumulation, _, _, pooling in FIXTURES:
    if (model, file) in CHOSEN:
        trace = MODELS / model / f"{file}.safetensors"
        save(MODELS / model / f"{file}-spherical.safetensors", run(MODELS / model, trace, accumulation, pooling), "spherical_replay.py",
             angle=ANGLE, schedule="cosine", accumulation=str(accumulation))
