"""Writes Tests/Fixtures/images: small pictures in many formats, and what Pillow makes of them.

    python images.py

`images.safetensors` holds, for each file, `FILE` [height,width,3] U8: decoded, turned upright (ImageOps.exif_transpose) and
converted to RGB as Pillow does it: alpha is dropped, not blended, and 16 bits lose the lower eight (for grey Pillow would clip
instead; the fixture has the upper eight there too). JPEG and lossy WebP may differ by a level or two in another decoder; `exact` in the metadata
lists the files that may not. Then the resizes, by `Image.resize(size, BICUBIC)` of the RGB picture, antialiased when it shrinks:

    resize.source.NAME              [h,w,3] U8
    resize.NAME.WIDTHxHEIGHT        [height,width,3] U8
    square.NAME.crop.S, square.NAME.squash.S   what a trainer does: the centre square of min(w,h), then S x S; or S x S at once.
                                    The crop's corner is ((w-s)//2, (h-s)//2)
"""
from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file

from common import FIXTURES

OUT = FIXTURES / "images"


def scene(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth colours, a hard edge and some noise, and no symmetry: a turn or a mirror shows."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red, green, blue = 255 * x / width, 255 * y / height, 127 + 120 * np.sin(x / 3 + y / 5)
    picture = np.stack([red, green, blue], -1)
    picture[: height // 3, : width // 4] = (250, 20, 40)
    picture += np.random.default_rng(seed).normal(0, 6, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def png(width: int, height: int, depth: int, colour: int, rows: list[bytes] | list[list[bytes]], interlaced: bool, **chunks: bytes) -> bytes:
    """A PNG written by hand, for the kinds that Pillow doesn't write."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    raw = b"".join(b"\0" + row for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
            + b"".join(chunk(kind.encode(), data) for kind, data in chunks.items()) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def adam7(picture: np.ndarray) -> list[bytes]:
    """The seven passes' rows."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    return [row.tobytes() for x, y, dx, dy in passes for row in picture[y::dy, x::dx] if row.size]


def pictures() -> dict[str, tuple[bytes, np.ndarray | None]]:
    """File name to bytes, and pixels where Pillow is not to be asked."""
    found: dict[str, tuple[bytes, np.ndarray | None]] = {}

    def add(name: str, image: Image.Image, pixels: np.ndarray | None = None, **options) -> None:
        buffer = io.BytesIO()
        image.save(buffer, **options)
        found[name] = (buffer.getvalue(), pixels)
    w, h = 23, 17
    rgb = scene(w, h)
    image = Image.fromarray(rgb)
    alpha = np.linspace(0, 255, w * h).reshape(h, w).astype(np.uint8)
    with_alpha = Image.fromarray(np.dstack([rgb, alpha]))
    add("rgb.png", image, format="PNG")
    add("rgba.png", with_alpha, format="PNG")
    add("grey.png", image.convert("L"), format="PNG")
    add("grey-alpha.png", with_alpha.convert("LA"), format="PNG")
    add("bilevel.png", image.convert("1"), format="PNG")
    palette = image.quantize(16)
    add("palette.png", palette, format="PNG", bits=4)
    add("palette-transparent.png", palette, format="PNG", transparency=3)
    add("colour-key.png", image, format="PNG", transparency=(250, 20, 40))
    deep = (rgb.astype(np.uint32) * 257 + np.random.default_rng(1).integers(-100, 100, rgb.shape)).clip(0, 65535).astype(">u2")
    upper = (deep >> 8).astype(np.uint8)
    found["rgb16.png"] = (png(w, h, 16, 2, [row.tobytes() for row in deep], False), upper)
    grey = deep[:, :, 1]
    found["grey16.png"] = (png(w, h, 16, 0, [row.tobytes() for row in grey], False), np.repeat(upper[:, :, 1:2], 3, 2))
    nibbles = rgb[:, :, 0] >> 4
    padded = np.pad(nibbles, ((0, 0), (0, w % 2)))
    found["grey4.png"] = (png(w, h, 4, 0, [row.tobytes() for row in padded[:, ::2] << 4 | padded[:, 1::2]], False), np.repeat(nibbles[:, :, None] * 17, 3, 2))
    found["interlaced.png"] = (png(w, h, 8, 2, adam7(rgb), True), rgb)
    found["gamma.png"] = (png(w, h, 8, 2, [row.tobytes() for row in rgb], False, gAMA=struct.pack(">I", 100_000)), rgb)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        add(f"orientation-{orientation}.jpg", image, format="JPEG", quality=92, exif=exif, subsampling=0)
    exif = Image.Exif()
    exif[0x0112] = 6
    add("orientation-6.png", image, format="PNG", exif=exif)
    add("orientation-6.webp", image, format="WEBP", lossless=True, exif=exif)
    add("rgb.jpg", image, format="JPEG", quality=90)
    add("grey.jpg", image.convert("L"), format="JPEG", quality=90)
    add("cmyk.jpg", image.convert("CMYK"), format="JPEG", quality=95)
    add("progressive.jpg", image, format="JPEG", quality=90, progressive=True)
    add("lossy.webp", image, format="WEBP", quality=90)
    add("lossless.webp", image, format="WEBP", lossless=True)
    add("alpha.webp", with_alpha, format="WEBP", lossless=True, exact=True)
    return found


def tensor(image: Image.Image | np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(image))


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    tensors, exact = {}, []
    for name, (data, pixels) in pictures().items():
        (OUT / name).write_bytes(data)
        if pixels is None or name in ("grey4.png", "interlaced.png", "gamma.png"):
            upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
            assert pixels is None or (np.array(upright) == pixels).all(), name
            pixels = np.array(upright)
        elif name == "rgb16.png":
            assert (np.array(Image.open(io.BytesIO(data)).convert("RGB")) == pixels).all(), name
        tensors[name] = tensor(pixels)
        if name.endswith(".png") or name in ("lossless.webp", "orientation-6.webp", "alpha.webp"):
            exact.append(name)
    for name, width, height in [("wide", 40, 25), ("tall", 19, 33)]:
        image = Image.fromarray(scene(width, height, seed=width))
        tensors[f"resize.source.{name}"] = tensor(image)
        for size in [(16, 16), (64, 48), (13, 40), (40, 7), (width, height), (1, 1), (37, 24)]:
            tensors[f"resize.{name}.{size[0]}x{size[1]}"] = tensor(image.resize(size, Image.BICUBIC))
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        square = image.crop((left, top, left + side, top + side))
        for s in (16, 32):
            tensors[f"square.{name}.crop.{s}"] = tensor(square.resize((s, s), Image.BICUBIC))
            tensors[f"square.{name}.squash.{s}"] = tensor(image.resize((s, s), Image.BICUBIC))
    path = OUT / "images.safetensors"
    save_file(tensors, path, metadata={"script": "Tools/reference/images.py", "exact": " ".join(exact)})
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB, {len(tensors)} tensors")
    write_faulty()


def write_faulty() -> None:
    """What a folder of pictures may hold besides pictures."""
    faulty = OUT / "faulty"
    faulty.mkdir(exist_ok=True)
    whole = (OUT / "rgb.png").read_bytes()
    (faulty / "cut.png").write_bytes(whole[: len(whole) // 2])
    (faulty / "cut.jpg").write_bytes((OUT / "rgb.jpg").read_bytes()[:200])
    (faulty / "cut.webp").write_bytes((OUT / "lossless.webp").read_bytes()[:100])
    (faulty / "text.png").write_text("no picture\n")
    (faulty / "empty.jpg").write_bytes(b"")
    (faulty / "huge.png").write_bytes(png(2_000_000_000, 2_000_000_000, 8, 2, [b""], False))
    (faulty / ".hidden.png").write_bytes(whole)


if __name__ == "__main__":
    main()
