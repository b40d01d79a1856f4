"""Says what is seen in the demo model's pictures: a small network taught on the world's own drawings.

    python judge.py train JUDGE                        some minutes; prints how well it reads drawings it has not seen
    python judge.py score JUDGE PICTURES CONCEPT         the share of the concept's attributes, and of the asked backgrounds, in a folder

Pictures are 64 pixels a side. In a folder to score each picture's name ends in its background's: `3-yellow.png`. CONCEPT is a
name of concepts.py, which says what every picture is to show. The network never sees a picture of a concept or of the model in
training but for the VAE's: half the drawings pass through the demo model's VAE, which softens them as generated ones are.
"""
from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from concepts import CONCEPTS
from render import COLORS, PATTERNS, SHAPES, STYLES, random_scene, render

HEADS = {"shape": SHAPES, "pattern": PATTERNS, "style": STYLES, "color": tuple(COLORS), "second": tuple(COLORS),
         "background": tuple(COLORS)}


class Judge(nn.Module):
    """Six answers from one picture, `[batch, 3, 64, 64]` in -1 to 1."""

    def __init__(self):
        super().__init__()
        layers, before = [], 3
        for width in (32, 64, 96, 128):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
                       nn.Conv2d(width, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 256), nn.ReLU(), nn.Dropout(0.2))
        self.heads = nn.ModuleDict({name: nn.Linear(256, len(values)) for name, values in HEADS.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        h = self.body(x)
        return {name: head(h) for name, head in self.heads.items()}


def tensor(picture: Image.Image) -> torch.Tensor:
    return torch.from_numpy(numpy.asarray(picture.convert("RGB"), dtype=numpy.float32) / 127.5 - 1).permute(2, 0, 1)


def drawings(count: int, seed: int) -> tuple[torch.Tensor, list]:
    rng = random.Random(seed)
    scenes = [random_scene(rng) for _ in range(count)]
    return torch.stack([tensor(render(scene)) for scene in scenes]), scenes


def labels(scenes: list) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes]) for name, values in HEADS.items()}


def counted(scenes: list) -> dict[str, torch.Tensor]:
    """Which scenes show an attribute at all: a sketch shows one color and no pattern, and in a plain object both are one."""
    shown = torch.tensor([scene.style != "sketch" for scene in scenes])
    return {name: shown if name in ("pattern", "second") else torch.ones(len(scenes), dtype=torch.bool) for name in HEADS}


def colors_alike(answers: dict[str, torch.Tensor]) -> None:
    """A checkered, dotted or striped object has two colors, and which is the first cannot be seen: both heads learn the sorted pair."""
    first, second = answers["color"].clone(), answers["second"].clone()
    answers["color"], answers["second"] = torch.minimum(first, second), torch.maximum(first, second)


def softened(pictures: torch.Tensor, vae) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([vae(part, sample_posterior=True).sample for part in pictures.split(64)]).clamp(-1, 1)


def train(output: Path, count: int, epochs: int) -> None:
    from diffusers import AutoencoderKL
    model = Path(__file__).resolve().parents[2] / "Sources/DemoModel/Resources/model"
    vae = AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32).eval()
    torch.manual_seed(0)
    pictures, scenes = drawings(count, 1)
    soft = softened(pictures[: count // 2], vae)
    pictures = torch.cat([soft, pictures[count // 2:]])
    truth, shown = labels(scenes), counted(scenes)
    colors_alike(truth)
    judge = Judge()
    steps = epochs * (count // 64)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for epoch in range(epochs):
        for part in torch.randperm(count).split(64)[: count // 64]:
            x = pictures[part]
            x = (x + torch.randn_like(x) * 0.05 * torch.rand(len(part), 1, 1, 1)).roll(
                tuple(int(s) for s in torch.randint(-3, 4, (2,))), (2, 3))
            answers = judge(x)
            loss = sum(F.cross_entropy(answers[name][shown[name][part]], truth[name][part][shown[name][part]]) for name in HEADS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)
    judge.eval()
    pictures, scenes = drawings(1000, 2)
    truth, shown = labels(scenes), counted(scenes)
    colors_alike(truth)
    with torch.no_grad():
        answers = judge(softened(pictures, vae))
    for name in HEADS:
        right = (answers[name].argmax(1) == truth[name])[shown[name]].float().mean()
        print(f"{name}: {right:.3f} of new drawings through the VAE")
    torch.save(judge.state_dict(), output)


def score(judge: Judge, pictures: list[tuple[Image.Image, str]], fixed: dict) -> tuple[float, float]:
    """The share of the concept's attributes, and of the asked backgrounds, that pictures show."""
    with torch.no_grad():
        answers = {name: found.argmax(1) for name, found in judge(torch.stack([tensor(picture) for picture, _ in pictures])).items()}
    wanted = dict(fixed)
    if "second" in wanted:
        pair = sorted(HEADS["color"].index(wanted[name]) for name in ("color", "second"))
        wanted["color"], wanted["second"] = (HEADS["color"][index] for index in pair)
    hits = [HEADS[name][index] == value for name, value in wanted.items() for index in answers[name].tolist()]
    grounds = [HEADS["background"][index] == ground for index, (_, ground) in zip(answers["background"].tolist(), pictures)]
    return sum(hits) / len(hits), sum(grounds) / len(grounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train")
    learn.add_argument("output", type=Path)
    learn.add_argument("--pictures", type=int, default=12000)
    learn.add_argument("--epochs", type=int, default=8)
    look = commands.add_parser("score")
    look.add_argument("judge", type=Path)
    look.add_argument("pictures", type=Path)
    look.add_argument("concept", choices=CONCEPTS)
    a = parser.parse_args()
    if a.command == "train":
        return train(a.output, a.pictures, a.epochs)
    judge = Judge()
    judge.load_state_dict(torch.load(a.judge, weights_only=True))
    judge.eval()
    files = sorted(a.pictures.glob("*.png"))
    pictures = [(Image.open(file), file.stem.rsplit("-", 1)[-1]) for file in files]
    concept, ground = score(judge, pictures, CONCEPTS[a.concept][0])
    print(f"concept {concept:.2f}, background {ground:.2f} of {len(pictures)} pictures")


if __name__ == "__main__":
    main()
