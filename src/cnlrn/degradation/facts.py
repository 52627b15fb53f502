"""What was done to a picture that was made blurry: the truth that an estimate of its blur can learn from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Motion:
    """A shake as one picture sees it.

    `extent`: the largest distance between two instants, averaged over a 3x3 grid on the picture, in pixels; 0 without
    shake. Of the path in the picture's middle, `direction` is that of the principal axis, in radians in [0, pi), from x
    (right) towards y (down), and `elongation` is from 0 for a path as wide as long to 1 for a straight line.
    """

    extent: float = 0.0
    direction: float = 0.0
    elongation: float = 0.0

    @classmethod
    def along(cls, path: npt.NDArray[np.float64], extent: float) -> "Motion":
        """The motion whose points (n, 2), x and y at equal intervals of time, are `path` up to its scale."""
        centred = path - path.mean(axis=0)
        (xx, xy), (_, yy) = (centred.T[:, None] * centred.T[None, :]).mean(axis=2)
        spread = np.hypot(xx - yy, 2 * xy)
        short, long = xx + yy - spread, xx + yy + spread
        direction = 0.5 * np.arctan2(2 * xy, xx - yy) % np.pi
        return cls(extent, float(direction), float(1 - np.sqrt(max(short, 0) / long)) if long > 0 else 0.0)


@dataclass(frozen=True)
class Facts:
    """What made a picture blurry, in pixels of the blurry picture."""

    motion: Motion = Motion()
    defocus: float = 0.0
    """Radius of the disk of a lens out of focus; 0 in focus."""
    gaussian: float = 0.0
    """Standard deviation of gaussian blur; 0 without."""
    noise: float = 0.0
    """Standard deviation of the noise that was added, in 255ths of the range of values."""
    jpeg_quality: int = 100
    """The lowest quality of the JPEG files that the picture went through, 100 without any."""

    @property
    def defocus_radius(self) -> float:
        """Radius of the defocus as strong as this defocus and gaussian blur together: a gaussian counts as a disk of
        twice its standard deviation, which has the same variance."""
        return float(np.hypot(self.defocus, 2 * self.gaussian))
