"""Text and lines drawn over training crops: photos hold little of both, and signs and pages should become legible."""

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnlrn.data.pictures import Byte
from cnlrn.errors import CnlrnError
from cnlrn.leftovers import is_leftover

_SIZES = (10, 72)
"""Smallest and largest height of letters in HR pixels."""
_LETTERS = string.ascii_lowercase * 6 + string.ascii_uppercase * 2 + string.digits * 2 + string.punctuation + " " * 24


def font_files(folder: Path | None) -> tuple[str, ...]:
    """All .ttf and .otf files below `folder`, sorted; none of it is Pillow's own font. CnlrnError where it has none."""
    if folder is None:
        return ()
    fonts = (file for file in folder.rglob("*") if file.suffix.lower() in (".ttf", ".otf"))
    files = sorted(str(file) for file in fonts if not is_leftover(file.relative_to(folder)))
    if not files:
        raise CnlrnError(f"there is no .ttf or .otf file in {folder}; choose another folder for `data.fonts`")
    return tuple(files)


def draw_text(crop: Byte, rng: np.random.Generator, fonts: Sequence[str]) -> Byte:
    """`crop` (uint8 HWC RGB), or a plain ground instead of it, with lines of random text and straight lines on it.

    Height, slant, spacing and colours are drawn from `rng`, the font from `fonts`. Ink is dark on light grounds and
    light on dark ones.
    """
    height, width = crop.shape[:2]
    paper = np.clip(255 * rng.beta(2, 1) + rng.normal(0, 20, 3), 0, 255)  # more often light than dark
    ground = crop if rng.random() < 0.3 else np.broadcast_to(paper, crop.shape)
    side = int(1.5 * max(height, width))  # whatever the slant, the crop is covered
    mask = Image.new("L", (side, side))
    pen = ImageDraw.Draw(mask)
    top = 0.0
    while top < side:
        size = int(np.exp(rng.uniform(*np.log(_SIZES))))
        font = ImageFont.truetype(str(rng.choice(fonts)), size) if fonts else ImageFont.load_default(size)
        start = float(rng.uniform(0, size)), top
        pen.text(start, "".join(rng.choice(list(_LETTERS), 3 * side // size)), 255, font)
        top += size * float(rng.uniform(1.1, 2))
        if rng.random() < 0.2:
            pen.line([(0, top), (side, top)], 255, int(rng.integers(1, 5)))
            top += size / 4
    slanted = mask.rotate(float(rng.normal(0, 8)), Image.Resampling.BICUBIC)
    left, upper = (side - width) // 2, (side - height) // 2
    cover = np.asarray(slanted.crop((left, upper, left + width, upper + height)), np.float32)[..., None] / 255
    ink = rng.uniform(*((0, 60) if ground.mean() > 127 else (195, 255)), 3).astype(np.float32)
    return np.asarray(ground + cover * (ink - ground) + 0.5, np.uint8)
