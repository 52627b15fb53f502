"""What a moving camera and moving things do to a picture while the shutter is open.

A hand shakes in six degrees of freedom; each instant of the exposure sees the scene through its own homography, so the
blur varies over the picture. Things that move by themselves are layers with a soft mask and a path of their own. Light
adds up linearly, so everything here works on linear light; sensor.py holds the camera response.
"""

import functools
from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Poses = npt.NDArray[np.float64]

STEP = 0.5
"""Largest distance between two instants of a straight path, in pixels of the reduced picture: no comb of separate
copies shows. At most one pixel of the sharp picture is needed, since bilinear copies so far apart join without gaps."""


def instants(extent: float, scale: int) -> int:
    """How many instants an exposure needs, for blur of this extent in HR pixels in a picture that is then reduced by
    `scale`: odd, so that the middle one is mid-exposure."""
    return 1 if extent <= 0 else 2 * int(np.ceil(extent / max(scale * STEP, 1) / 2)) + 1


def hand_motion(rng: np.random.Generator, count: int) -> Poses:
    """A smooth path of a hand-held camera: (count, 6) offsets of yaw, pitch, roll, x, y, z, zero at mid-exposure.

    Each degree of freedom is a drift plus physiological tremor,
    p(t) = v t + sum_k a_k sin(2 pi f_k T t + phi_k), t in [-1/2, 1/2], with f_k of 1 to 12 Hz, a_k ~ 1 / f_k and an
    exposure time T of 1/60 to 1/2 s (log-uniform). Rotation about the optical axis and translation are weaker, as
    measured for hand-held cameras (Koehler et al., ECCV 2012). Units are arbitrary: `homographies` scales them.
    """
    t = np.linspace(-0.5, 0.5, count) if count > 1 else np.zeros(1)
    exposure = np.exp(rng.uniform(np.log(1 / 60), np.log(1 / 2)))
    frequency = rng.uniform(1, 12, (3, 6))
    amplitude = rng.normal(0, 1.5, (3, 6)) / frequency
    phase = rng.uniform(0, 2 * np.pi, (3, 6))
    wave = (amplitude * np.sin(2 * np.pi * frequency * exposure * t[:, None, None] + phase)).sum(axis=1)
    path = 4 * exposure * rng.normal(0, 1, 6) * t[:, None] + wave
    strength = np.array([1.0, 1.0, 0.7, 0.3, 0.3, 0.3])
    return np.asarray((path - path[count // 2]) * strength)


def product(*matrices: Poses) -> Poses:
    """The product of 3x3 matrices, or of stacks of them (n, 3, 3), added up in one order, as no library promises."""
    result = matrices[0]
    for following in matrices[1:]:
        result = sum_in_order(result[..., :, k, None] * following[..., None, k, :] for k in range(3))
    return result


def sum_in_order(parts: Iterable[Poses]) -> Poses:
    """The sum of arrays, one after the other."""
    return functools.reduce(np.add, parts)


def homographies(poses: Poses, extent: float, frame: tuple[int, int]) -> Poses:
    """One 3x3 homography an instant (count, 3, 3), output pixel to source pixel, identity where a pose is zero.

    A camera with focal length f (1.2 times the longer side of `frame`, (height, width) in px) looks at a plane at
    distance 1: H = K (R(yaw, pitch, roll) + (x, y, z) n^T) K^-1. The poses are scaled so that the path's extent (the
    largest distance between two instants), averaged over a 3x3 grid on the frame, is `extent` HR pixels.
    """
    height, width = frame
    focal = 1.2 * max(frame)
    intrinsics = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    inverse = np.array([[1 / focal, 0, -(width - 1) / 2 / focal], [0, 1 / focal, -(height - 1) / 2 / focal], [0, 0, 1]])

    def build(scaled: Poses) -> Poses:
        yaw, pitch, roll, x, y, z = scaled.T
        one, zero = np.ones_like(yaw), np.zeros_like(yaw)
        about_y = np.array([[np.cos(yaw), zero, np.sin(yaw)], [zero, one, zero], [-np.sin(yaw), zero, np.cos(yaw)]])
        about_x = np.array(
            [[one, zero, zero], [zero, np.cos(pitch), -np.sin(pitch)], [zero, np.sin(pitch), np.cos(pitch)]]
        )
        about_z = np.array([[np.cos(roll), -np.sin(roll), zero], [np.sin(roll), np.cos(roll), zero], [zero, zero, one]])
        turn = product(*(np.moveaxis(about, -1, 0) for about in (about_z, about_x, about_y)))
        turn[:, :, 2] += np.stack([x, y, z], axis=1)
        return product(intrinsics, turn, inverse)

    scale = 1e-3
    for _ in range(3):  # nearly linear for small angles: converges at once
        scale *= extent / max(extent_of(tracks(build(poses * scale), frame)), 1e-9)
    return build(poses * scale)


def tracks(paths: Poses, size: tuple[int, int]) -> Poses:
    """Where a 3x3 grid on a picture of `size` (height, width) comes from at each instant: (n, 9, 2), x and y; the
    middle of the picture is the fifth point."""
    height, width = size
    grid = np.array([(x, y, 1.0) for y in (0, (height - 1) / 2, height - 1) for x in (0, (width - 1) / 2, width - 1)])
    points = sum_in_order(paths[:, None, :, k] * grid[:, None, k] for k in range(3))
    return np.asarray(points[..., :2] / points[..., 2:])


def extent_of(tracks: Poses) -> float:
    """The largest distance between two instants, averaged over the points of `tracks` (n, points, 2)."""
    spread = np.linalg.norm(tracks[:, None] - tracks[None, :], axis=-1)
    return float(spread.max(axis=(0, 1)).mean())


def _warp(picture: Float, homography: Poses, size: tuple[int, int]) -> Float:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpPerspective(picture, homography, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REFLECT)
    )


def expose(light: Float, paths: Poses, size: tuple[int, int]) -> Float:
    """Average what every instant sees: (1/n) sum_t L(H_t x) for the output pixels x of `size` (height, width).

    `light` is HWC linear float32; the homographies (n, 3, 3) lead from output to source pixels.
    """
    total = np.zeros((*size, light.shape[2]), np.float32)
    for homography in paths:
        cv2.accumulate(_warp(light, homography, size), total)
    return np.asarray(total / np.float32(len(paths)))


def soft_mask(rng: np.random.Generator, size: tuple[int, int]) -> Float:
    """A random foreground shape (HW float32 in [0, 1]): a smooth random field cut at a level, with soft edges."""
    coarse = rng.normal(0, 1, (5, 5)).astype(np.float32)
    field = cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    level = np.quantile(field[::4, ::4], rng.uniform(0.5, 0.85))
    softness = rng.uniform(0.01, 0.1)
    return np.asarray(np.clip((field - level) / softness + 0.5, 0, 1), dtype=np.float32)


def expose_layers(light: Float, mask: Float, background: Poses, foreground: Poses, size: tuple[int, int]) -> Float:
    """Exposure of a scene whose masked part moves by itself:

    (1/n) sum_t [M(F_t x) L(F_t x) + (1 - M(F_t x)) L(B_t x)], with F and B the paths of foreground and background
    (both (n, 3, 3)) and M the soft mask (HW in [0, 1], of the source's size).
    """
    total = np.zeros((*size, light.shape[2]), np.float32)
    for back, front in zip(background, foreground, strict=True):
        behind = _warp(light, back, size)
        cover = _warp(mask, front, size)[..., None]
        cv2.accumulate(behind + cover * (_warp(light, front, size) - behind), total)
    return np.asarray(total / np.float32(len(background)))
