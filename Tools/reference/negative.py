"""Writes TRACE-negative.safetensors beside replay traces: the gradients of a word and of its negative, by PyTorch in float64.

    python negative.py           the fixtures

The prediction is guided as pictures are drawn: n + guidance (p - n), of the predictions for a batch's own prompts, p, and for the negative
word alone, n (DreamArtist, arXiv 2211.11337, section 3.2). Every draw is the replay trace's own (`replay.py`). V is the tokenizer's size, and the
word's v rows are followed by the negative's, as many.

- `negative_rows` [v, width], `negative_ids` [77]: where the negative starts, and how its prompt is read; `_2` of a second encoder
- `losses` [entries]: of each entry of the trace by itself
- `gradients` [entries, 2 v, width]: of that loss, the word's rows first; `gradients_2`
"""
import torch
import torch.nn.functional as F
from common import MODELS, load_schedule, load_tokenizer, load_unet, save
from replay import FIXTURES, Encoder, encoder_suffixes
from safetensors import safe_open

GUIDANCE = 3.0
ENTRIES = 4
CHOSEN = ("tiny-sd1", "tiny-sd2", "tiny-sdxl-v")


def run(name: str, vectors: int, pooling: str | None) -> dict[str, torch.Tensor]:
    model = MODELS / name
    with safe_open(model / "replay.safetensors", "pt") as file:
        draws = {key: file.get_tensor(key) for key in file.keys()}
    unet, schedule = load_unet(model, torch.float64), load_schedule(model)
    unet.requires_grad_(False)
    generator = torch.Generator().manual_seed(5)
    results, encoders = {}, []
    for suffix in encoder_suffixes(model):
        rows = draws[f"initial_embedding{suffix}"]
        negative = rows + rows.std() * torch.randn(rows.shape, generator=generator)
        encoders.append(Encoder(model, suffix, torch.cat([rows, negative]), torch.float64))
        size = len(load_tokenizer(model, f"tokenizer{suffix}"))
        empty = load_tokenizer(model, f"tokenizer{suffix}")("", padding="max_length", max_length=77).input_ids
        ids = [empty[0], *range(size + vectors, size + 2 * vectors), *empty[1:77 - vectors]]
        results |= {f"negative_rows{suffix}": negative, f"negative_ids{suffix}": torch.tensor(ids)}
    losses, gradients = [], [[] for _ in encoders]
    for entry in range(ENTRIES):
        latents, noise, timesteps = (draws[key][entry] for key in ("latents", "noise", "timesteps"))
        latents, noise = latents.double(), noise.double()
        noisy = schedule.add_noise(latents, noise, timesteps)

        def predicted(ids: list[torch.Tensor]) -> torch.Tensor:
            found = [encoder.hidden(own, len(encoders) > 1, pooling) for encoder, own in zip(encoders, ids)]
            added = {"text_embeds": found[1][1], "time_ids": draws["time_ids"][entry].double()} if len(encoders) > 1 else None
            return unet(noisy, timesteps, torch.cat([text for text, _ in found], dim=-1), added_cond_kwargs=added).sample

        positive = predicted([draws[f"input_ids{encoder.suffix}"][entry] for encoder in encoders])
        negative = predicted([results[f"negative_ids{encoder.suffix}"].expand(len(timesteps), -1) for encoder in encoders])
        velocity = schedule.config.prediction_type == "v_prediction"
        target = schedule.get_velocity(latents, noise, timesteps) if velocity else noise
        loss = F.mse_loss(negative + GUIDANCE * (positive - negative), target)
        losses.append(loss.detach())
        for found, encoder, gradient in zip(gradients, encoders, torch.autograd.grad(loss, [encoder.table for encoder in encoders])):
            found.append(gradient[encoder.rows])
    results["losses"] = torch.stack(losses)
    for encoder, found in zip(encoders, gradients):
        results[f"gradients{encoder.suffix}"] = torch.stack(found)
    return results


for model, file, vectors, _, _, _, pooling in FIXTURES:
    if model in CHOSEN and file == "replay":
        save(MODELS / model / f"{file}-negative.safetensors", run(model, vectors, pooling), "negative.py", guidance=GUIDANCE)
