"""The scheme that blind deblurring from Cho and Lee (2009) to Pan et al. (2016) shares.

The picture is reduced to a pyramid. At each level a sharp picture with strong edges and the kernel are estimated in
turn, and the kernel, enlarged, begins the next finer level. What makes the picture sharp is each paper's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from cnlrn.classical import fourier, kernels
from cnlrn.classical.borders import torus
from cnlrn.classical.fourier import Float
from cnlrn.classical.pictures import checked, gray, noise_of
from cnlrn.errors import CnlrnError

Progress = Callable[[float], None]
Gradients = tuple[Float, Float]


class Step(NamedTuple):
    """How many estimates of the kernel there were before this one, in all and at this level, and the standard deviation
    of the level's noise."""

    all: int
    here: int
    noise: float


Sharpen = Callable[[Float, Float, Step], Float]
"""A paper's way to a sharp picture with strong edges, from a blurry one on a torus and the kernel."""
Select = Callable[[Gradients, int, Step], Gradients]
"""A paper's choice of the gradients of the sharp picture that tell the kernel, whose size is given; others are zero."""

_CROP = 512
DEFAULT_SIZE = 31
"""Pixels a side of the kernel where nothing is known of the blur."""
_SMALLEST = 3
_MOST_SHARE = 2
"""A picture is at least so many times as wide and high as its kernel."""


@dataclass(frozen=True)
class Scheme:
    """A paper's numbers.

    Attributes:
        ratio: between the sides of a level and the next finer one.
        coarsest: size of the kernel at which the pyramid ends.
        steps: estimates of the kernel a level.
        ridge: weight of the kernel's squares, in parts of the sum of the squares of the gradients.
        ridge_of_noise: the same for each unit of the noise's variance, where that is more.
        coarse_ridge: the least ridge at all levels but the finest, for gradients of pictures in [0, 1].
        least: values of the kernel below so much of its largest are noise.
    """

    ratio: float = 0.5**0.5
    coarsest: int = 3
    steps: int = 5
    ridge: float = 0.04
    ridge_of_noise: float = 3e5
    coarse_ridge: float = 0.0
    least: float = 0.05


def estimate(
    picture: Float,
    kernel_size: int | None,
    scheme: Scheme,
    sharpen: Sharpen,
    select: Select,
    progress: Progress | None = None,
) -> Float:
    """The kernel (k, k), centred, that blurred a picture (h, w) or (h, w, c), floats in [0, 1].

    Raises:
        CnlrnError: what is no picture, or a kernel that is too large for it.
    """
    blurry = gray(checked(picture))
    size = kernels.odd(DEFAULT_SIZE if kernel_size is None else kernel_size)
    if min(blurry.shape) < _MOST_SHARE * size:
        raise CnlrnError(
            f"a kernel of {size}x{size} pixels is too large for a picture of {blurry.shape[1]}x{blurry.shape[0]}; "
            f"give one of at most {max(_SMALLEST, min(blurry.shape) // _MOST_SHARE)}"
        )
    blurry = _middle(blurry, crop_side(size))
    sizes = _sizes(size, scheme)
    kernel = _start(sizes[-1])
    works = [scheme.ratio ** (2 * level) for level in range(len(sizes))]
    for level in range(len(sizes) - 1, -1, -1):
        reduced = _reduced(blurry, scheme.ratio**level)
        if len(kernel) != sizes[level]:
            kernel = kernels.resized(kernel, sizes[level], 1 / scheme.ratio)
        done = scheme.steps * (len(sizes) - 1 - level)
        kernel = kernels.centred(_level(reduced, kernel, scheme, sharpen, select, done, level > 0))
        if progress is not None:
            progress(sum(works[level:]) / sum(works))
    return kernel


def crop_side(size: int) -> int:
    """How many pixels a side of a picture are looked at to estimate a kernel of `size`: memory is bounded by it."""
    return max(_CROP, 8 * size)


def solve_kernel(blurry: Gradients, sharp: Gradients, start: Float, ridge: float, steps: int = 30) -> Float:
    """The k of the size of `start` that minimises sum |k * sharp - blurry|^2 + ridge |k|^2, by conjugate gradients.

    All is computed on the few pixels of the kernel: the normal equations hold the correlation of the gradients, a
    convolution again.
    """
    size = len(start)
    spectra = [(fourier.forward(y), fourier.forward(x)) for y, x in zip(blurry, sharp, strict=True)]
    shape = (blurry[0].shape[0], blurry[0].shape[1])
    lags = fourier.backward(fourier.squared(*(x for _, x in spectra)), shape)
    target = fourier.backward(np.asarray(sum(x.conj() * y for y, x in spectra)), shape)
    half = size // 2
    right = np.roll(target, (half, half), (0, 1))[:size, :size].astype(np.float64)
    lags = np.roll(lags, (size - 1, size - 1), (0, 1))[: 2 * size - 1, : 2 * size - 1]
    side = fft.next_fast_len(2 * size - 1, real=True)
    spread = np.zeros((side, side))
    spread[: 2 * size - 1, : 2 * size - 1] = lags
    spectrum = fft.rfft2(np.roll(spread, (1 - size, 1 - size), (0, 1))).real

    def normal(kernel: NDArray[Any]) -> NDArray[Any]:
        product = fft.irfft2(spectrum * fft.rfft2(kernel, (side, side)), (side, side))
        return np.asarray(product[:size, :size] + ridge * kernel)

    kernel = start.astype(np.float64)
    residual = right - normal(kernel)
    direction, norm = residual, float((residual**2).sum())
    enough = 1e-10 * float((right**2).sum())
    for _ in range(steps):
        if norm <= enough:
            break
        product = normal(direction)
        length = norm / float((direction * product).sum())
        kernel = kernel + length * direction
        residual = residual - length * product
        before, norm = norm, float((residual**2).sum())
        direction = residual + norm / before * direction
    return kernel.astype(np.float32)


def _level(
    blurry: Float,
    kernel: Float,
    scheme: Scheme,
    sharpen: Sharpen,
    select: Select,
    done: int,
    is_coarse: bool,
) -> Float:
    """The kernel after all steps of one level."""
    height, width = blurry.shape
    size = len(kernel)
    closed = torus(blurry, size)
    targets = _inner(fourier.gradients(closed), height, width)
    noise = noise_of(blurry)
    least_ridge = max(scheme.coarse_ridge if is_coarse else 0.0, scheme.ridge_of_noise * noise**2)
    for step in (Step(done + here, here, noise) for here in range(scheme.steps)):
        sharp = sharpen(closed, kernel, step)
        edges = select(_inner(fourier.gradients(sharp), height, width), size, step)
        ridge = max(least_ridge, scheme.ridge * float(sum(np.square(part).sum() for part in edges)))
        kernel = solve_kernel(targets, edges, kernel, ridge)
        kernel = kernels.cleaned(np.maximum(kernel, 0), scheme.least)
    return kernel


def _inner(gradients: Gradients, height: int, width: int) -> Gradients:
    """Gradients between pixels of the picture alone, zero in the margin."""
    across, down = (part.copy() for part in gradients)
    for part in (across, down):
        part[height - 1 :] = 0
        part[:, width - 1 :] = 0
    return across, down


def _sizes(size: int, scheme: Scheme) -> list[int]:
    """Of the kernel at each level, the finest first."""
    count = max(0, int(np.floor(np.log(scheme.coarsest / size) / np.log(scheme.ratio) + 1e-6)))
    return [kernels.odd(size * scheme.ratio**level) for level in range(count + 1)]


def _start(size: int) -> Float:
    """Two neighbouring pixels, which the kernel begins with at the coarsest level."""
    kernel = np.zeros((size, size), np.float32)
    kernel[size // 2, size // 2 : size // 2 + 2] = 0.5
    return kernel


def _middle(picture: Float, most: int) -> Float:
    top, left = (max(0, (side - most) // 2) for side in picture.shape)
    return picture[top : top + most, left : left + most]


def _reduced(picture: Float, factor: float) -> Float:
    """The picture `factor` times as large, smoothed against aliasing."""
    if factor == 1:
        return picture
    smooth = ndimage.gaussian_filter(picture, 0.5 / factor, mode="nearest", truncate=3)
    places = [(np.arange(max(1, round(side * factor))) + 0.5) / factor - 0.5 for side in picture.shape]
    grid = np.meshgrid(*places, indexing="ij")
    return np.asarray(ndimage.map_coordinates(smooth, grid, order=1, mode="nearest"), np.float32)
