"""Writes Tests/Fixtures/odd_pictures: small files such as people have in a folder of pictures, and what is to be learned of them.

    python odd_pictures.py

    flat.png wide.png tall.jpg   pictures of several shapes
    turned.jpg                   lies on its side; its EXIF data says so
    ink.jpg deep.png glass.png   CMYK; 16 bits a channel; transparent
    photo.png                    8000 x 5300 pixels
    moving.webp text.jpg cut.jpg an animation; a text; half a picture
    DS_Store                     what macOS leaves
    expected.safetensors         NAME [height,width,3] U8: the picture as Pillow has it, turned upright, over white, its middle in the size
                                 that aspect_buckets.py says for 32 pixels in steps of 16, by BICUBIC
"""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file

from aspect_buckets import candidates, choice
from common import FIXTURES
from images import png, scene

OUT = FIXTURES / "odd_pictures"
RESOLUTION, STEP = 32, 16


def half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def learned(image: Image.Image) -> np.ndarray:
    width, height = image.size
    to = choice(width, height, candidates(RESOLUTION, STEP, RESOLUTION // 2, RESOLUTION * 2))
    if width * to[1] > height * to[0]:
        part = (half_up(height * to[0], to[1]), height)
    else:
        part = (width, half_up(width * to[1], to[0]))
    left, top = (width - part[0]) // 2, (height - part[1]) // 2
    return np.array(image.crop((left, top, left + part[0], top + part[1])).resize(to, Image.BICUBIC))


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    expected = {}

    def add(name: str, image: Image.Image | None, data: bytes | None = None, shown: Image.Image | None = None, **options) -> None:
        if data is None:
            buffer = io.BytesIO()
            image.save(buffer, **options)
            data = buffer.getvalue()
        (OUT / name).write_bytes(data)
        if shown is None:
            shown = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        expected[name] = torch.from_numpy(learned(shown.convert("RGB")))

    def picture(width: int, height: int, seed: int) -> Image.Image:
        return Image.fromarray(scene(width, height, seed))
    add("flat.png", picture(40, 40, 1), format="PNG")
    add("wide.png", picture(60, 34, 2), format="PNG")
    add("tall.jpg", picture(33, 70, 3), format="JPEG", quality=92, subsampling=0)
    exif = Image.Exif()
    exif[0x0112] = 6
    add("turned.jpg", picture(64, 40, 4), format="JPEG", quality=92, subsampling=0, exif=exif)
    add("ink.jpg", picture(48, 48, 5).convert("CMYK"), format="JPEG", quality=95)
    deep = scene(36, 40, 6).astype(np.uint16) * 257
    rows = [row.astype(">u2").tobytes() for row in deep]
    add("deep.png", None, png(36, 40, 16, 2, rows, False), Image.fromarray((deep >> 8).astype(np.uint8)))
    y, x = np.mgrid[0:44, 0:44]
    alpha = np.clip(400 - 18 * np.hypot(x - 22, y - 20), 0, 255).astype(np.uint8)
    glass = Image.fromarray(np.dstack([scene(44, 44, 7), alpha]))
    ground = Image.new("RGB", glass.size, "white")
    ground.paste(glass, mask=glass.getchannel("A"))
    add("glass.png", glass, shown=ground, format="PNG")
    y, x = np.mgrid[0:5300, 0:8000]
    photo = Image.fromarray(((x // 700 + y // 500) % 3).astype(np.uint8), "P")
    photo.putpalette([230, 40, 30, 20, 160, 90, 30, 40, 200])
    add("photo.png", photo, format="PNG", bits=2, optimize=True)

    frames = [picture(24, 24, seed) for seed in (8, 9)]
    frames[0].save(OUT / "moving.webp", format="WEBP", save_all=True, append_images=frames[1:], duration=100, quality=50)
    (OUT / "text.jpg").write_text("The pictures of the toy are in the other folder.\n")
    (OUT / "cut.jpg").write_bytes((OUT / "tall.jpg").read_bytes()[:700])
    (OUT / "DS_Store").write_bytes(b"\0\0\0\1Bud1\0\0\x10\0\0\0\x08\0")
    save_file(expected, OUT / "expected.safetensors", metadata={"script": "Tools/reference/odd_pictures.py"})
    for file in sorted(OUT.iterdir()):
        print(f"{file.name:22} {file.stat().st_size / 1024:6.1f} KiB")


if __name__ == "__main__":
    main()
