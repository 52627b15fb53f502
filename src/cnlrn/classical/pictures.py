"""Pictures as this room has them: (h, w) or (h, w, c), float32 in [0, 1]; their gray values and noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from cnlrn.classical.fourier import Float
from cnlrn.errors import CnlrnError

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def checked(picture: Float) -> Float:
    """A picture (h, w) or (h, w, c), float32; CnlrnError where it is none or not in [0, 1]."""
    if not isinstance(picture, np.ndarray) or picture.ndim not in (2, 3) or picture.size == 0:
        raise CnlrnError("a picture is an array of height x width or height x width x channels")
    if not np.issubdtype(picture.dtype, np.floating) or not (picture.min() >= 0 and picture.max() <= 1):
        raise CnlrnError("the samples of a picture are floats in [0, 1] here; divide integers by their largest value")
    return np.asarray(picture, np.float32)


def gray(picture: Float) -> Float:
    """The luma (h, w) of a picture (h, w), (h, w, 1) or (h, w, 3)."""
    if picture.ndim == 2:
        return picture
    return np.ascontiguousarray(picture[..., 0] if picture.shape[2] != 3 else picture @ _LUMA)


def noise_of(picture: Float) -> float:
    """The standard deviation of the noise of a blurry picture (h, w): by the median of its responses to Immerkaer's
    mask (CVIU 1996), which sees neither slopes nor straight edges."""
    seen = ndimage.correlate1d(ndimage.correlate1d(picture, [1, -2, 1], 0), [1, -2, 1], 1)
    return float(np.median(np.abs(seen)) / (6 * 0.6745))
