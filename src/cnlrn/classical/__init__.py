"""Restoring without deep networks: one paper, one file. Needs the extra `classical` (scipy).

    from cnlrn import classical
    sharp, kernel = classical.dark_channel(picture, kernel_size=25)

Pictures are (h, w) or (h, w, c), floats in [0, 1]; kernels (k, k), float32 of sum 1. Blind systems estimate the kernel
and deblur by it; the others are given it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cnlrn.classical.a_plus import a_plus
from cnlrn.classical.coarse_to_fine import Progress
from cnlrn.classical.dark_channel import dark_channel, dark_channel_kernel
from cnlrn.classical.fast_motion import fast_motion, fast_motion_kernel
from cnlrn.classical.fourier import Float
from cnlrn.classical.hyper_laplacian import hyper_laplacian, total_variation
from cnlrn.classical.richardson_lucy import richardson_lucy
from cnlrn.classical.scsr import scsr
from cnlrn.classical.unnatural_l0 import unnatural_l0, unnatural_l0_kernel
from cnlrn.classical.wiener import wiener


class Blind(Protocol):
    """A blind system: the sharp picture and the kernel."""

    def __call__(
        self, picture: Float, kernel_size: int | None = None, *, progress: Progress | None = None
    ) -> tuple[Float, Float]:
        """See `dark_channel`."""
        ...


class BlindKernel(Protocol):
    """The part of a blind system that estimates the kernel."""

    def __call__(self, picture: Float, kernel_size: int | None = None, *, progress: Progress | None = None) -> Float:
        """See `dark_channel`."""
        ...


KERNELS: dict[str, BlindKernel] = {
    "dark-channel": dark_channel_kernel,
    "fast-motion": fast_motion_kernel,
    "unnatural-l0": unnatural_l0_kernel,
}
"""How each blind system estimates a kernel, by the names of `cnlrn restore --method`."""

ENLARGING: dict[str, Callable[[Float], Float]] = {"a-plus": a_plus, "scsr": scsr}
"""The systems that make pictures four times as wide and high, by the same names."""

__all__ = [
    "ENLARGING",
    "KERNELS",
    "Blind",
    "BlindKernel",
    "a_plus",
    "dark_channel",
    "fast_motion",
    "hyper_laplacian",
    "richardson_lucy",
    "scsr",
    "total_variation",
    "unnatural_l0",
    "wiener",
]
