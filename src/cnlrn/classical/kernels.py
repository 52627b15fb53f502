"""Blur kernels (k, k), float32, odd-sized, not negative, of sum 1: made fit, cleaned, centred, resized, compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from cnlrn.classical.fourier import Float
from cnlrn.errors import CnlrnError

_EIGHT = np.ones((3, 3))


def checked(kernel: NDArray[Any]) -> Float:
    """A kernel that a user gives, of sum 1 and odd-sized; CnlrnError where it cannot be one."""
    values = np.asarray(kernel, np.float32)
    if values.ndim != 2 or values.size == 0:
        raise CnlrnError(f"a kernel is an array of height x width, not one of shape {np.shape(kernel)}")
    if not np.isfinite(values).all() or values.min() < 0 or not values.sum() > 0:
        raise CnlrnError("a kernel has no negative values and no values that are no numbers, and is not all zero")
    padded = np.pad(values, [(0, 1 - side % 2) for side in values.shape])
    return np.asarray(padded / padded.sum(), np.float32)


def odd(size: float) -> int:
    """The smallest odd number of at least `size`, and at least 3."""
    whole = max(3, int(np.ceil(size - 1e-6)))
    return whole + 1 - whole % 2


def cleaned(kernel: Float, least: float = 0.05, share: float = 0.1) -> Float:
    """A kernel of sum 1 without noise: values below `least` of the largest become zero, and so do islands (joined also
    by corners) that hold less than `share` of the sum, unless all do."""
    kernel = np.where(kernel < least * kernel.max(), 0, kernel)
    if not kernel.sum() > 0:
        return point(len(kernel))
    kernel = kernel / kernel.sum()
    islands, count = ndimage.label(kernel > 0, _EIGHT)
    sums = ndimage.sum_labels(kernel, islands, np.arange(count + 1))
    kept = np.where((sums >= min(share, sums.max()))[islands], kernel, 0)
    return np.asarray(kept / kept.sum(), np.float32)


def point(size: int) -> Float:
    """The kernel that changes nothing."""
    kernel = np.zeros((size, size), np.float32)
    kernel[size // 2, size // 2] = 1
    return kernel


def centred(kernel: Float) -> Float:
    """The same with its centre of mass as near to the middle pixel as it can be moved, by whole pixels, while nothing
    leaves the frame."""
    steps = []
    for axis, mass in enumerate(ndimage.center_of_mass(kernel)):
        used = np.flatnonzero(kernel.any(axis=1 - axis))
        side = kernel.shape[axis]
        steps.append(int(np.clip(round(side // 2 - float(mass)), -used[0], side - 1 - used[-1])))
    return np.roll(kernel, steps, (0, 1))


def resized(kernel: Float, size: int, factor: float) -> Float:
    """A kernel `factor` times as wide, interpolated linearly, in a frame of `size` x `size`, of sum 1."""
    places = (np.arange(size) - size // 2) / factor + len(kernel) // 2
    rows, columns = np.meshgrid(places, places, indexing="ij")
    larger = ndimage.map_coordinates(kernel, (rows, columns), order=1, mode="constant")
    return np.asarray(larger / larger.sum(), np.float32) if larger.sum() > 0 else point(size)


def similarity(first: Float, second: Float) -> float:
    """How alike two kernels are, 0 to 1: the largest normalised cross-correlation over all shifts by whole pixels (Hu
    and Yang, ECCV 2012, eq. 11)."""
    shape = [fft.next_fast_len(a + b - 1, real=True) for a, b in zip(first.shape, second.shape, strict=True)]
    spectra = fft.rfft2(np.asarray(first, float), shape) * fft.rfft2(np.asarray(second, float), shape).conj()
    product = fft.irfft2(spectra, shape).max()
    return float(product / (np.linalg.norm(first) * np.linalg.norm(second)))


def as_picture(kernel: Float, side: int = 128) -> NDArray[np.uint8]:
    """A gray picture (h, w, 1) of a kernel, its largest value white, enlarged by a whole factor to about `side`."""
    factor = max(1, side // max(kernel.shape))
    shades: NDArray[np.uint8] = np.rint(255 * kernel / kernel.max()).astype(np.uint8)
    return np.repeat(np.repeat(shades, factor, 0), factor, 1)[..., None]
