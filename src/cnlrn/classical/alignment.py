"""How near a deblurred picture is to the sharp one where both may be shifted: the test of Levin et al. (CVPR 2009).

A blind kernel is known up to a shift, so squared errors are those of the best shift, up to 5 pixels in steps of a
quarter, without 15 pixels at the border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnlrn.classical.fourier import Float
from cnlrn.errors import CnlrnError

_BORDER = 15
_FARTHEST = 5
_FRACTIONS = 4


def least_error(restored: Float, sharp: Float) -> float:
    """The mean squared error of two gray pictures (h, w), at least 32 pixels a side, after the best shift of the first.

    CnlrnError where their sizes differ or are too small.
    """
    if restored.shape != sharp.shape or restored.ndim != 2 or min(sharp.shape) <= 2 * _BORDER:
        raise CnlrnError(f"pictures to compare are gray, of one size, and more than {2 * _BORDER} pixels a side")
    errors: dict[tuple[int, int], float] = {}
    target = sharp[_BORDER:-_BORDER, _BORDER:-_BORDER].astype(np.float32)

    def error(down: int, across: int) -> float:
        """Of a shift in quarters of a pixel."""
        if (down, across) not in errors:
            errors[down, across] = float(np.square(_shifted(restored, down, across) - target).mean())
        return errors[down, across]

    farthest = _FARTHEST * _FRACTIONS
    whole = range(-farthest, farthest + 1, _FRACTIONS)
    best = min(((down, across) for down in whole for across in whole), key=lambda shift: error(*shift))
    near = [range(max(-farthest, place - _FRACTIONS), min(farthest, place + _FRACTIONS) + 1) for place in best]
    return min(error(down, across) for down in near[0] for across in near[1])


def psnr(error: float) -> float:
    """Of a mean squared error of pictures in [0, 1], in dB."""
    return float(-10 * np.log10(max(error, 1e-12)))


def error_ratio(estimated: Float, known: Float, sharp: Float) -> float:
    """The error of what an estimated kernel gives over that of what the known one gives (Levin et al., section 5)."""
    return least_error(estimated, sharp) / max(least_error(known, sharp), 1e-12)


def _shifted(picture: Float, down: int, across: int) -> NDArray[np.float32]:
    """The picture without its border, moved by quarters of a pixel, interpolated linearly."""
    part = picture.astype(np.float32, copy=False)
    for axis, quarters in ((0, down), (1, across)):
        whole, rest = divmod(quarters, _FRACTIONS)
        start, stop = _BORDER + whole, part.shape[axis] - _BORDER + whole
        lower = part[start:stop] if axis == 0 else part[:, start:stop]
        upper = part[start + 1 : stop + 1] if axis == 0 else part[:, start + 1 : stop + 1]
        share = np.float32(rest / _FRACTIONS)
        part = lower + share * (upper - lower) if rest else lower
    return part
