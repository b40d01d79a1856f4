"""Times one training step of a full-size model in PyTorch + diffusers; JSON on standard output.

    python step_sd15.py [--shape sd15|sd21|demo] [--resolution 512] [--batch-size 1] [--dtype f32|bf16|f16] [--steps 3] [--threads 2]
    python step_sd15.py --write-weights DIR [--shape sd15|sd21]      a model folder with random weights (2 GB)
    python step_sd15.py --trace FILE --weights DIR [--resolution 512] [--batch-size 1] [--compare float32-nhwc]
                                                                     a replay trace of one step on such a folder's weights

A step is what the trainer does with latents cached: add noise, text encoder forward with the placeholder's row, UNet forward, mean
squared error, backward to that row, AdamW on it. No weight requires a gradient, so PyTorch too computes none, and nothing at all
below the first cross-attention. `--memory-format auto` takes the faster of contiguous and channels last, after one step of each.
"""
from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import replay
from common import demo_model, load_text_encoder, load_unet
from shapes import SHAPES, VAE_FACTOR, build_text_encoder, build_unet, write_model

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Step:
    """One step, over and over: the latents, noise and prompts stay the same, as their values do not bear on the time."""

    def __init__(self, shape: str, resolution: int, batch: int, dtype: torch.dtype):
        if shape == "demo":
            self.text, self.unet = load_text_encoder(demo_model(), dtype), load_unet(demo_model(), dtype)
        else:
            self.text, self.unet = build_text_encoder(shape).to(dtype), build_unet(shape).to(dtype)
        self.text.requires_grad_(False)
        self.unet.requires_grad_(False)
        side = resolution // VAE_FACTOR[shape]
        generator = torch.Generator().manual_seed(0)
        self.latents, self.noise = (torch.randn((batch, 4, side, side), generator=generator) for _ in range(2))
        self.timesteps = torch.full((batch,), 500)
        self.ids = torch.full((batch, 77), 320)
        table = self.text.get_input_embeddings()
        self.row = table.weight[320].detach().float().clone().requires_grad_()
        self.place = torch.zeros((1, 77, 1), dtype=torch.bool)
        self.place[0, 5] = True
        table.register_forward_hook(lambda module, inputs, output: torch.where(self.place, self.row.to(output.dtype), output))
        self.optimizer = torch.optim.AdamW([self.row], lr=5e-3)
        self.dtype = dtype

    def run(self) -> dict[str, float]:
        """Seconds of each phase."""
        start = time.perf_counter()
        context = self.text(self.ids).last_hidden_state
        text = time.perf_counter()
        noisy = (0.7 * self.latents + 0.7 * self.noise).to(self.dtype)
        loss = F.mse_loss(self.unet(noisy, self.timesteps, context).sample.float(), self.noise)
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        self.optimizer.step()
        self.optimizer.zero_grad()
        end = time.perf_counter()
        return {"text_forward": text - start, "unet_forward": forward - text, "backward": backward - forward, "optimizer": end - backward,
                "step": end - start}


def measure(a: argparse.Namespace) -> dict:
    step = Step(a.shape, a.resolution, a.batch_size, DTYPES[a.dtype])
    first = {}
    for name in FORMATS if a.memory_format == "auto" else [a.memory_format]:
        step.unet = step.unet.to(memory_format=FORMATS[name])
        first[name] = step.run()["step"]
    best = min(first, key=first.get)
    step.unet = step.unet.to(memory_format=FORMATS[best])
    times = [step.run() for _ in range(a.steps)]
    report = {"shape": a.shape, "resolution": a.resolution, "batch_size": a.batch_size, "dtype": a.dtype, "threads": torch.get_num_threads(),
              "memory_format": best, "first_step_milliseconds": {name: round(1e3 * t, 1) for name, t in first.items()}}
    for phase in times[0]:
        report[f"{phase}_milliseconds"] = round(1e3 * statistics.median(t[phase] for t in times), 2)
    return report | {"all_step_milliseconds": [round(1e3 * t["step"], 2) for t in times],
                     "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "torch": torch.__version__}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=[*SHAPES, "demo"], default="sd15")
    parser.add_argument("--resolution", type=int)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-format", choices=["auto", *FORMATS], default="auto")
    parser.add_argument("--write-weights", type=Path)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--vectors", type=int, default=1)
    parser.add_argument("--compare", nargs="*", default=[], help="with --trace: other computations to print the spread of")
    a = parser.parse_args()
    a.resolution = a.resolution or {"sd15": 512, "sd21": 768, "demo": 64}[a.shape]
    torch.set_num_threads(a.threads)
    if a.write_weights:
        if a.shape == "demo":
            parser.error("the demo model has its weights: --write-weights goes with sd15 or sd21")
        write_model(a.shape, a.write_weights)
    elif a.trace:
        if not a.weights:
            parser.error("--trace needs --weights DIR")
        side = a.resolution // VAE_FACTOR[a.shape]
        replay.write(a.weights, a.trace, a.vectors, 1, a.batch_size, side, side, 1, "float32", a.compare)
    else:
        json.dump(measure(a), sys.stdout)
        print()


if __name__ == "__main__":
    main()
