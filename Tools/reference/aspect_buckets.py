"""Writes Tests/Fixtures/aspect_buckets.json: which size kohya's trainers (sd-scripts) bring pictures of 1000 random sizes to.

    python aspect_buckets.py

The rule, in terms of its own: with an area A = resolution^2, sides from `shortest` to `longest` in multiples of `step`,

    candidates  every width with the longest height that keeps width * height <= A, height no longer than `longest`; the same lying
                on its side; and the square
    choice      the picture's own size where it is a candidate, else the candidate whose width / height is nearest to the
                picture's; of two as near the one with the smaller width

sd-scripts' own defaults are 256 and 1024 for 512 pixels; here it is half and twice the resolution, in whole steps.
`cases`: for each resolution and step, `[width, height, width learned, height learned]` a picture.
"""
from __future__ import annotations

import json
import random

from common import FIXTURES

CONFIGURATIONS = [(512, 64), (768, 64), (1024, 64), (256, 32), (64, 16)]


def candidates(resolution: int, step: int, shortest: int, longest: int) -> list[tuple[int, int]]:
    area = resolution * resolution
    sides = [n * step for n in range(shortest // step, longest // step + 1)]
    portraits = set()
    for width in sides:
        heights = [height for height in sides if width * height <= area]
        if heights:
            portraits.add((width, max(heights)))
    return sorted(portraits | {(height, width) for width, height in portraits} | {(resolution, resolution)})


def choice(width: int, height: int, sizes: list[tuple[int, int]]) -> tuple[int, int]:
    if (width, height) in sizes:
        return width, height
    return min(sizes, key=lambda size: (abs(size[0] / size[1] - width / height), size))


def main() -> None:
    draw = random.Random(14)
    cases = []
    for resolution, step in CONFIGURATIONS:
        sizes = candidates(resolution, step, resolution // 2, resolution * 2)
        pictures = [(draw.randint(8, 6000), draw.randint(8, 6000)) for _ in range(150)]
        # Most pictures are flatter than that; and some have a candidate's own size, or half of it.
        for _ in range(30):
            side = draw.randint(resolution // 2, 4 * resolution)
            pictures.append((side, round(side * draw.uniform(0.6, 1.6))))
        for _ in range(20):
            size = draw.choice(sizes)
            pictures.append(tuple(length // draw.choice([1, 2]) for length in size))
        cases.append({"resolution": resolution, "step": step, "pictures": [[*size, *choice(*size, sizes)] for size in pictures]})
    path = FIXTURES / "aspect_buckets.json"
    document = {"script": "Tools/reference/aspect_buckets.py", "cases": cases}
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n")
    print(f"{path}: {sum(len(case['pictures']) for case in cases)} pictures, {path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
