"""Blur that is the same everywhere, as kernels (PSF): a planar motion path, a defocused lens, a gaussian."""

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]


def trajectory_psf(path: npt.NDArray[np.float64], extent: float) -> Float:
    """The kernel of a planar path: points (n, 2) scaled to `extent` px (largest distance of two), each spread
    bilinearly over its four neighbours, normalised to sum 1. The path's origin lies on the kernel's centre.
    """
    span = np.linalg.norm(path[:, None] - path[None, :], axis=-1).max()
    points = path * (extent / max(span, 1e-9))
    fine = np.linspace(0, len(points) - 1, 4 * int(np.ceil(extent)) + 1)
    xs, ys = (np.interp(fine, np.arange(len(points)), points[:, axis]) for axis in (0, 1))
    radius = int(np.ceil(max(np.abs(xs).max(), np.abs(ys).max()))) + 1
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1))
    left, top = np.floor(xs).astype(int), np.floor(ys).astype(int)
    right, bottom = xs - left, ys - top
    for dy, dx, weight in (
        (0, 0, (1 - bottom) * (1 - right)),
        (0, 1, (1 - bottom) * right),
        (1, 0, bottom * (1 - right)),
        (1, 1, bottom * right),
    ):
        np.add.at(kernel, (top + radius + dy, left + radius + dx), weight)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def disk_psf(radius: float) -> Float:
    """Defocus: a uniform disk of `radius` px with antialiased rim, sum 1."""
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def gaussian_psf(sigma: float) -> Float:
    """exp(-(x^2 + y^2) / (2 sigma^2)) within 3 sigma, sum 1; `sigma` in px."""
    reach = int(np.ceil(3 * sigma))
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    kernel = np.outer(line, line)
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)


def convolve(light: Float, kernel: Float) -> Float:
    """HWC linear light convolved with a kernel, borders mirrored; the size stays."""
    flipped = np.ascontiguousarray(kernel[::-1, ::-1])
    return np.asarray(cv2.filter2D(light, -1, flipped, borderType=cv2.BORDER_REFLECT))
