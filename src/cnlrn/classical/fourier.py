"""Convolutions and derivatives on a torus, by FFT in single precision: what every algorithm of this room computes with.

A kernel (k, k) of odd size has its origin in its middle. A blurry picture is y = k * x, a convolution, not a
correlation. How a picture is laid on a torus without a seam is said in `borders`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Float = NDArray[np.float32]
Spectrum = NDArray[np.complex64]
Shape = tuple[int, int]


def forward(picture: NDArray[Any]) -> Spectrum:
    """The spectrum of a picture (h, w), its half of non-negative column frequencies."""
    return np.asarray(fft.rfft2(np.asarray(picture, np.float32)), np.complex64)


def backward(spectrum: NDArray[Any], shape: Shape) -> Float:
    """The picture (h, w) of a spectrum."""
    return np.asarray(fft.irfft2(spectrum, shape), np.float32)


def transfer(kernel: NDArray[Any], shape: Shape) -> Spectrum:
    """The spectrum of a kernel with its middle at the origin of a torus of `shape`, at least as large as it."""
    spread = np.zeros(shape, np.float32)
    spread[: kernel.shape[0], : kernel.shape[1]] = kernel
    return forward(np.roll(spread, [-(side // 2) for side in kernel.shape], (0, 1)))


def derivatives(shape: Shape) -> tuple[Spectrum, Spectrum]:
    """The transfer functions of `gradients`."""
    down = np.exp(2j * np.pi * np.arange(shape[0]) / shape[0]) - 1
    across = np.exp(2j * np.pi * np.arange(shape[1] // 2 + 1) / shape[1]) - 1
    half = (shape[0], len(across))
    return (
        np.broadcast_to(across[None], half).astype(np.complex64),
        np.broadcast_to(down[:, None], half).astype(np.complex64),
    )


def roughness(shape: Shape) -> Float:
    """The sum of the squared moduli of `derivatives`."""
    return squared(*derivatives(shape))


def squared(*spectra: Spectrum) -> Float:
    """The sum of the squared moduli."""
    total = sum(spectrum.real**2 + spectrum.imag**2 for spectrum in spectra)
    return np.asarray(total, np.float32)


def gradients(picture: Float) -> tuple[Float, Float]:
    """Forward differences across and down, around the torus."""
    across, down = np.empty_like(picture), np.empty_like(picture)
    np.subtract(picture[:, 1:], picture[:, :-1], out=across[:, :-1])
    np.subtract(picture[:, :1], picture[:, -1:], out=across[:, -1:])
    np.subtract(picture[1:], picture[:-1], out=down[:-1])
    np.subtract(picture[:1], picture[-1:], out=down[-1:])
    return across, down


def adjoint(across: Float, down: Float) -> Float:
    """The adjoint of `gradients`: minus the divergence."""
    total = np.empty_like(across)
    np.subtract(across[:, :-1], across[:, 1:], out=total[:, 1:])
    np.subtract(across[:, -1:], across[:, :1], out=total[:, :1])
    total[1:] += down[:-1] - down[1:]
    total[:1] += down[-1:] - down[:1]
    return total


def fast_side(side: int) -> int:
    """The smallest length of at least `side` that transforms fast."""
    return int(fft.next_fast_len(side, real=True))
