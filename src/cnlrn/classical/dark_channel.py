"""Blind Image Deblurring Using Dark Channel Prior (Pan, Sun, Pfister, Yang, CVPR 2016)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from cnlrn.classical import fourier
from cnlrn.classical.coarse_to_fine import Progress, Scheme, Step, estimate
from cnlrn.classical.edges import strong
from cnlrn.classical.fourier import Float
from cnlrn.classical.hyper_laplacian import hyper_laplacian

_SCHEME = Scheme()
_WEIGHT, _LEAST_WEIGHT, _DECAY = 4e-3, 1e-4, 1.1
"""lambda and mu, which are equal (section 5), and how they fall from step to step."""
_WEIGHT_OF_NOISE = 10.0
"""The least weight of the gradients for a unit of the noise's variance."""
_PATCH = 35
"""Pixels a side over which a dark channel is the least (section 5)."""
_MOST_DARK, _MOST_GRADIENT = 8.0, 1e5
"""beta and mu at which the half-quadratic splitting ends (algorithms 1 and 2)."""


def dark_channel(
    picture: Float, kernel_size: int | None = None, *, progress: Progress | None = None
) -> tuple[Float, Float]:
    """The sharp picture and the kernel of a blurry one.

    Blur brightens the darkest pixel of a patch, so a sharp picture's dark channel D is sparser (section 3). In turns,
    min_x |k * x - y|^2 + weight |dx|_0 + weight |D(x)|_0 (eq. 9), and min_k |k * dx - dy|^2 + ridge |k|^2 (eq. 10).
    A pixel is in the dark channel where it is the least of some patch: where an opening leaves it as it is.

    It differs from the paper in little: the dark channel is that of gray values; its splitting weight grows by 4, not
    by 2, which takes half the time; differences across and down are kept or not each by itself. Strong gradients, noise
    and the final deconvolution are as in `unnatural_l0`.

    Args:
        picture: (h, w) or (h, w, c), floats in [0, 1].
        kernel_size: pixels a side that the kernel fits into, made odd; 31 if None.
        progress: called with the part of the kernel's estimate that is done, from 0 to 1.

    Returns:
        The sharp picture, like the given one, and the kernel (k, k), float32 of sum 1.

    Raises:
        CnlrnError: what is no picture, or a kernel that is too large for it.
    """
    kernel = dark_channel_kernel(picture, kernel_size, progress=progress)
    return hyper_laplacian(picture, kernel), kernel


def dark_channel_kernel(picture: Float, kernel_size: int | None = None, *, progress: Progress | None = None) -> Float:
    """The kernel alone; see `dark_channel`."""
    return estimate(picture, kernel_size, _SCHEME, _sharpen, strong, progress)


def _sharpen(blurry: Float, kernel: Float, step: Step) -> Float:
    shape = (blurry.shape[0], blurry.shape[1])
    blur = fourier.transfer(kernel, shape)
    power, rough = fourier.squared(blur), fourier.roughness(shape)
    target = blur.conj() * fourier.forward(blurry)
    dark_weight = max(_WEIGHT / _DECAY**step.all, _LEAST_WEIGHT)
    weight = max(dark_weight, _WEIGHT_OF_NOISE * step.noise**2)
    sharp = blurry
    dark_share = 2 * dark_weight
    while dark_share < _MOST_DARK:
        darkest = ndimage.grey_opening(sharp, _PATCH, mode="nearest") == sharp
        dark = np.where(darkest & (sharp**2 < dark_weight / dark_share), 0, sharp)
        base = power + np.float32(dark_share)
        dark_target = target + np.float32(dark_share) * fourier.forward(dark)
        share = 2 * weight
        while share < _MOST_GRADIENT:
            across, down = fourier.gradients(sharp)
            least = np.float32((weight / share) ** 0.5)
            across[np.abs(across) < least] = 0
            down[np.abs(down) < least] = 0
            spectrum = dark_target + np.float32(share) * fourier.forward(fourier.adjoint(across, down))
            sharp = fourier.backward(spectrum / (base + np.float32(share) * rough), shape)
            share *= 2
        dark_share *= 4
    return sharp
