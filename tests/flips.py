"""Flip a few bits in the coded samples of 50 copies of a picture in each format, the same every time, and count.

`python tests/flips.py` prints the table of docs/restoring.md: how many were refused, gave all the same pixels, or gave
others and counted as done.
"""

import io
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from PIL import Image

from cnlrn.errors import CnlrnError
from cnlrn.images import read

COPIES = 50
_WIDTH, _HEIGHT = 384, 256
_HEIC = Path(__file__).parent / "images" / "data" / "deep_alpha.heic"


class Counts(NamedTuple):
    """Of copies: refused, read with the same pixels, and read with others."""

    refused: int
    same: int
    other: int


def photo() -> Image.Image:
    """A picture with soft shapes and a little noise."""
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    waves = np.sin(x / 17 + y / 31) * 100, np.cos(y / 13) * 90, np.sin((x + y) / 23) * 60
    noise = np.random.default_rng(0).normal(0, 3, (_HEIGHT, _WIDTH, 3))
    return Image.fromarray(np.clip(np.stack(waves, axis=2) + 128 + noise, 0, 255).astype(np.uint8))


def files() -> dict[str, bytes]:
    """The picture in every format and compression, by a name for people."""
    image = photo()

    def pillow(kind: str, of: Image.Image = image, **options: Any) -> bytes:
        file = io.BytesIO()
        of.save(file, kind, **options)
        return file.getvalue()

    def tiff(**options: Any) -> bytes:
        data: bytes = pyvips.Image.new_from_array(np.asarray(image)).tiffsave_buffer(**options)
        return data

    return {
        "PNG": pillow("png"),
        "JPEG": pillow("jpeg", quality=90),
        "JPEG, restart markers": pillow("jpeg", quality=90, restart_marker_rows=1),
        "JPEG, progressive": pillow("jpeg", quality=90, progressive=True),
        "WebP": pillow("webp", quality=90),
        "WebP, lossless": pillow("webp", lossless=True),
        "AVIF": pillow("avif", quality=80),
        "HEIC": _HEIC.read_bytes(),
        "TIFF, deflate": tiff(compression="deflate"),
        "TIFF, LZW": tiff(compression="lzw"),
        "TIFF, LZW, tiles": tiff(compression="lzw", predictor="horizontal", tile=True),
        "TIFF, JPEG": tiff(compression="jpeg", Q=90),
        "TIFF, JPEG, tiles": tiff(compression="jpeg", Q=90, tile=True),
        "TIFF, PackBits": tiff(compression="packbits"),
        "TIFF, CCITT": pillow("tiff", image.convert("1"), compression="group4"),
        "TIFF, not compressed": tiff(),
        "GIF": pillow("gif", image.quantize(64)),
        "BMP": pillow("bmp"),
    }


def samples_of(data: bytes) -> range:
    """Where the coded samples of one of `files` lie, about."""
    if data.startswith(b"\xff\xd8"):
        return range(data.rindex(b"\xff\xda") + 12, len(data) - 2) if b"\xff\xc0" in data else range(700, len(data) - 2)
    if data.startswith(b"II*"):
        (directory,) = struct.unpack_from("<I", data, 4)
        return range(600, len(data)) if directory < 600 else range(8, directory)
    if data[4:8] == b"ftyp":
        return range(data.index(b"mdat") + 4, len(data))
    starts = {b"\x89P": data.find(b"IDAT") + 4, b"RI": 40, b"GI": 13 + 3 * 64 + 19, b"BM": 54}
    return range(starts[data[:2]], len(data) - (12 if data.startswith(b"\x89P") else 2))


def count(name: str, data: bytes, reading: Callable[[bytes], Any] = lambda data: read(data).pixels) -> Counts:
    """What becomes of copies of a file with 1, 2 or 4 flipped bits in its samples."""
    whole, place = reading(data), samples_of(data)
    refused = same = 0
    for copy in range(COPIES):
        rng = random.Random(f"{name} {copy}")
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 2, 4))):
            damaged[rng.choice(place)] ^= 1 << rng.randrange(8)
        try:
            found = reading(bytes(damaged))
        except CnlrnError:
            refused += 1
        else:
            same += np.array_equal(found, whole)
    return Counts(refused, same, COPIES - refused - same)


def main() -> None:
    """Print the table."""
    print("| format | refused | same pixels | other pixels, done |\n| --- | --- | --- | --- |")
    for name, data in files().items():
        print("|", " | ".join([name, *map(str, count(name, data))]), "|", flush=True)


if __name__ == "__main__":
    main()
