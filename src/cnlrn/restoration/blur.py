"""Estimates how a picture is blurred, from windows all over it, with a small ONNX file and without torch.

The estimator looks at the picture as it is. If its shake is too long for one look, it looks again at a half and at a
quarter of the size. What to do about the blur is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cnlrn.engine import onnxfile
from cnlrn.engine.onnx import open_session
from cnlrn.errors import DamagedModel
from cnlrn.images import LazyPicture
from cnlrn.images.picture import check_range
from cnlrn.restoration import spectrum

FOLDER = Path(__file__).parents[1] / "models" / "estimators"
"""Beside the models that restore, not among them."""

Reader = Callable[[int, int, int, int], NDArray[Any]]
"""Gives the part (height, width, 3) of a picture that begins at (top, left): `read(top, left, height, width)`."""

_KINDS: tuple[Literal["sharp", "shake", "defocus"], ...] = ("sharp", "shake", "defocus")
_WINDOWS = 6
_LEAST, _MULTIPLE, _GRID = 64, 16, 16
_LONGEST, _WIDEST = 64.0, 32.0
"""Extent of a shake and radius of a defocus, in pixels, beyond which to look again at a reduced picture."""
_REDUCTIONS = (1, 2, 4)
_GRAY = np.full(3, 1 / 3, np.float32)
_STRAIGHT = 0.25
"""Elongation from which a shake has a direction."""
_UNCOMPRESSED = 97.5
"""JPEG quality from which nothing of it is seen."""


@dataclass(frozen=True)
class Blur:
    """What blurred a picture. Lengths are in its pixels.

    Attributes:
        kind: "sharp", "shake" or "defocus".
        extent: for a shake, how far the picture moved; for defocus, the radius of the disk (or about twice the standard
            deviation of a gaussian blur); for a sharp picture, 0.
        direction: direction of a shake in degrees, at least 0 and below 180: 0 from left to right, 45 from the upper
            left to the lower right. None if it has none.
        noise: standard deviation of the noise, in 255ths of the range of values.
        jpeg_quality: 1 to 100. None if no compression is visible.
        certainty: certainty of `kind`, from 0 to 1.
    """

    kind: Literal["sharp", "shake", "defocus"]
    extent: float
    direction: float | None
    noise: float
    jpeg_quality: int | None
    certainty: float

    def words(self) -> str:
        """The same as a sentence for people."""
        direction = "" if self.direction is None else f" at {self.direction:.0f} degrees"
        kind = {
            "sharp": "sharp",
            "shake": f"shake of about {self.extent:.0f} pixels{direction}",
            "defocus": f"out of focus by about {self.extent:.0f} pixels",
        }[self.kind]
        quality = "" if self.jpeg_quality is None else f", JPEG quality about {self.jpeg_quality}"
        return f"{kind} ({self.certainty:.0%} certain), noise {self.noise:.1f}{quality}"


class BlurEstimator:
    """The estimator that comes with the package. ONNX Runtime runs it on the CPU."""

    def __init__(self, folder: Path = FOLDER, threads: int | None = None) -> None:
        """Open `blur.onnx` in `folder`. `blur.json` beside it holds its checksum.

        Args:
            folder: folder of the two files.
            threads: number of CPU threads. None uses all cores.

        Raises:
            CnlrnError: the files are missing or damaged.
        """
        try:
            model = (folder / "blur.onnx").read_bytes()
            expected = json.loads((folder / "blur.json").read_bytes())["sha256"]
        except OSError as error:
            raise DamagedModel(f"the estimator in {folder} cannot be read ({error.strerror})") from error
        except (ValueError, KeyError) as error:
            raise DamagedModel(f"{folder / 'blur.json'} is damaged; install cnlrn again") from error
        if hashlib.sha256(model).hexdigest() != expected:
            raise DamagedModel(f"{folder / 'blur.onnx'} is damaged (its checksum differs); install cnlrn again")
        self._see, self._tell = (
            open_session(onnxfile.keep_output(model, output), threads) for output in ("seen", "told")
        )

    def estimate(self, given: NDArray[Any]) -> Blur:
        """Estimate the blur of a picture from windows of it.

        Args:
            given: windows (n, h, w, 3), RGB, integers of full range or floats in [0, 1]. Windows of 512 pixels a side
                work best, cut at multiples of 16 so that JPEG's grid lies alike in all. Larger ones are cut, small ones
                are mirrored.

        Shakes of more than about 64 pixels are estimated badly: see `estimate_picture`.
        """
        values = _as_floats(given)
        if max(values.shape[1:3]) > spectrum.SIDE:
            values = np.concatenate([windows(whole, *whole.shape[:2]) for whole in values])
        waves = spectrum.spectra(values @ _GRAY)
        pad = [(0, max(_LEAST, side + -side % _MULTIPLE) - side) for side in values.shape[1:3]]
        values = np.pad(values, ((0, 0), *pad, (0, 0)), mode="symmetric").transpose(0, 3, 1, 2)
        seen = [self._see.run(None, {"windows": np.ascontiguousarray(window[None])})[0] for window in values]
        return _blur(self._tell.run(None, {"means": np.concatenate(seen), "spectra": waves})[0][0])

    def estimate_picture(self, picture: NDArray[Any] | Reader, height: int = 0, width: int = 0) -> Blur:
        """Estimate the blur of a whole picture. Of a large one, 6 windows are looked at, spread evenly.

        Args:
            picture: an array (height, width, 3) as in `estimate`, or a function that reads parts of the picture.
            height: height of the picture in pixels, if it is read in parts.
            width: width of the picture in pixels, if it is read in parts.
        """
        if isinstance(picture, np.ndarray):
            height, width = picture.shape[:2]
        blur: Blur | None = None
        for reduction in _REDUCTIONS:
            if blur and min(height, width) < reduction * _LEAST:
                break
            look = self.estimate(windows(picture, height, width, reduction))
            if blur:  # noise and compression show at full size alone
                look = replace(look, extent=look.extent * reduction, noise=blur.noise, jpeg_quality=blur.jpeg_quality)
            blur = look
            if blur.extent <= reduction * {"sharp": 0.0, "shake": _LONGEST, "defocus": _WIDEST}[blur.kind]:
                break
        assert blur is not None
        return blur


def of_picture(estimator: BlurEstimator, picture: LazyPicture) -> Blur:
    """Estimate the blur of an open picture, including what alpha hides. CnlrnError if it is damaged."""
    colours = picture.image.bands - picture.has_alpha
    colour = picture.image.extract_band(0, n=colours)
    colour = colour if colours == 3 else colour.bandjoin([colour, colour])

    def read(top: int, left: int, height: int, width: int) -> NDArray[Any]:
        samples = LazyPicture(colour.crop(left, top, width, height), name=picture.name).samples()
        check_range(samples, picture.name)
        return samples

    picture.decode()
    return estimator.estimate_picture(read, picture.height, picture.width)


def windows(picture: NDArray[Any] | Reader, height: int, width: int, reduction: int = 1) -> NDArray[np.float32]:
    """Windows (n, h, w, 3), float32 in [0, 1], of at most 512x512 pixels, n at most 6, spread evenly over a picture
    as `BlurEstimator.estimate_picture` has it, reduced by `reduction` with means."""
    rows, columns = (min(spectrum.SIDE, max(1, side // reduction)) for side in (height, width))
    down, across = -(-height // (reduction * rows)), -(-width // (reduction * columns))
    if down * across > _WINDOWS:
        down = min(down, _WINDOWS, max(1, round((_WINDOWS * height / width) ** 0.5)))
        across = min(across, _WINDOWS // down)
    tall, wide = (min(reduction * length, side) for length, side in ((rows, height), (columns, width)))
    parts = []
    for top in _spread(height, tall, down):
        for left in _spread(width, wide, across):
            if isinstance(picture, np.ndarray):
                part = picture[top : top + tall, left : left + wide]
            else:
                part = picture(top, left, tall, wide)
            parts.append(_reduced(_as_floats(part), reduction))
    return np.stack(parts)


def _spread(side: int, window: int, count: int) -> list[int]:
    """Where `count` windows along a side begin, on JPEG's grid."""
    return [(side - window) * i // max(1, count - 1) // _GRID * _GRID for i in range(count)]


def _reduced(part: NDArray[np.float32], by: int) -> NDArray[np.float32]:
    """(h, w, 3) to means of by x by pixels; what is left over at the end is left out."""
    height, width = part.shape[0] // by * by, part.shape[1] // by * by
    if by == 1 or not height or not width:
        return part
    return np.asarray(part[:height, :width].reshape(height // by, by, width // by, by, -1).mean((1, 3)), np.float32)


def _as_floats(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Integers of full range, or floats in [0, 1], as float32."""
    full = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1
    return pixels.astype(np.float32) / np.float32(full)


def _blur(told: NDArray[np.float32]) -> Blur:
    """The numbers that the network tells (9), as `networks.estimator.TOLD` has them, in words."""
    kinds, (extent, across, down, radius, noise, compression) = told[:3], map(float, told[3:])
    shares = np.exp(kinds - kinds.max())
    place = int(kinds.argmax())
    kind = _KINDS[place]
    straight = kind == "shake" and np.hypot(across, down) >= _STRAIGHT
    quality = 100 - 4 * np.expm1(max(compression, 0.0))
    return Blur(
        kind,
        {"sharp": 0.0, "shake": float(np.exp(extent)), "defocus": float(np.exp(radius))}[kind],
        float(np.degrees(np.arctan2(down, across)) / 2 % 180) if straight else None,
        float(np.expm1(max(noise, 0.0))),
        None if quality >= _UNCOMPRESSED else max(1, round(quality)),
        float(shares[place] / shares.sum()),
    )
