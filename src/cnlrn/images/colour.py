"""Colour spaces, profiles and depths of libvips images.

RGB and gray keep their own profile; CMYK and other colour spaces become sRGB.
"""

from __future__ import annotations

from typing import Any

from cnlrn.errors import CnlrnError
from cnlrn.images.picture import DTYPES, LazyPicture, Picture, Pixels, as_vips
from cnlrn.images.vips import pyvips

_PROFILE = "icc-profile-data"  # libvips' name


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
        raise CnlrnError(f"{name} holds samples of type {image.format}; 8-bit, 16-bit or float is needed")
    if colours(image) not in (1, 3):
        raise CnlrnError(f"{name} has {image.bands} channels; gray or RGB is needed, with or without alpha")
    return image


def colours(image: Any) -> int:
    """The number of channels without alpha."""
    return int(image.bands - bool(image.hasalpha()))


def profile(image: Any) -> bytes | None:
    """The ICC profile in an image of gray or RGB; None if it has none, or one of other channels."""
    if not image.get_typeof(_PROFILE):
        return None
    icc = bytes(image.get(_PROFILE))
    return icc if icc[16:20] == (b"GRAY" if colours(image) == 1 else b"RGB ") else None


def set_profile(image: Any, icc: bytes) -> None:
    """Put an ICC profile into a libvips image that is a copy."""
    image.set_type(pyvips.GValue.blob_type, _PROFILE, icc)


def round_to(image: Any, target: str) -> Any:
    """Samples as `target` ("uchar" or "ushort"), full range to full range, rounded to the nearest and clipped."""
    full = {"uchar": 255.0, "ushort": 65535.0, "float": 1.0}
    return (image * (full[target] / full[image.format])).rint().cast(target)
