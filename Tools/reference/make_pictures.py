"""Pictures of every kind and what Pillow makes of them, for Tests/ImagesTests.

Run from the repository's root with Pillow 13 or later, numpy and safetensors installed:

    python Tools/reference/make_pictures.py

Leaves the files and `expected.safetensors`: a tensor [height, width, 3] of U8 under each file's name, and the resized ones under
`resized/WIDTHxHEIGHT`.
"""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps
from safetensors.numpy import save_file

FOLDER = "Tests/Fixtures/pictures"


def painting(width, height, seed):
    """Waves, an edge and noise: smooth parts, sharp ones and the ends of the range."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (3 + c) + y / (5 - c) + c) * 100 + 128 for c in range(3)]
    pixels = np.stack(waves, -1) + random.normal(0, 12, (height, width, 3))
    pixels[: height // 3, : width // 4] = (255, 0, 30)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, color, rows, extra=b"", interlace=0):
    """A PNG written by hand, for what Pillow reads and does not write. `rows` are a pass's rows without their filter bytes."""
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def interlaced(pixels):
    """Adam7: seven passes, each its own small picture."""
    height, width, _ = pixels.shape
    rows = []
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for row in pixels[y0::dy, x0::dx]:
            if row.size:
                rows.append(row.tobytes())
    return png(width, height, 8, 2, rows, interlace=1)


def packed(values, depth):
    """Rows of samples of under 8 bits, packed from the high bit down."""
    rows = []
    for row in values:
        bits = "".join(format(int(v), f"0{depth}b") for v in row)
        bits += "0" * (-len(bits) % 8)
        rows.append(int(bits, 2).to_bytes(len(bits) // 8, "big"))
    return rows


def main():
    os.makedirs(FOLDER, exist_ok=True)
    expected = {}

    def keep(name, data, loaded=None):
        with open(f"{FOLDER}/{name}", "wb") as file:
            file.write(data)
        image = Image.open(io.BytesIO(data))
        image = ImageOps.exif_transpose(image)
        expected[name] = np.array(image.convert("RGB")) if loaded is None else loaded

    def saved(image, format, **options):
        stream = io.BytesIO()
        image.save(stream, format, **options)
        return stream.getvalue()

    width, height = 23, 17
    pixels = painting(width, height, 0)
    rgb = Image.fromarray(pixels)
    alpha = np.linspace(0, 255, width * height).astype(np.uint8).reshape(height, width)
    rgba = Image.fromarray(np.dstack([pixels, alpha]))

    keep("rgb.png", saved(rgb, "PNG"))
    keep("rgba.png", saved(rgba, "PNG"))
    keep("grey.png", saved(rgb.convert("L"), "PNG"))
    keep("grey-alpha.png", saved(rgba.convert("LA"), "PNG"))
    keep("palette.png", saved(rgb.quantize(40), "PNG"))
    keep("palette-transparent.png", saved(rgb.quantize(12), "PNG", transparency=3))
    keep("bilevel.png", saved(rgb.convert("1"), "PNG"))
    samples = np.random.default_rng(1).integers(0, 16, (height, width))
    keep("grey-4.png", png(width, height, 4, 0, packed(samples, 4)))
    keep("grey-2.png", png(width, height, 2, 0, packed(samples // 4, 2)))
    keep("interlaced.png", interlaced(pixels))
    # 16 bits become the upper 8; said here and not asked of Pillow, whose way with 16-bit grey has changed between versions.
    deep = np.random.default_rng(2).integers(0, 65536, (height, width, 3)).astype(">u2")
    keep("rgb-16.png", png(width, height, 16, 2, [row.tobytes() for row in deep]), (deep >> 8).astype(np.uint8))
    grey = deep[:, :, 0]
    keep(
        "grey-16.png",
        png(width, height, 16, 0, [row.tobytes() for row in grey]),
        np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, 2),
    )
    # Gamma and a colour key are there and change nothing.
    extra = chunk(b"gAMA", struct.pack(">I", 100000)) + chunk(b"tRNS", struct.pack(">HHH", 255, 0, 30))
    keep("gamma-key.png", png(width, height, 8, 2, [row.tobytes() for row in pixels], extra))

    keep("rgb.jpg", saved(rgb, "JPEG", quality=90))
    keep("rgb-444.jpg", saved(rgb, "JPEG", quality=95, subsampling=0))
    keep("progressive.jpg", saved(rgb, "JPEG", quality=80, progressive=True))
    keep("grey.jpg", saved(rgb.convert("L"), "JPEG", quality=90))
    keep("cmyk.jpg", saved(rgb.convert("CMYK"), "JPEG", quality=95))
    keep("lossless.webp", saved(rgb, "WEBP", lossless=True))
    keep("lossy.webp", saved(rgb, "WEBP", quality=80))
    keep("alpha.webp", saved(rgba, "WEBP", lossless=True, exact=True))

    small = Image.fromarray(painting(11, 6, 3))
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[271] = "a maker"
        exif[274] = orientation
        keep(f"turned-{orientation}.jpg", saved(small, "JPEG", quality=95, subsampling=0, exif=exif))
    exif = Image.Exif()
    exif[274] = 6
    keep("turned.png", saved(small, "PNG", exif=exif))
    keep("turned.webp", saved(small, "WEBP", lossless=True, exif=exif.tobytes()))

    source = Image.fromarray(painting(61, 47, 4))
    keep("source.png", saved(source, "PNG"))
    for size in [(64, 64), (32, 32), (61, 20), (20, 47), (61, 47), (122, 94), (7, 5), (1, 1), (200, 3), (62, 48), (60, 46), (45, 14), (45, 15)]:
        expected[f"resized/{size[0]}x{size[1]}"] = np.array(source.resize(size, Image.BICUBIC))

    save_file(expected, f"{FOLDER}/expected.safetensors", metadata={"script": "Tools/reference/make_pictures.py"})
    os.chmod(f"{FOLDER}/expected.safetensors", 0o644)


if __name__ == "__main__":
    main()
