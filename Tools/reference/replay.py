"""Writes a replay trace: textual inversion as diffusers' `textual_inversion.py` does it, with every random draw recorded.

    python replay.py MODEL_DIR --vectors 1 --steps 20 --batch-size 2 --height 8 --width 8 --output FILE
    python replay.py --fixtures           the traces under Tests/Fixtures

MODEL_DIR is any Stable Diffusion 1.x or 2.x folder in diffusers' layout; height and width are the latents'. The loop is the
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

A step s is one batch through the model, forward and backward. An update follows the steps with (s + 1) mod a = 0, so there are
S / a updates, and between them `embeddings` stays as it was. Metadata: learning_rate, weight_decay, adam_beta1, adam_beta2,
adam_epsilon, accumulation; besides, for the reader: script, dtype, token, prompts.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F

from common import DTYPES, MODELS, load_schedule, load_text_encoder, load_tokenizer, load_unet, save

PROMPTS = ["a photo of a {}", "a rendering of the small {}, on a yellow background", "{}", "a picture of {} and another {}",
           "a cool {} in the dark room", "the {} beside a blue tree, outlined"]
SETTINGS = dict(learning_rate=5e-3, weight_decay=1e-2, adam_beta1=0.9, adam_beta2=0.999, adam_epsilon=1e-8)
FIXTURES = [  # model, file, vectors, accumulation, height, width
    ("tiny-sd1", "replay", 1, 1, 8, 8),
    ("tiny-sd2", "replay", 3, 1, 8, 8),
    ("tiny-odd", "replay", 2, 2, 12, 20),
    ("tiny-deep", "replay", 1, 1, 16, 8),
    ("tiny-deep", "replay-uneven", 2, 1, 10, 13),
]


def placeholder_tokens(token: str, vectors: int) -> list[str]:
    return [token] + [f"{token}_{i}" for i in range(1, vectors)]


def draw(model: Path, token: str, initializer: str, vectors: int, steps: int, batch: int, height: int, width: int, seed: int) -> dict:
    """Everything random in a run, and the rows it starts from."""
    generator = torch.Generator().manual_seed(seed)
    tokenizer = load_tokenizer(model)
    size = len(tokenizer)
    tokens = placeholder_tokens(token, vectors)
    if tokenizer.add_tokens(tokens) != vectors:
        raise SystemExit(f"{token}: the tokenizer has it already")
    words = tokenizer.encode(initializer, add_special_tokens=False)
    table = load_text_encoder(model).get_input_embeddings().weight.detach()
    choice = torch.randint(len(PROMPTS), (steps, batch), generator=generator)
    ids = torch.stack([tokenizer([PROMPTS[i].format(*[" ".join(tokens)] * PROMPTS[i].count("{}")) for i in row], padding="max_length",
                                 max_length=77, truncation=True, return_tensors="pt").input_ids for row in choice.tolist()])
    assert all((ids == size + i).any() for i in range(vectors))
    shape = (steps, batch, 4, height, width)
    return {"latents": torch.randn(shape, generator=generator), "noise": torch.randn(shape, generator=generator),
            "timesteps": torch.randint(load_schedule(model).config.num_train_timesteps, (steps, batch), generator=generator),
            "input_ids": ids, "initial_embedding": torch.stack([table[words[i % len(words)]] for i in range(vectors)])}


def moments(gradients: torch.Tensor, settings: dict) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Adam's moments before each update and after the last, in float64, from the gradients of the updates."""
    first = second = torch.zeros_like(gradients[0], dtype=torch.float64)
    result = [(first, second)]
    for gradient in gradients.double():
        first = settings["adam_beta1"] * first + (1 - settings["adam_beta1"]) * gradient
        second = settings["adam_beta2"] * second + (1 - settings["adam_beta2"]) * gradient ** 2
        result.append((first, second))
    return result


def run(model: Path, draws: dict, accumulation: int, settings: dict, dtype: torch.dtype, channels_last: bool = False,
        narrow_text: bool = False, forced: dict | None = None, disturbance: float = 0, seed: int = 0) -> dict:
    """The training loop over the recorded draws.

    With `forced`, a trace, each update starts from the trace's rows and moments, and takes the trace's gradient once its own has been
    noted: what comes out is the error of one loss, one gradient and one update, each by itself. `narrow_text` has the text encoder
    in `dtype`, too, as ti-gpu has it; its table stays in f32. `disturbance` moves every number of an update's gradient by that part
    of the largest, up or down at random.
    """
    random = torch.Generator().manual_seed(seed)
    wide = dtype if dtype == torch.float64 else torch.float32  # of loss, text encoder and rows
    scale = 2.0 ** 12 if dtype == torch.float16 else 1.0
    text, unet, schedule = load_text_encoder(model, wide), load_unet(model, dtype), load_schedule(model)
    if channels_last:
        unet = unet.to(memory_format=torch.channels_last)
    vectors = draws["initial_embedding"].shape[0]
    first = len(load_tokenizer(model))
    rows = slice(first, first + vectors)
    text.resize_token_embeddings(first + vectors, mean_resizing=False)
    text.requires_grad_(False)
    unet.requires_grad_(False)
    table = text.get_input_embeddings().weight
    table.data[rows] = draws["initial_embedding"].to(wide)
    table.requires_grad_(True)
    optimizer = torch.optim.AdamW([table], lr=settings["learning_rate"], betas=(settings["adam_beta1"], settings["adam_beta2"]),
                                  weight_decay=settings["weight_decay"], eps=settings["adam_epsilon"])
    untouched = table.detach().clone()
    if narrow_text:
        narrow(text, dtype)
    if forced:
        last = slice(accumulation - 1, None, accumulation)
        starts = [draws["initial_embedding"], *forced["embeddings"][last]]
        states = moments(forced["gradients"][last], settings)
        optimizer.state[table] = {"step": torch.tensor(0.0), "exp_avg": torch.zeros_like(table), "exp_avg_sq": torch.zeros_like(table)}
    losses, gradients, embeddings = [], [], []
    for s in range(draws["latents"].shape[0]):
        if forced and s % accumulation == 0:
            table.data[rows] = starts[s // accumulation].to(wide)
            for name, moment in zip(("exp_avg", "exp_avg_sq"), states[s // accumulation]):
                optimizer.state[table][name][rows] = moment.to(wide)
        latents, noise, timesteps = draws["latents"][s].to(wide), draws["noise"][s].to(wide), draws["timesteps"][s]
        noisy = schedule.add_noise(latents, noise, timesteps)
        context = text(draws["input_ids"][s]).last_hidden_state
        prediction = unet(noisy.to(dtype), timesteps, context.to(dtype)).sample
        velocity = schedule.config.prediction_type == "v_prediction"
        target = schedule.get_velocity(latents, noise, timesteps) if velocity else noise
        loss = F.mse_loss(prediction.to(wide), target, reduction="mean")
        (loss * scale / accumulation).backward()
        if disturbance and (s + 1) % accumulation == 0:
            sign = torch.randint(2, (vectors, table.shape[1]), generator=random) * 2 - 1
            table.grad[rows] += disturbance * table.grad[rows].abs().max() * sign
        losses.append(loss.detach())
        gradients.append(table.grad[rows] / scale)
        if (s + 1) % accumulation == 0:
            table.grad /= scale
            if forced:
                table.grad[rows] = forced["gradients"][s].to(wide)
            optimizer.step()
            optimizer.zero_grad()
            with torch.no_grad():
                table[:first] = untouched[:first]
        embeddings.append(table.detach()[rows].clone())
    return {"losses": torch.stack(losses), "gradients": torch.stack(gradients), "embeddings": torch.stack(embeddings)}


def narrow(text: torch.nn.Module, dtype: torch.dtype) -> None:
    """Puts a text encoder in `dtype` but for its token table: a row is narrowed as it is taken, and its gradient widened."""
    table = text.get_input_embeddings()
    text.to(dtype)
    table.to(torch.float32)
    table.register_forward_hook(lambda _, __, output: output.to(dtype))


def write(model: Path, output: Path, vectors: int, steps: int, batch: int, height: int, width: int, accumulation: int, dtype: str,
          token: str = "<toy>", initializer: str = "striped rocket toy", seed: int = 0,
          settings: dict = SETTINGS) -> None:
    if steps % accumulation:
        raise SystemExit("--steps must be a multiple of --accumulate")
    draws = draw(model, token, initializer, vectors, steps, batch, height, width, seed)
    expected = run(model, draws, accumulation, settings, DTYPES[dtype])
    save(output, {**draws, **expected}, "replay.py", dtype=dtype, token=token, prompts=PROMPTS, accumulation=str(accumulation),
         **{key: repr(value) for key, value in settings.items()})


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
    parser.add_argument("--dtype", choices=DTYPES, default="float64")
    parser.add_argument("--output", type=Path)
    a = parser.parse_args()
    if a.fixtures:
        for model, file, vectors, accumulation, height, width in FIXTURES:
            write(MODELS / model, MODELS / model / f"{file}.safetensors", vectors, 20, 2, height, width, accumulation, "float64")
    elif a.model and a.output:
        write(a.model, a.output, a.vectors, a.steps, a.batch_size, a.height, a.width, a.accumulate, a.dtype, a.token, a.initializer,
              a.seed, {**SETTINGS, "learning_rate": a.learning_rate})
    else:
        parser.error("name MODEL_DIR and --output, or --fixtures")


if __name__ == "__main__":
    main()
