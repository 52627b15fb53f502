"""Arithmetic on libvips images: other sizes, mixtures, and rounding to the samples of a format."""

from __future__ import annotations

from typing import Any


def mixed(restored: Any, before: Any, strength: float) -> Any:
    """Two libvips images of one size and format, the second with a weight of 1 - `strength`."""
    return rounded(restored.cast("float") * strength + before.cast("float") * (1 - strength), restored.format)


def rounded(image: Any, samples: str) -> Any:
    """A libvips image of floating point, in the format `samples`."""
    return image.clamp() if samples == "float" else image.rint().cast(samples)


def resized(image: Any, width: int, height: int) -> Any:
    """A libvips image at another size, by Lanczos' kernel, antialiased; what grows is interpolated bicubically.

    In floating point, because libvips' integer kernels sum to a little less than one.
    """
    other = image.cast("float").resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    return rounded(other, image.format)
