"""Antialiased bicubic resizing that agrees with MATLAB's `imresize`, the down-sampling of the REDS and DIV2K data.

The kernel is Keys' cubic convolution with a = -0.5 (Keys, IEEE TASSP 1981, eq. 15), stretched by 1/scale when it
reduces so that it also removes what the smaller picture cannot hold; borders are mirrored. The resize is separable,
so each axis is one small matrix, which training reuses on whole batches. `bicubic` itself adds tap after tap in one
fixed order, each product rounded by itself, so that it gives the same bytes on any processor and with any number of
threads; a matrix product of a library does not. To enlarge a picture for show libvips is the better tool; this module
is for the protocol.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]


def _cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' kernel with a = -0.5: 1.5|x|^3 - 2.5|x|^2 + 1 within 1, -0.5|x|^3 + 2.5|x|^2 - 4|x| + 2 within 2."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x <= 2, outer, 0.0))


@lru_cache(maxsize=64)
def _taps(length: int, target: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Which pixels of an axis each output pixel reads (target x taps), and their weights, which sum to 1.

    Output pixel i looks at position (i + 0.5) / s - 0.5 with s = target / length through the kernel
    k(x) = s' cubic(s' x), s' = min(s, 1). Positions beyond the border are mirrored with the border pixel repeated,
    as `imresize` does.
    """
    scale = target / length
    stretch = min(scale, 1.0)
    centres = (np.arange(target) + 0.5) / scale - 0.5
    reach = int(np.ceil(2 / stretch)) + 1
    places = np.floor(centres)[:, None] + np.arange(-reach, reach + 1)[None, :]
    weights = _cubic((centres[:, None] - places) * stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(weights != 0, axis=0)
    folded = np.mod(places[:, used].astype(np.int64), 2 * length)
    return np.where(folded < length, folded, 2 * length - 1 - folded), weights[:, used]


@lru_cache(maxsize=64)
def matrix(length: int, target: int) -> Float:
    """Weights (target x length) that resize one axis from `length` to `target` pixels; each row sums to 1."""
    places, weights = _taps(length, target)
    out = np.zeros((target, length))
    np.add.at(out, (np.arange(target)[:, None], places), weights)
    result = out.astype(np.float32)
    result.setflags(write=False)
    return result


def bicubic(picture: npt.NDArray[np.floating | np.integer], scale: float) -> Float:
    """Resize an HWC or HW picture of any numeric type by `scale` (0.25 reduces to a quarter); float32, not clipped.

    Output sizes are ceil(scale * size). Values keep the input's range and may overshoot it slightly.
    """
    height, width = picture.shape[:2]
    values = _rows_resized(picture.astype(np.float32).reshape(height, -1), int(np.ceil(height * scale - 1e-9)))
    rows = len(values)
    values = values.reshape(rows, width, -1).swapaxes(0, 1).reshape(width, -1)
    values = _rows_resized(values, int(np.ceil(width * scale - 1e-9)))
    columns = len(values)
    values = values.reshape(columns, rows, -1).swapaxes(0, 1)
    return np.ascontiguousarray(values).reshape(rows, columns, *picture.shape[2:])


def _rows_resized(values: Float, target: int) -> Float:
    """`values` (length x n) with its first axis resized."""
    places, weights = _taps(len(values), target)
    total = np.zeros((target, values.shape[1]), np.float32)
    for place, weight in zip(places.T, weights.T.astype(np.float32), strict=True):
        total += weight[:, None] * values[place]
    return total


def enlarging_kernel(scale: int) -> Float:
    """Bicubic enlargement by 2 or 4 as one convolution: weights (scale * scale, 5, 5), correlated with the LR picture.

    Plane r * scale + c gives the output pixels of row r and column c within each LR pixel, the order of a pixel
    shuffle. With the border pixel repeated twice around the picture the result equals `bicubic`, borders apart.
    """
    rows = matrix(5, 5 * scale)[2 * scale : 3 * scale]
    return np.asarray((rows[:, None, :, None] * rows[None, :, None, :]).reshape(scale * scale, 5, 5))
