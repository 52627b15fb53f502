"""Colour spaces, profiles and depths of libvips images.

RGB and gray keep their own profile; CMYK and other colour spaces become sRGB.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

from cnlrn.errors import UnsupportedPicture
from cnlrn.images.picture import DTYPES, LazyPicture, Picture, Pixels, as_vips
from cnlrn.images.vips import pyvips

FULL = {"uchar": 255.0, "ushort": 65535.0, "float": 1.0}
"""White and full cover by libvips' names of formats."""

_PROFILE = "icc-profile-data"  # libvips' name
_EXIF, _INTEROPERABILITY, _COLOUR_SPACE = 34665, 40965, 40961  # tags


def from_cmyk(samples: Pixels, icc: bytes | None) -> Picture:
    """A picture of CMYK samples, height x width x 4 (0 is no ink), converted to sRGB through their profile."""
    image = as_vips(samples).copy(interpretation="cmyk")
    if icc:
        set_profile(image, icc)
    image = to_rgb_or_gray(image, "the picture")
    return LazyPicture(image, name="the picture", icc=profile(image)).read()


def to_rgb_or_gray(image: Any, name: str) -> Any:
    """The image with samples of a dtype that pictures have, in 1 or 3 channels and perhaps alpha; `name`: for errors.

    Raises:
        CnlrnError: another number of channels, or samples of another type.
    """
    if image.interpretation == "cmyk":
        depth = 16 if image.format == "ushort" else 8
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
    elif image.interpretation not in ("b-w", "grey16", "rgb", "srgb", "rgb16", "scrgb", "multiband"):
        image = image.colourspace("srgb")
    if image.format == "double":
        image = image.cast("float")
    if image.format not in DTYPES:
        raise UnsupportedPicture(f"{name} holds samples of type {image.format}; 8-bit, 16-bit or float is needed")
    if colours(image) not in (1, 3):
        raise UnsupportedPicture(f"{name} has {image.bands} channels; gray or RGB is needed, with or without alpha")
    return image


def is_adobe_rgb(exif: bytes) -> bool:
    """Whether an EXIF block names Adobe RGB: no sRGB, and the index R03 of DCF 2.0."""
    if b"R03\0" not in exif:
        return False
    from PIL.Image import Exif

    told = Exif()
    with contextlib.suppress(Exception), warnings.catch_warnings():  # Pillow lets through what its parsers stumble over
        warnings.simplefilter("ignore")
        told.load(exif)
        return told.get_ifd(_EXIF).get(_COLOUR_SPACE) != 1 and told.get_ifd(_INTEROPERABILITY).get(1) == "R03"
    return False


def unpremultiplied(image: Any) -> Any:
    """The image, whose last band is alpha that its colours are multiplied by, with colours as they are without it."""
    kind, full = image.format, FULL[image.format]
    image = image.unpremultiply(max_alpha=full)
    return image if kind == "float" else image.rint().cast(kind)


def colours(image: Any) -> int:
    """The number of channels without alpha."""
    return int(image.bands - bool(image.hasalpha()))


def profile(image: Any) -> bytes | None:
    """The ICC profile in an image of gray or RGB; None if it has none, or one of other channels."""
    if not image.get_typeof(_PROFILE):
        return None
    return fitting(bytes(image.get(_PROFILE)), colours(image))


def fitting(icc: bytes, channels: int) -> bytes | None:
    """An ICC profile if it is one of so many channels, 1 (gray) or 3 (RGB)."""
    return icc if icc[16:20] == (b"GRAY" if channels == 1 else b"RGB ") else None


def set_profile(image: Any, icc: bytes) -> None:
    """Put an ICC profile into a libvips image that is a copy."""
    image.set_type(pyvips.GValue.blob_type, _PROFILE, icc)


def round_to(image: Any, target: str) -> Any:
    """Samples as `target` ("uchar" or "ushort"), full range to full range, rounded to the nearest and clipped."""
    return (image * (FULL[target] / FULL[image.format])).rint().cast(target)
