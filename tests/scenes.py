"""Small pictures of plain shapes, kernels and blur for the tests of `cnlrn.classical`."""

import numpy as np
from scipy import ndimage

from cnlrn.classical import kernels
from cnlrn.classical.fourier import Float


def scene(side: int, seed: int = 0) -> Float:
    """A picture (side, side) of overlapping shapes of plain gray, with hard edges in all directions."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    picture = np.full((side, side), 0.5)
    for _ in range(side // 3):
        top, left = rng.uniform(0, side, 2)
        radius = rng.uniform(0.04, 0.2) * side
        turn = rng.uniform(0, np.pi)
        u = (rows - top) * np.cos(turn) + (columns - left) * np.sin(turn)
        v = (columns - left) * np.cos(turn) - (rows - top) * np.sin(turn)
        inside = (np.hypot(u, v) < radius) if rng.random() < 0.4 else (abs(u) < radius) & (abs(v) < 0.6 * radius)
        picture[inside] = rng.uniform(0.05, 0.95)
    return np.asarray(ndimage.gaussian_filter(picture, 0.4), np.float32)


def swirl(size: int = 9) -> Float:
    """A kernel (size, size) of a hand that moves right, then up, with the way back and forth of no symmetry."""
    kernel = np.zeros((size, size))
    for t in np.linspace(0, 1, 400):
        x, y = t * (size - 3) + 1, 1 + (size - 3) * (1 - t**2) * (0.6 + 0.4 * t)
        kernel[int(y), int(x)] += 1 + t
    return kernels.checked(kernel)


def blurred(sharp: Float, kernel: Float, noise: float = 0.0) -> Float:
    """The inner part, 8 pixels from the border, of a picture blurred by a kernel, with noise."""
    blurry = ndimage.convolve(sharp, kernel, mode="nearest")[8:-8, 8:-8]
    noisy = blurry + np.random.default_rng(1).normal(0, noise, blurry.shape)
    return np.asarray(np.clip(noisy, 0, 1), np.float32)


def psnr(restored: Float, sharp: Float) -> float:
    """In dB, of pictures in [0, 1]."""
    return float(-10 * np.log10(np.square(restored - sharp).mean() + 1e-12))
