"""How alike the example concepts' pictures are, by numpy and Pillow: `Tests/Fixtures/likeness.safetensors`.

The rule is stated in `PictureLikeness.swift`; here it is written again, from its equations. Pictures are those of all example concepts in
the order of their names, 20 of them.

    correlation [20, 20]   of 16 x 16 thumbnails without each channel's mean, or of one with the other's mirror image, whichever is more
    ground [20, 20, 2]     the distance of the mean colours round the edge of 8 x 8, and of the colours place for place
    outline [20, 20]       of what stands out from the edge, centred and brought to one size
"""
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from common import FIXTURES, ROOT, save


def small(picture: Image.Image, side: int) -> np.ndarray:
    return np.asarray(picture.resize((side, side), Image.BICUBIC), dtype=np.float64)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a - a.mean((0, 1)), b - b.mean((0, 1))
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale > 0 else 0.0


def ground(a: Image.Image, b: Image.Image) -> list[float]:
    inner = np.zeros((8, 8), bool)
    inner[1:-1, 1:-1] = True
    a, b = small(a, 8)[~inner], small(b, 8)[~inner]
    return [float(np.sqrt(((a.mean(0) - b.mean(0)) ** 2).mean())), float(np.sqrt(((a - b) ** 2).mean()))]


def outline(picture: Image.Image, side: int = 32, window: int = 12) -> np.ndarray:
    pixels = small(picture, side)
    inner = np.zeros((side, side), bool)
    inner[2:-2, 2:-2] = True
    weights = np.sqrt(((pixels - np.median(pixels[~inner], axis=0)) ** 2).sum(-1))
    weights = np.minimum(weights / np.sort(weights.ravel())[(side * side - 1) * 9 // 10], 1)
    weights[weights < 0.25] = 0
    y, x = np.mgrid[:side, :side]
    x0, y0 = (weights * x).sum() / weights.sum(), (weights * y).sum() / weights.sum()
    deviation = np.sqrt((weights * ((x - x0) ** 2 + (y - y0) ** 2)).sum() / weights.sum())
    result = np.zeros((window, window))
    for row in range(window):
        for column in range(window):
            # Halves go away from zero, as in Swift.
            i, j = (int(np.floor(c + ((k + 0.5) / window * 2 - 1) * 2 * deviation + 0.5)) for c, k in ((y0, row), (x0, column)))
            if 0 <= i < side and 0 <= j < side:
                result[row, column] = weights[i, j]
    return result


def main() -> None:
    files = sorted(Path(ROOT / "Sources/DemoModel/Resources/concepts").glob("*/*.png"))
    pictures = [Image.open(file).convert("RGB") for file in files]
    thumbnails, outlines = [small(p, 16) for p in pictures], [outline(p) for p in pictures]
    save(
        FIXTURES / "likeness.safetensors",
        {
            "correlation": torch.tensor([[max(correlation(a, b), correlation(a, b[:, ::-1])) for b in thumbnails] for a in thumbnails]),
            "ground": torch.tensor([[ground(a, b) for b in pictures] for a in pictures]),
            "outline": torch.tensor([[correlation(a, b) for b in outlines] for a in outlines]),
        },
        "likeness.py", files=[f"{file.parent.name}/{file.name}" for file in files])


if __name__ == "__main__":
    main()
