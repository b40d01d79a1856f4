"""Writes a replay trace: textual inversion as diffusers' `textual_inversion.py` does it, with every random draw recorded.

    python replay.py MODEL_DIR --vectors 1 --steps 20 --batch-size 2 --height 8 --width 8 --output FILE
    python replay.py --fixtures           the traces under Tests/Fixtures

MODEL_DIR is any Stable Diffusion 1.x, 2.x or XL folder in diffusers' layout; height and width are the latents'. The loop is the
script's: AdamW over the whole token table, every row but the placeholders' put back after each update, no clipping, a constant
rate, the loss a mean over the batch. Draws are f32; the computation runs in --dtype (float64 for a trace to be trusted) and is
stored as F32. With float16 the UNet is in half precision, as the script has it, and the text encoder in f32.

What the file holds (S steps, batch B, n rows of width d, a = `accumulation`, V = the tokenizer's size):

    latents, noise     [S,B,4,h,w]
    timesteps          [S,B] I64
    input_ids          [S,B,77] I64    the placeholder's rows are the ids V ... V+n-1
    initial_embedding  [n,d]           rows of the initializer's tokens, in turn
    losses             [S]             mean squared error of batch s, not divided by a
    gradients          [S,n,d]         gradient that has gathered in the rows after batch s: the sum of the gradients since the last
                                       update, each divided by a. With a = 1 it is batch s's; where an update follows it is what
                                       the optimizer gets: the mean over a batches
    embeddings         [S,n,d]         rows after step s, and after the update where one follows

Of SDXL, which is told how pictures were cut, and whose second encoder's tensors end in _2 (`textual_inversion_sdxl.py`):

    time_ids           [S,B,6]         original height and width, top and left of the cut, target height and width
    input_ids_2, initial_embedding_2, gradients_2, embeddings_2

with `pooling` in the metadata: whether the pooled text is taken at the end of the text, or at the highest id as diffusers has it.

A step s is one batch through the model, forward and backward. An update follows the steps with (s + 1) mod a = 0, so there are
S / a updates, and between them `embeddings` stays as it was. Metadata: learning_rate, weight_decay, adam_beta1, adam_beta2,
adam_epsilon, accumulation; besides, for the reader: script, dtype, token, prompts.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from common import (DTYPES, MODELS, has_two_text_encoders, load_schedule, load_text_encoder, load_text_encoder_2, load_tokenizer,
                    load_unet, save)

PROMPTS = ["a photo of a {}", "a rendering of the small {}, on a yellow background", "{}", "a picture of {} and another {}",
           "a cool {} in the dark room", "the {} beside a blue tree, outlined"]
SETTINGS = dict(learning_rate=5e-3, weight_decay=1e-2, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8)
POOLINGS = ("end-of-text", "highest-id")
FIXTURES = [  # model, file, vectors, accumulation, height, width, pooling
    ("tiny-sd1", "replay", 1, 1, 8, 8, None),
    ("tiny-sd2", "replay", 3, 1, 8, 8, None),
    ("tiny-odd", "replay", 2, 2, 12, 20, None),
    ("tiny-deep", "replay", 1, 1, 16, 8, None),
    ("tiny-deep", "replay-uneven", 2, 1, 10, 13, None),
    ("tiny-sdxl", "replay", 2, 1, 8, 8, "end-of-text"),
    ("tiny-sdxl-v", "replay", 1, 2, 12, 8, "highest-id"),
]


def encoder_suffixes(model: Path) -> list[str]:
    """What the folders of a model's text encoders, and a trace's tensors of them, end in."""
    return ["", "_2"] if has_two_text_encoders(model) else [""]


def load_encoder(model: Path, suffix: str, dtype: torch.dtype = torch.float32) -> torch.nn.Module:
    return (load_text_encoder_2 if suffix else load_text_encoder)(model, dtype)


def placeholder_tokens(token: str, vectors: int) -> list[str]:
    return [token] + [f"{token}_{i}" for i in range(1, vectors)]


def draw(model: Path, token: str, initializer: str, vectors: int, steps: int, batch: int, height: int, width: int, seed: int) -> dict:
    """Everything random in a run, and the rows it starts from."""
    generator = torch.Generator().manual_seed(seed)
    tokens = placeholder_tokens(token, vectors)
    choice = torch.randint(len(PROMPTS), (steps, batch), generator=generator)
    shape = (steps, batch, 4, height, width)
    draws = {"latents": torch.randn(shape, generator=generator), "noise": torch.randn(shape, generator=generator),
             "timesteps": torch.randint(load_schedule(model).config.num_train_timesteps, (steps, batch), generator=generator)}
    for suffix in encoder_suffixes(model):
        tokenizer = load_tokenizer(model, f"tokenizer{suffix}")
        size = len(tokenizer)
        if tokenizer.add_tokens(tokens) != vectors:
            raise SystemExit(f"{token}: the tokenizer has it already")
        words = tokenizer.encode(initializer, add_special_tokens=False)
        table = load_encoder(model, suffix).get_input_embeddings().weight.detach()
        ids = torch.stack([tokenizer([PROMPTS[i].format(*[" ".join(tokens)] * PROMPTS[i].count("{}")) for i in row], padding="max_length",
                                     max_length=77, truncation=True, return_tensors="pt").input_ids for row in choice.tolist()])
        assert all((ids == size + i).any() for i in range(vectors))
        draws[f"input_ids{suffix}"] = ids
        draws[f"initial_embedding{suffix}"] = torch.stack([table[words[i % len(words)]] for i in range(vectors)])
    if len(encoder_suffixes(model)) > 1:
        original = torch.randint(8 * height, 64 * height, (steps, batch, 2), generator=generator)
        cut = torch.randint(0, 4 * height, (steps, batch, 2), generator=generator)
        target = torch.tensor([8 * height, 8 * width]).expand(steps, batch, 2)
        draws["time_ids"] = torch.cat([original, cut, target], dim=-1).float()
    return draws


def moments(gradients: torch.Tensor, settings: dict) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Adam's moments before each update and after the last, in float64, from the gradients of the updates."""
    first = second = torch.zeros_like(gradients[0], dtype=torch.float64)
    result = [(first, second)]
    for gradient in gradients.double():
        first = settings["adam_beta1"] * first + (1 - settings["adam_beta1"]) * gradient
        second = settings["adam_beta2"] * second + (1 - settings["adam_beta2"]) * gradient ** 2
        result.append((first, second))
    return result


class Encoder:
    """A text encoder with the placeholder's rows behind its table."""

    def __init__(self, model: Path, suffix: str, initial: torch.Tensor, wide: torch.dtype):
        self.suffix = suffix
        tokenizer = load_tokenizer(model, f"tokenizer{suffix}")
        self.first, self.end = len(tokenizer), tokenizer.eos_token_id
        self.rows = slice(self.first, self.first + len(initial))
        self.model = load_encoder(model, suffix, wide)
        self.model.resize_token_embeddings(self.rows.stop, mean_resizing=False)
        self.model.requires_grad_(False)
        self.table = self.model.get_input_embeddings().weight
        self.table.data[self.rows] = initial.to(wide)
        self.table.requires_grad_(True)
        self.untouched = self.table.detach().clone()

    def hidden(self, ids: torch.Tensor, penultimate: bool, pooling: str | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The states that the UNet reads, and the pooled text of an encoder that makes one."""
        found = self.model(ids, output_hidden_states=True)
        states = found.hidden_states[-2] if penultimate else found.last_hidden_state
        if not self.suffix:
            return states, None
        # The first end of text, of which there are more where the padding is the same token.
        places = (ids == self.end).int().argmax(-1) if pooling == "end-of-text" else ids.argmax(-1)
        last = found.last_hidden_state[torch.arange(len(ids)), places]
        return states, self.model.text_projection(last)


def run(model: Path, draws: dict, accumulation: int, settings: dict, dtype: torch.dtype, channels_last: bool = False,
        narrow_text: bool = False, forced: dict | None = None, disturbance: dict | None = None, seed: int = 0,
        pooling: str | None = None) -> dict:
    """The training loop over the recorded draws.

    With `forced`, a trace, each update starts from the trace's rows and moments, and takes the trace's gradient once its own has been
    noted: what comes out is the error of one loss, one gradient and one update, each by itself. `narrow_text` has the text encoders
    in `dtype`, too, as ti-gpu has them; their tables stay in f32. `disturbance`, by encoder, moves every number of an update's
    gradient by that part of the largest, up or down at random.
    """
    random = torch.Generator().manual_seed(seed)
    wide = dtype if dtype == torch.float64 else torch.float32  # of loss, text encoders and rows
    scale = 2.0 ** 12 if dtype == torch.float16 else 1.0
    unet, schedule = load_unet(model, dtype), load_schedule(model)
    if channels_last:
        unet = unet.to(memory_format=torch.channels_last)
    unet.requires_grad_(False)
    encoders = [Encoder(model, suffix, draws[f"initial_embedding{suffix}"], wide) for suffix in encoder_suffixes(model)]
    optimizer = torch.optim.AdamW([encoder.table for encoder in encoders], lr=settings["learning_rate"],
                                  betas=(settings["adam_beta1"], settings["adam_beta2"]),
                                  weight_decay=settings["weight_decay"], eps=settings["adam_epsilon"])
    last = slice(accumulation - 1, None, accumulation)
    starts, states = {}, {}
    for encoder in encoders:
        if narrow_text:
            narrow(encoder.model, dtype)
        if forced:
            starts[encoder] = [draws[f"initial_embedding{encoder.suffix}"], *forced[f"embeddings{encoder.suffix}"][last]]
            states[encoder] = moments(forced[f"gradients{encoder.suffix}"][last], settings)
            optimizer.state[encoder.table] = {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(encoder.table),
                                              "exp_avg_sq": torch.zeros_like(encoder.table)}
    results = {"losses": [], **{f"{what}{encoder.suffix}": [] for encoder in encoders for what in ("gradients", "embeddings")}}
    for s in range(draws["latents"].shape[0]):
        if forced and s % accumulation == 0:
            for encoder in encoders:
                encoder.table.data[encoder.rows] = starts[encoder][s // accumulation].to(wide)
                for name, moment in zip(("exp_avg", "exp_avg_sq"), states[encoder][s // accumulation]):
                    optimizer.state[encoder.table][name][encoder.rows] = moment.to(wide)
        latents, noise, timesteps = draws["latents"][s].to(wide), draws["noise"][s].to(wide), draws["timesteps"][s]
        noisy = schedule.add_noise(latents, noise, timesteps)
        found = [encoder.hidden(draws[f"input_ids{encoder.suffix}"][s], len(encoders) > 1, pooling) for encoder in encoders]
        context = torch.cat([states for states, _ in found], dim=-1)
        added = {"text_embeds": found[1][1].to(dtype), "time_ids": draws["time_ids"][s].to(dtype)} if len(encoders) > 1 else None
        prediction = unet(noisy.to(dtype), timesteps, context.to(dtype), added_cond_kwargs=added).sample
        velocity = schedule.config.prediction_type == "v_prediction"
        target = schedule.get_velocity(latents, noise, timesteps) if velocity else noise
        loss = F.mse_loss(prediction.to(wide), target, reduction="mean")
        (loss * scale / accumulation).backward()
        results["losses"].append(loss.detach())
        is_update = (s + 1) % accumulation == 0
        for encoder in encoders:
            table, rows = encoder.table, encoder.rows
            if disturbance and is_update:
                sign = torch.randint(2, table.grad[rows].shape, generator=random) * 2 - 1
                table.grad[rows] += disturbance[encoder.suffix] * table.grad[rows].abs().max() * sign
            results[f"gradients{encoder.suffix}"].append(table.grad[rows] / scale)
            if is_update:
                table.grad /= scale
                if forced:
                    table.grad[rows] = forced[f"gradients{encoder.suffix}"][s].to(wide)
        if is_update:
            optimizer.step()
            optimizer.zero_grad()
        for encoder in encoders:
            with torch.no_grad():
                encoder.table[:encoder.first] = encoder.untouched[:encoder.first]
            results[f"embeddings{encoder.suffix}"].append(encoder.table.detach()[encoder.rows].clone())
    return {name: torch.stack(tensors) for name, tensors in results.items()}


def narrow(text: torch.nn.Module, dtype: torch.dtype) -> None:
    """Puts a text encoder in `dtype` but for its token table: a row is narrowed as it is taken, and its gradient widened."""
    table = text.get_input_embeddings()
    text.to(dtype)
    table.to(torch.float32)
    table.register_forward_hook(lambda _, __, output: output.to(dtype))


def write(model: Path, output: Path, vectors: int, steps: int, batch: int, height: int, width: int, accumulation: int, dtype: str,
          token: str = "<toy>", initializer: str = "striped rocket toy", seed: int = 0,
          settings: dict = SETTINGS, pooling: str | None = None) -> None:
    if steps % accumulation:
        raise SystemExit("--steps must be a multiple of --accumulate")
    draws = draw(model, token, initializer, vectors, steps, batch, height, width, seed)
    if len(encoder_suffixes(model)) > 1:
        pooling = pooling or POOLINGS[0]
    expected = run(model, draws, accumulation, settings, DTYPES[dtype], pooling=pooling)
    save(output, {**draws, **expected}, "replay.py", dtype=dtype, token=token, prompts=PROMPTS, accumulation=str(accumulation),
         **({"pooling": pooling} if pooling else {}), **{key: repr(value) for key, value in settings.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--fixtures", action="store_true")
    parser.add_argument("--token", default="<toy>")
    parser.add_argument("--initializer", default="striped rocket toy")
    parser.add_argument("--vectors", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--height", type=int, default=8)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=SETTINGS["learning_rate"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pooling", choices=POOLINGS, help="where SDXL's pooled text is taken; at the end of the text by default")
    parser.add_argument("--dtype", choices=DTYPES, default="float64")
    parser.add_argument("--output", type=Path)
    a = parser.parse_args()
    if a.fixtures:
        for model, file, vectors, accumulation, height, width, pooling in FIXTURES:
            write(MODELS / model, MODELS / model / f"{file}.safetensors", vectors, 20, 2, height, width, accumulation, "float64",
                  pooling=pooling)
    elif a.model and a.output:
        write(a.model, a.output, a.vectors, a.steps, a.batch_size, a.height, a.width, a.accumulate, a.dtype, a.token, a.initializer,
              a.seed, {**SETTINGS, "learning_rate": a.learning_rate}, a.pooling)
    else:
        parser.error("name MODEL_DIR and --output, or --fixtures")


if __name__ == "__main__":
    main()
