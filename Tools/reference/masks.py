"""Writes Tests/Fixtures/masks.safetensors: what masks and transparent pictures become.

    python masks.py

    mask.NAME               [height,width] U8: a mask
    means.NAME.CASE         [rows,columns]: its mean over equal cells of a part of it, 0 to 1, in float64: every pixel is repeated until
                            the cells' edges fall between pixels, and the mean is numpy's. Where a cell is whole pixels Pillow's box
                            filter says the same.
    area.NAME.CASE          [4]: the part: x, y, width, height
    grey.FILE               [height,width] U8: Pillow's convert("L") of a picture of Tests/Fixtures/images
    alpha.FILE              [height,width] U8: the alpha channel of one
    over.FILE.COLOUR        [height,width,3] U8: it, pasted by that on a ground of a colour
"""
from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from common import FIXTURES

PICTURES = FIXTURES / "images"
TRANSPARENT = ["rgba.png", "grey-alpha.png", "palette-transparent.png", "colour-key.png", "alpha.webp"]
COLOURS = {"white": (255, 255, 255), "black": (0, 0, 0), "104080": (0x10, 0x40, 0x80)}
# Parts in quarters of a pixel at the finest, and how many columns and rows.
CASES = {
    "whole": ((0, 0, 40, 24), (10, 6)),
    "pixels": ((0, 0, 40, 24), (40, 24)),
    "uneven": ((0, 0, 40, 24), (7, 5)),
    "square": ((8, 0, 24, 24), (8, 8)),
    "finer": ((1, 2, 5, 7), (16, 8)),
    "quarters": ((2.5, 1.25, 20.75, 16.5), (6, 4)),
    "one": ((39, 23, 1, 1), (1, 1)),
}


def cells(values: np.ndarray, start: float, length: float, count: int) -> np.ndarray:
    """Means over the cells of a stretch of the last axis."""
    units = 4 * count  # of a pixel
    fine = np.repeat(values, units, axis=-1)
    first, each = round(start * units), round(length * 4)
    part = fine[..., first:first + each * count]
    return part.reshape(*part.shape[:-1], count, each).mean(-1)


def means(mask: np.ndarray, area: tuple, columns: int, rows: int) -> np.ndarray:
    x, y, width, height = area
    return cells(cells(mask / 255.0, x, width, columns).T, y, height, rows).T


def main() -> None:
    random = np.random.default_rng(14)
    y, x = np.mgrid[0:24, 0:40]
    masks = {
        "disc": np.where((x - 17) ** 2 + (y - 10) ** 2 < 90, 255, 0),
        "soft": 255 / (1 + np.exp((np.hypot(x - 20, y - 12) - 9) / 2)),
        "noise": random.integers(0, 256, (24, 40)),
    }
    tensors = {}
    for name, mask in masks.items():
        mask = mask.astype(np.uint8)
        tensors[f"mask.{name}"] = torch.from_numpy(mask)
        for case, (area, (columns, rows)) in CASES.items():
            result = means(mask, area, columns, rows)
            if all(float(edge).is_integer() for edge in area) and area[2] % columns == 0 and area[3] % rows == 0:
                corners = (area[0], area[1], area[0] + area[2], area[1] + area[3])
                image = Image.fromarray(mask.astype(np.float32)).crop(corners).resize((columns, rows), Image.BOX)
                assert np.abs(np.array(image) / 255 - result).max() < 1e-6, (name, case)
            tensors[f"means.{name}.{case}"] = torch.from_numpy(result).float()
            tensors[f"area.{name}.{case}"] = torch.tensor(area, dtype=torch.float32)
    for name in ["rgb.png", "grey.png"]:
        tensors[f"grey.{name}"] = torch.from_numpy(np.array(Image.open(PICTURES / name).convert("L")))
    for name in TRANSPARENT:
        picture = Image.open(PICTURES / name).convert("RGBA")
        alpha = picture.getchannel("A")
        tensors[f"alpha.{name}"] = torch.from_numpy(np.array(alpha))
        for colour, rgb in COLOURS.items():
            ground = Image.new("RGB", picture.size, rgb)
            ground.paste(picture, mask=alpha)
            tensors[f"over.{name}.{colour}"] = torch.from_numpy(np.array(ground))
    path = FIXTURES / "masks.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata={"script": "Tools/reference/masks.py"})
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB, {len(tensors)} tensors")


if __name__ == "__main__":
    main()
