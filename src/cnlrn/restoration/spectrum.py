"""Of a part of a picture, how strong its waves are, by their length and direction.

A picture that is blurred lacks the waves of which a whole number fits into the blur: where the first gap lies tells how
long a shake was, or how wide a disk. On an axis of logarithms of length, blur of another size only moves the gaps, and
so does resizing the picture.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 512
"""Pixels a side of the largest part."""
DIRECTIONS = 16
LENGTHS = 32
_MOST, _LEAST = SIDE / 1.5, SIDE / 255.4
"""The longest and the shortest wave, in pixels."""
_FINER = (16, 12)
"""Lengths and directions that each mean is taken over."""
_FLOOR = np.float32(1e-7)
"""Power of what 8 bits round off."""

Float = NDArray[np.float32]


def lengths() -> Float:
    """The lengths of waves (LENGTHS,) in pixels, from long to short."""
    steps = np.log(_LEAST / _MOST) * (np.arange(LENGTHS) + 0.5) / LENGTHS
    return np.asarray(_MOST * np.exp(steps), np.float32)


def spectra(parts: Float) -> Float:
    """Logarithms of power (n, LENGTHS, DIRECTIONS) of gray parts (n, h, w), at most SIDE pixels a side, in [0, 1].

    Direction i of n is i / n of half a turn, from right towards down. Parts fade out towards their borders (Hann's
    window), where a picture that is not periodic would make waves of every length.
    """
    height, width = parts.shape[1:]
    fading = _fading(height)[:, None] * _fading(width)
    faded = (parts - ((parts * fading).sum((1, 2), keepdims=True) / fading.sum())) * fading
    told = []
    for part in faded:
        waves = np.fft.rfft2(part, (SIDE, SIDE)).reshape(-1)[_PLACES]
        power = (waves.real**2 + waves.imag**2) / np.square(fading).sum()
        finer = np.log(power + _FLOOR).reshape(DIRECTIONS, _FINER[1], LENGTHS, _FINER[0])
        told.append(finer.mean((1, 3)).T)
    return np.asarray(told, np.float32)


def _fading(side: int) -> Float:
    return np.asarray(np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2, np.float32)


def _places() -> NDArray[Any]:
    """Where in a transformed part (SIDE, SIDE / 2 + 1), flattened, lie waves by direction and length, each at its
    nearest."""
    many = LENGTHS * _FINER[0]
    radius = SIDE / _MOST * np.exp(np.log(_MOST / _LEAST) * (np.arange(many) + 0.5) / many)
    offsets = (np.arange(_FINER[1]) + 0.5) / _FINER[1] - 0.5
    angle = ((np.arange(DIRECTIONS)[:, None] + offsets) * np.pi / DIRECTIONS).reshape(-1, 1)
    across, down = np.rint(radius * np.cos(angle)).astype(int), np.rint(radius * np.sin(angle)).astype(int)
    down = np.where(across < 0, -down, down) % SIDE
    return np.asarray(down * (SIDE // 2 + 1) + np.abs(across)).reshape(-1)


_PLACES = _places()
