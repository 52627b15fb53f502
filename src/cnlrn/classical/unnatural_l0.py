"""Unnatural L0 Sparse Representation for Natural Image Deblurring (Xu, Zheng, Jia, CVPR 2013)."""

from __future__ import annotations

import numpy as np

from cnlrn.classical import fourier
from cnlrn.classical.coarse_to_fine import Progress, Scheme, Step, estimate
from cnlrn.classical.edges import strong
from cnlrn.classical.fourier import Float
from cnlrn.classical.hyper_laplacian import hyper_laplacian

_SCHEME = Scheme()
_WEIGHT, _LEAST_WEIGHT, _DECAY = 0.005, 1e-4, 1.1
_WEIGHT_OF_NOISE = 10.0
"""The least weight for a unit of the noise's variance."""
_WIDTHS = tuple(0.7 / 2 ** (i / 2) for i in range(24))
"""epsilon of the loss, from one that is nearly quadratic to one that is nearly L0."""


def unnatural_l0(
    picture: Float, kernel_size: int | None = None, *, progress: Progress | None = None
) -> tuple[Float, Float]:
    """The sharp picture and the kernel of a blurry one.

    In turns, min_x |k * x - y|^2 + weight sum phi(dx), where phi(d) is (d / epsilon)^2 up to epsilon and 1 beyond, an
    L0 norm as epsilon falls; and min_k |k * dx - dy|^2 + ridge |k|^2.

    It differs from the paper, whose epsilon ends at 1/8, in what helps where gradients are small or noisy: epsilon
    falls to 1/4000; the kernel is that of the strong gradients alone; the weight falls by 1.1 from step to step, down
    to what the noise allows; and the ridge grows with the variance of the noise. The paper's final deconvolution is its
    own; here it is `hyper_laplacian`.

    Args:
        picture: (h, w) or (h, w, c), floats in [0, 1].
        kernel_size: pixels a side that the kernel fits into, made odd; 31 if None.
        progress: called with the part of the kernel's estimate that is done, from 0 to 1.

    Returns:
        The sharp picture, like the given one, and the kernel (k, k), float32 of sum 1.

    Raises:
        CnlrnError: what is no picture, or a kernel that is too large for it.
    """
    kernel = unnatural_l0_kernel(picture, kernel_size, progress=progress)
    return hyper_laplacian(picture, kernel), kernel


def unnatural_l0_kernel(picture: Float, kernel_size: int | None = None, *, progress: Progress | None = None) -> Float:
    """The kernel alone; see `unnatural_l0`."""
    return estimate(picture, kernel_size, _SCHEME, _sharpen, strong, progress)


def _sharpen(blurry: Float, kernel: Float, step: Step) -> Float:
    shape = (blurry.shape[0], blurry.shape[1])
    blur = fourier.transfer(kernel, shape)
    power, rough = fourier.squared(blur), fourier.roughness(shape)
    target = blur.conj() * fourier.forward(blurry)
    weight = max(_WEIGHT / _DECAY**step.all, _LEAST_WEIGHT, _WEIGHT_OF_NOISE * step.noise**2)
    sharp = blurry
    for width in _WIDTHS:
        share = np.float32(weight / width**2)
        kept = [np.where(np.abs(part) > width, part, 0) for part in fourier.gradients(sharp)]
        spectrum = target + share * fourier.forward(fourier.adjoint(*kept))
        sharp = fourier.backward(spectrum / (power + share * rough), shape)
    return sharp
