"""What all non-blind deconvolutions share: channels, and large pictures in tiles, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from cnlrn.classical import kernels
from cnlrn.classical.borders import Observation
from cnlrn.classical.fourier import Float
from cnlrn.classical.pictures import checked

TILE = 1024
"""Pixels a side that are computed at once, the overlap not counted."""

Solve = Callable[[Observation, Float], Float]
"""Takes one channel and the kernel, and gives the sharp channel on the observation's torus."""


def deconvolved(blurry: Float, kernel: Float, solve: Solve) -> Float:
    """`solve` on each channel of a picture, in tiles that overlap by twice the kernel's size on each side and are faded
    into one another; in [0, 1]."""
    blurry, kernel = checked(blurry), kernels.checked(kernel)
    size = max(kernel.shape)
    rows, columns = (_spans(side, TILE, 2 * size) for side in blurry.shape[:2])
    total = np.zeros_like(blurry)
    for channel in np.ndindex(blurry.shape[2:]):
        for top, bottom, down in rows:
            for left, right, across in columns:
                place = (slice(top, bottom), slice(left, right), *channel)
                seen = Observation(blurry[place], size // 2)
                total[place] += seen.cut(solve(seen, kernel)) * down[:, None] * across
    return np.clip(total, 0, 1, out=total)


def _spans(side: int, tile: int, overlap: int) -> list[tuple[int, int, Float]]:
    """Where tiles along a side begin and end, and their weights, which sum to 1 everywhere."""
    count = max(1, -(-side // tile))
    borders = [side * i // count for i in range(count + 1)]
    spans = []
    places = np.arange(side, dtype=np.float32) + 0.5
    for start, stop in pairwise(borders):
        weight = np.ones(side, np.float32)
        if start > 0:
            weight = np.minimum(weight, np.clip((places - start) / overlap + 0.5, 0, 1))
        if stop < side:
            weight = np.minimum(weight, np.clip((stop - places) / overlap + 0.5, 0, 1))
        outer = slice(max(0, start - overlap), min(side, stop + overlap))
        spans.append((outer.start, outer.stop, weight[outer]))
    return spans
