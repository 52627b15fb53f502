"""What lies beyond the border of a blurry picture, and where its pixels are saturated.

A picture shows blurred light from beyond its border, and a transform joins opposite borders; both make ringing. `torus`
fills a margin smoothly, for one quick step. `Observation` keeps the margin unknown: where nothing was observed, an
iteration is given what it predicts itself (the majorisation of Reeves, IEEE TIP 2005), so that the margin asserts
nothing. A saturated pixel says that the light was at least so bright, after Whyte et al., IJCV 2014.
"""

from __future__ import annotations

import numpy as np

from cnlrn.classical.fourier import Float, Shape, fast_side

SATURATED = 0.985
"""Values from which a pixel may be cut off."""


def torus(picture: Float, margin: int) -> Float:
    """A picture (h, w) with at least `margin` rows and columns more, in which its last ones fade into its first ones.

    Each added row is a mean of the last and the first one, weighted by how near they are, and smoothed the more the
    further it is from both; columns likewise. The picture is the upper left part of the result.
    """
    for axis in (0, 1):
        side = picture.shape[axis]
        added = fast_side(side + margin) - side
        picture = np.moveaxis(_closed(np.moveaxis(picture, axis, 0), added), 0, axis)
    return np.ascontiguousarray(picture)


def _closed(picture: Float, added: int) -> Float:
    near = (np.arange(added, dtype=np.float32)[:, None] + 1) / (added + 1)
    first, last = _smoothed_lines(picture[0], added), _smoothed_lines(picture[-1], added)
    return np.concatenate([picture, last * (1 - near) + first[::-1] * near])


def _smoothed_lines(line: Float, count: int) -> Float:
    """`count` copies of a line, each smoother than the one before."""
    lines = np.empty((count, len(line)), np.float32)
    for row in range(count):
        padded = np.pad(line, 1, mode="edge")
        line = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
        lines[row] = line
    return lines


class Observation:
    """One channel (h, w) of a blurry picture, laid on a torus with a margin of which nothing is known."""

    def __init__(self, blurry: Float, reach: int) -> None:
        """`reach`: how far the blur's kernel reaches from its middle, pixels."""
        self._size: Shape = blurry.shape[0], blurry.shape[1]
        self._reach = reach
        self.blurry = np.roll(torus(blurry, 2 * reach), (reach, reach), (0, 1))
        self._known = np.zeros(self.blurry.shape, bool)
        self._known[self._inner] = True
        self._saturated = (self.blurry >= SATURATED) & self._known
        self._any_saturated = bool(self._saturated.any())

    @property
    def _inner(self) -> tuple[slice, slice]:
        height, width = self._size
        return slice(self._reach, self._reach + height), slice(self._reach, self._reach + width)

    @property
    def shape(self) -> Shape:
        """Of the torus."""
        return self.blurry.shape[0], self.blurry.shape[1]

    def completed(self, predicted: Float, trust: float = 0.0) -> Float:
        """What was observed, and where nothing was, what is `predicted`.

        With `trust` it is the mean of both where something was observed, that of the prediction weighted by `trust`.
        """
        observed = (self.blurry + np.float32(trust) * predicted) / np.float32(1 + trust) if trust else self.blurry
        whole = np.where(self._known, observed, predicted)
        if self._any_saturated:
            np.maximum(whole, predicted, out=whole, where=self._saturated)
        return whole

    def cut(self, picture: Float) -> Float:
        """The observed part (h, w) of a picture on the torus."""
        return picture[self._inner]
