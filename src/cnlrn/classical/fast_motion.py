"""Fast Motion Deblurring (Cho, Lee, ACM Transactions on Graphics 28(5), SIGGRAPH Asia 2009)."""

from __future__ import annotations

from functools import partial

import numpy as np

from cnlrn.classical import fourier
from cnlrn.classical.coarse_to_fine import Progress, Scheme, Step, estimate
from cnlrn.classical.edges import strong
from cnlrn.classical.fourier import Float
from cnlrn.classical.hyper_laplacian import hyper_laplacian

_WEIGHTS = (50.0, 25.0, 12.5)
"""omega of eq. 4 and 6: of values, first and second derivatives (section 4.3)."""
_SMOOTHNESS = 1.0
"""alpha of eq. 4; 0.1 in the paper."""
_SCHEME = Scheme(steps=7, coarse_ridge=5.0)
_SHARE = 0.025
"""How many gradients are strong, see `strong`."""
_DECAY = 0.7
"""By which the prediction's filters weaken from step to step, so that the last edges are natural; 0.9 in the paper."""
_REACH, _NEAR, _ALIKE, _TIME = 2, 2.0, 0.5, 1.0
"""A bilateral filter of 5x5 pixels, its sigmas in pixels and in values of [0, 1], and the shock filter's time step
(section 4.2)."""


def fast_motion(
    picture: Float, kernel_size: int | None = None, *, progress: Progress | None = None
) -> tuple[Float, Float]:
    """The sharp picture and the kernel of a blurry one.

    Edges are predicted by a bilateral and a shock filter (section 4.2), the kernel is that of the strong ones (eq. 6),
    and the picture between two predictions has a quadratic prior (eq. 4). The paper begins a level with the enlarged
    picture of the coarser one; here the enlarged kernel gives it. The kernel is that of first derivatives, without the
    second ones, and fewer edges are strong. The ridge grows with the variance of the noise. The paper's final
    deconvolution is that of Shan et al. (2008); here it is `hyper_laplacian`.

    Args:
        picture: (h, w) or (h, w, c), floats in [0, 1].
        kernel_size: pixels a side that the kernel fits into, made odd; 31 if None.
        progress: called with the part of the kernel's estimate that is done, from 0 to 1.

    Returns:
        The sharp picture, like the given one, and the kernel (k, k), float32 of sum 1.

    Raises:
        CnlrnError: what is no picture, or a kernel that is too large for it.
    """
    kernel = fast_motion_kernel(picture, kernel_size, progress=progress)
    return hyper_laplacian(picture, kernel), kernel


def fast_motion_kernel(picture: Float, kernel_size: int | None = None, *, progress: Progress | None = None) -> Float:
    """The kernel alone; see `fast_motion`."""
    return estimate(picture, kernel_size, _SCHEME, _sharpen, partial(strong, share=_SHARE), progress)


def _sharpen(blurry: Float, kernel: Float, step: Step) -> Float:
    strength = _DECAY**step.here
    return _shocked(_bilateral(_deconvolved(blurry, kernel), _ALIKE * strength), _TIME * strength)


def _deconvolved(blurry: Float, kernel: Float) -> Float:
    """min_L sum_* omega_* |k * d*L - d*B|^2 + alpha |grad L|^2 (eq. 4), by one division of spectra."""
    shape = (blurry.shape[0], blurry.shape[1])
    blur, rough = fourier.transfer(kernel, shape), fourier.roughness(shape)
    value, first, second = map(np.float32, _WEIGHTS)
    data = value + first * rough + second * rough**2
    spectrum = data * blur.conj() * fourier.forward(blurry)
    return fourier.backward(spectrum / (data * fourier.squared(blur) + np.float32(_SMOOTHNESS) * rough), shape)


def _bilateral(picture: Float, alike: float) -> Float:
    """Each pixel the mean of those around it, weighted by how near and how alike they are."""
    height, width = picture.shape
    padded = np.pad(picture, _REACH, mode="edge")
    total, weights = np.zeros_like(picture), np.zeros_like(picture)
    for down in range(2 * _REACH + 1):
        for across in range(2 * _REACH + 1):
            moved = padded[down : down + height, across : across + width]
            distance = ((down - _REACH) ** 2 + (across - _REACH) ** 2) / (2 * _NEAR**2)
            weight = np.exp(-np.square(moved - picture) * np.float32(1 / (2 * alike**2)) - np.float32(distance))
            total += weight * moved
            weights += weight
    return np.asarray(total / weights)


def _shocked(picture: Float, time: float) -> Float:
    """I - sign(laplacian of I) |gradient of I| dt (eq. 5): edges become steps."""
    across, down = fourier.gradients(picture)
    laplacian = -fourier.adjoint(across, down)
    length = np.hypot(across + np.roll(across, 1, 1), down + np.roll(down, 1, 0)) / 2
    return np.asarray(picture - np.sign(laplacian) * length * np.float32(time), np.float32)
