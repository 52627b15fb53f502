"""Crops to look at, with their figures: `python measurements/gallery.py` writes docs/gallery.md and docs/gallery/.

Needs the extra `train`. The sharp pictures are sample data of scikit-image, which nothing was trained on. Each is made
blurry with a fixed seed, and small for models that enlarge, and restored by every model that comes with the package.
What to look for are ringing, colour fringes, checkerboards and texture that was not there.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from cnlrn import Restorer, models
from cnlrn.degradation import Recipe, degrade
from cnlrn.degradation.resize import bicubic
from cnlrn.degradation.sensor import to_bytes
from cnlrn.evaluation.metrics import psnr

DOCS = Path(__file__).parent.parent / "docs"
SIDE = 232
GAP = 8


@dataclass(frozen=True)
class Row:
    """A picture of scikit-image, the crop to show (left, top in HR pixels), and how it is made blurry."""

    name: str
    picture: str
    left: int
    top: int
    blur: float
    what: str
    more: dict[str, Any] = field(default_factory=dict)
    scale: Literal[1, 4] = 4

    def recipe(self) -> Recipe:
        """The degradation, without chance but for the path of the shake."""
        return Recipe("gallery", ((1.0, self.blur, self.blur),), aligned="centroid", scale=self.scale, **self.more)


NOISE = {"noise_share": 1.0, "photon_noise": (4e-4, 4e-4), "read_noise": (3e-3, 3e-3)}
DEFOCUS = {"defocus_share": 1.0, "defocus_radius": (2.0, 2.0)}
JPEG = {"jpeg_share": 1.0, "jpeg_quality": (75, 75)}
ROWS = (
    Row("face", "astronaut", 110, 10, 0, "a face, small but not shaken"),
    Row("face-shaken", "astronaut", 110, 10, 8, "a face, shaken by 8 pixels"),
    Row("fur", "chelsea", 110, 60, 4, "fur, shaken by 4 pixels"),
    Row("metal", "stereo_motorcycle", 260, 130, 6, "thin lines and edges, shaken by 6 pixels"),
    Row("cup", "coffee", 250, 80, 14, "smooth surfaces and a sharp rim, shaken by 14 pixels"),
    Row("sky", "rocket", 200, 40, 0, "a plain sky, JPEG at quality 75", JPEG),
    Row("grass", "grass", 100, 100, 0, "texture without outlines, small but not shaken"),
    Row("noise", "astronaut", 250, 270, 4, "cloth and signs with noise, shaken by 4 pixels", NOISE),
    Row("text", "text", 0, 0, 0, "letters of 16 to 64 pixels, small but not shaken"),
    Row("text-shaken", "text", 0, 0, 5, "letters of 16 to 64 pixels, shaken by 5 pixels"),
    Row("own-face", "astronaut", 110, 10, 8, "a face, shaken by 8 pixels", NOISE | JPEG, 1),
    Row("own-cup", "coffee", 250, 80, 14, "smooth surfaces and a sharp rim, shaken by 14 pixels", NOISE | JPEG, 1),
    Row("own-metal", "stereo_motorcycle", 260, 130, 6, "thin lines and edges, shaken by 6 pixels", NOISE | JPEG, 1),
    Row("own-fur", "chelsea", 110, 60, 0, "fur, out of focus by 4 pixels", DEFOCUS | NOISE | JPEG, 1),
    Row("own-text", "text", 0, 0, 5, "letters of 16 to 64 pixels, shaken by 5 pixels", JPEG, 1),
)


def sharp_picture(name: str) -> np.ndarray:
    """The sample picture as uint8 RGB, or a page of text."""
    if name == "text":
        return written()
    loaded = getattr(data, name)()
    picture = loaded[0] if isinstance(loaded, tuple) else loaded
    return np.dstack([picture] * 3) if picture.ndim == 2 else picture[..., :3]


def written() -> np.ndarray:
    """Black words on white in the sizes that the row names, in Pillow's own font."""
    page = Image.new("RGB", (SIDE, SIDE), "white")
    top = 4
    for size in (16, 24, 32, 48, 64):
        ImageDraw.Draw(page).text((6, top), "Sharp again", "black", ImageFont.load_default(size))
        top += size * 5 // 4
    return np.asarray(page)


def main() -> None:
    """Make the page and its pictures anew."""
    folder = DOCS / "gallery"
    folder.mkdir(exist_ok=True)
    restorers = {
        scale: {card.name: Restorer(card.name) for card in reversed(models()) if max(card.scales) == scale}
        for scale in (4, 1)
    }
    page = [
        "# Gallery",
        "",
        "Crops of pictures that were not used in training. Each was made blurry, then restored. PSNR is measured on",
        "the whole picture, in dB. `python measurements/gallery.py` writes this page.",
    ]
    for seed, row in enumerate(ROWS):
        if row.scale != (ROWS[seed - 1].scale if seed else None):
            columns = ["bicubic" if row.scale > 1 else "blurry", *restorers[row.scale], "sharp"]
            page += ["", f"## {'Enlarged by 4' if row.scale > 1 else 'At its own size'}", ""]
            page += [f"From left to right: {', '.join(columns)}."]
        pair = degrade(sharp_picture(row.picture), row.recipe(), seed)
        results = {columns[0]: to_bytes(bicubic(pair.lr, 4) / np.float32(255)) if row.scale > 1 else pair.lr}
        results |= {name: restorer.restore(pair.lr, row.scale) for name, restorer in restorers[row.scale].items()}
        figures = ", ".join(f"{name} {psnr(result, pair.sharp):.2f}" for name, result in results.items())
        crops = [
            picture[row.top : row.top + SIDE, row.left : row.left + SIDE] for picture in (*results.values(), pair.sharp)
        ]
        gap = np.full((SIDE, GAP, 3), 255, np.uint8)
        strip = np.hstack([part for crop in crops for part in (gap, crop)][1:])
        Image.fromarray(strip).save(folder / f"{row.name}.jpg", quality=90)
        page += [
            "",
            f"**{row.what[0].upper()}{row.what[1:]}**: {figures}",
            "",
            f"![{row.what}](gallery/{row.name}.jpg)",
        ]
    (DOCS / "gallery.md").write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
