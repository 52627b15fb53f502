"""What cnlrn-own does to sharp pictures unlike photos: `python measurements/odd_pictures.py [OUT]`.

Screens, text, drawings, noise, plain and dark areas, each made here. Prints for each how much the result differs from
the picture, and by how much plain areas change at most; with OUT the pictures and results are written there.
"""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cnlrn import Restorer

Pixels = NDArray[np.uint8]
SIDES = 384, 576
Y, X = np.mgrid[: SIDES[0], : SIDES[1]]
RNG = np.random.default_rng(0)


def _plain(*colour: int) -> Pixels:
    return np.full((*SIDES, 3), colour, np.uint8)


def _compressed(picture: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _noisy(picture: Pixels, sigma: float) -> Pixels:
    return np.clip(picture + RNG.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def _drawn(ground: int, draw: Callable[[ImageDraw.ImageDraw], None]) -> Pixels:
    image = Image.fromarray(_plain(ground, ground, ground))
    draw(ImageDraw.Draw(image))
    return np.asarray(image)


def _text(ink: int, size: int) -> Callable[[ImageDraw.ImageDraw], None]:
    def draw(pen: ImageDraw.ImageDraw) -> None:
        for top in range(100, SIDES[0] - size, 2 * size):
            pen.text((100, top), "The quick brown fox jumps over 1,234 dogs.", (ink,) * 3, ImageFont.load_default(size))

    return draw


def _window(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle((90, 90, 500, 300), (250, 250, 250), (120, 120, 120))
    pen.rectangle((90, 90, 500, 112), (60, 90, 160))
    for top in range(130, 290, 18):
        pen.line((110, top, 110 + 13 * (top % 29), top), (40, 40, 40))


def _stars(pen: ImageDraw.ImageDraw) -> None:
    for x, y in RNG.integers(80, 370, (60, 2)):
        pen.point((int(x), int(y)), (255, 250, 230))


def _lamps(pen: ImageDraw.ImageDraw) -> None:
    for x in range(100, 560, 90):
        pen.ellipse((x, 150, x + 12, 162), (255, 240, 200))


def pictures() -> Iterator[tuple[str, Pixels]]:
    """Names and pictures; the first 64 rows of each are plain, but for those that have no plain area."""
    for name, colour in {"black": (0, 0, 0), "night": (9, 8, 12), "wall": (180, 170, 160), "red": (255, 0, 0)}.items():
        yield name, _plain(*colour)
    yield "sky", np.repeat(np.linspace(120, 220, SIDES[0])[:, None, None], SIDES[1], 1).repeat(3, 2).astype(np.uint8)
    yield "dark ramp", np.broadcast_to(X[..., None] / SIDES[1] * 20, (*SIDES, 3)).astype(np.uint8)
    yield "text of 12", _drawn(255, _text(0, 12))
    yield "text of 24", _drawn(255, _text(0, 24))
    yield "white on black", _drawn(0, _text(255, 16))
    yield "window", _drawn(200, _window)
    yield "stars", _drawn(4, _stars)
    yield "lamps", _drawn(12, _lamps)
    yield "window, JPEG 40", _compressed(_drawn(200, _window), 40)
    yield "text, JPEG 20", _compressed(_drawn(255, _text(0, 16)), 20)
    yield "night, noise 3", _noisy(_plain(12, 11, 15), 3)
    yield "gray, noise 8", _noisy(_plain(128, 128, 128), 8)
    yield "checkerboard", np.where((X + Y)[..., None] % 2, 235, 20).repeat(3, 2).astype(np.uint8)
    yield "stripes", np.where(X[..., None] // 3 % 2, 220, 40).repeat(3, 2).astype(np.uint8)
    yield "rings", (127 + 120 * np.sin((X**2 + Y**2) / 900))[..., None].repeat(3, 2).astype(np.uint8)
    yield "pixel art", RNG.choice([0, 85, 170, 255], (24, 36, 3)).repeat(16, 0).repeat(16, 1).astype(np.uint8)


def main() -> None:
    """Print a line for each picture."""
    restorer = Restorer("cnlrn-own")
    for name, picture in pictures():
        restored = restorer.restore(picture, 1)
        change = np.abs(restored.astype(int) - picture)
        spread = picture[:64].reshape(-1, 3)
        flat = f"{change[:48].max():3d}" if (spread == spread[0]).all() else "  -"
        rms = float(np.sqrt(np.square(change).mean()))
        print(f"{name:16} root mean square {rms:6.2f}, plain area {flat}, largest {change.max():3d} of 255")
        if len(sys.argv) > 1:
            Path(sys.argv[1]).mkdir(exist_ok=True)
            pair = np.concatenate([picture, restored], 1)
            Image.fromarray(pair).save(Path(sys.argv[1]) / f"{name}.png")


if __name__ == "__main__":
    main()
