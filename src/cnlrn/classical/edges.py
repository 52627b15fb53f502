"""Which gradients a kernel is estimated from: the strong ones in each direction (Cho and Lee 2009, section 4.2)."""

from __future__ import annotations

import numpy as np

from cnlrn.classical.coarse_to_fine import Gradients, Step

_DIRECTIONS = 4
_SHARE = 0.1
_DECAY = 1.1


def strong(gradients: Gradients, size: int, step: Step, share: float = _SHARE) -> Gradients:
    """Gradients (across, down), those that are weak being zero.

    The threshold leaves in each of four directions (opposite ones are alike) at least so many pixels: `share` times the
    root of the product of the pixels of the picture and of the kernel of `size` (r is 2 in the paper, which counts
    gradients of a shock-filtered picture; fewer are less noisy). It falls by 1.1 from step to step.
    """
    across, down = gradients
    lengths = across**2 + down**2
    sectors = np.floor(np.arctan2(down, across) / (np.pi / _DIRECTIONS)).astype(np.int32) % _DIRECTIONS
    wanted = max(1, round(share * size * across.size**0.5))
    thresholds = []
    for sector in range(_DIRECTIONS):
        here = lengths[sectors == sector]
        thresholds.append(np.partition(here, -wanted)[-wanted] if len(here) > wanted else 0.0)
    weak = lengths < min(thresholds) / _DECAY**step.here
    return np.where(weak, 0, across), np.where(weak, 0, down)
