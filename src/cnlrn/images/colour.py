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

UNUSABLE = "its colour profile is damaged or of another kind than its samples, and is left out"
"""For notes, behind the picture's name."""

_PROFILE = "icc-profile-data"  # libvips' name
_SIGNATURES = {1: b"GRAY", 3: b"RGB ", 4: b"CMYK"}  # of profiles, by channels
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

    Gray with a profile of RGB is brought to the curve of sRGB, since no profile of gray can be made of that.

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
    if colours(image) == 1 and fitting(_embedded(image), 3) is not None:
        image = _with_curve_of_srgb(image)
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
    """The ICC profile in an image of gray or RGB; None if it has none, or one that does not fit."""
    return fitting(_embedded(image), colours(image))


def has_unusable_profile(image: Any) -> bool:
    """Whether an image, as it was read, has an ICC profile that is damaged or of another kind than its samples."""
    channels = 4 if image.interpretation == "cmyk" else colours(image)
    icc = _embedded(image)
    kinds = (1, 3) if channels == 1 else (channels,)
    return bool(icc) and all(fitting(icc, kind) is None for kind in kinds)


def fitting(icc: bytes, channels: int) -> bytes | None:
    """An ICC profile if it is whole and one of so many channels: 1 (gray), 3 (RGB) or 4 (CMYK)."""
    is_whole = icc[36:40] == b"acsp" and int.from_bytes(icc[:4]) <= len(icc)
    return icc if is_whole and icc[16:20] == _SIGNATURES.get(channels) else None


def _embedded(image: Any) -> bytes:
    return bytes(image.get(_PROFILE)) if image.get_typeof(_PROFILE) else b""


def _with_curve_of_srgb(gray: Any) -> Any:
    """Gray, perhaps with alpha, that had a profile of RGB: its levels as sRGB has them, and no profile."""
    deep = gray.format != "uchar"
    levels = gray.extract_band(0)
    colour = levels.bandjoin([levels, levels]).copy(interpretation="rgb16" if gray.format == "ushort" else "srgb")
    if gray.format == "float":
        colour = round_to(colour, "ushort").copy(interpretation="rgb16")
    levels = colour.icc_transform("srgb", embedded=True, depth=16 if deep else 8)[1]
    if gray.format == "float":
        levels = levels.cast("float") / FULL["ushort"]
    image = levels.bandjoin(gray[1]) if gray.hasalpha() else levels
    image = image.copy(interpretation="grey16" if gray.format == "ushort" else "b-w")
    image.remove(_PROFILE)
    return image


def set_profile(image: Any, icc: bytes) -> None:
    """Put an ICC profile into a libvips image that is a copy."""
    image.set_type(pyvips.GValue.blob_type, _PROFILE, icc)


def round_to(image: Any, target: str) -> Any:
    """Samples as `target` ("uchar" or "ushort"), full range to full range, rounded to the nearest and clipped."""
    return (image * (FULL[target] / FULL[image.format])).rint().cast(target)
