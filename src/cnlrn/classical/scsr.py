"""ScSR: Image Super-Resolution as Sparse Representation of Raw Image Patches (Yang, Wright, Huang, Ma, CVPR 2008), x4.

With the coupled dictionaries of the same authors' Image Super-Resolution via Sparse Representation (IEEE TIP 2010).
Trained by `python -m cnlrn.classical.scsr_training FOLDER OUTPUT`, which the extra
`train` is needed for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from cnlrn.classical import patches
from cnlrn.classical.fourier import Float
from cnlrn.classical.patches import PATCH, SCALE, windows

FILE = patches.FOLDER / "scsr.npz"
SPARSITY = 0.1
"""lambda, for features of length 1 and atoms of length 1."""
_STEPS = 30
_PLAIN = 2e-3
"""Features shorter than this tell nothing of details."""
_TOGETHER = 2**12
"""Patches coded at once, which bounds memory."""


@dataclass(frozen=True)
class Weights:
    """What was learned, float32.

    Attributes:
        features: (WINDOW^2, d); of the gray values of a window its d features, as in `a_plus.Weights`.
        enlarge: (WINDOW^2, SCALE^2); the bicubic interpolation of the window's middle pixel.
        low: (n, d); the dictionary of features, its n atoms of length 1.
        high: (n, (PATCH SCALE)^2); the dictionary of what patches have more than bicubic interpolation.
    """

    features: Float
    enlarge: Float
    low: Float
    high: Float


@cache
def shipped() -> Weights:
    """The weights that come with the package; DamagedModel where they are not as their card says."""
    return Weights(**patches.shipped_arrays(FILE))


def scsr(picture: Float, weights: Weights | None = None) -> Float:
    """A picture (h, w) or (h, w, 3), floats in [0, 1], four times as wide and high.

    The features y of an LR patch, first and second derivatives of the bicubic picture, get the sparse code
    a = argmin 1/2 |D_low a - y|^2 + lambda |a|_1, the local model of both papers. The sharp patch is D_high a, the
    contrast kept by y's length. Gray values are restored, and colours enlarged by bicubic interpolation, as in the
    papers.

    It differs from the papers in this: a code tells what a patch has more than its bicubic interpolation, not than its
    mean, so plain patches stay bicubic. Patches are one LR pixel apart and averaged, so none is fitted to neighbours
    that were computed before it, and all are computed at once. The codes are found by FISTA (Beck, Teboulle, SIAM J.
    Imaging Sci. 2009). The result is not projected on the pictures that reduce to the given one. The features are
    principal components.

    Raises:
        CnlrnError: what is no picture.
        DamagedModel: the weights that come with the package are damaged.
    """
    learned = shipped() if weights is None else weights
    return patches.enlarged(picture, learned.enlarge, lambda luma: _details(luma, learned)).clip(0, 1)


def codes(features: Float, atoms: Float, sparsity: float = SPARSITY, steps: int = _STEPS) -> Float:
    """The sparse codes (m, n) of features (m, d) over n atoms (n, d): argmin 1/2 |a atoms - features|^2 + sparsity
    |a|_1, by FISTA from zero."""
    gram, target = atoms @ atoms.T, features @ atoms.T
    length = np.float32(1 / np.linalg.eigvalsh(gram)[-1])
    least = np.float32(sparsity) * length
    code = np.zeros_like(target)
    ahead, momentum = code, 1.0
    for _ in range(steps):
        moved = ahead - length * (ahead @ gram - target)
        before, code = code, moved - moved.clip(-least, least)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = code + np.float32((momentum - 1) / following) * (code - before)
        momentum = following
    return np.asarray(code, np.float32)


def _details(luma: Float, weights: Weights) -> Float:
    """What is added to each pixel's patch: (h, w, (PATCH SCALE)^2)."""
    features = (windows(luma) @ weights.features).reshape(luma.size, -1)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    told = np.flatnonzero(lengths > _PLAIN)
    added = np.zeros((luma.size, (PATCH * SCALE) ** 2), np.float32)
    for start in range(0, len(told), _TOGETHER):
        members = told[start : start + _TOGETHER]
        directions = features[members] / lengths[members]
        added[members] = lengths[members] * (codes(directions, weights.low) @ weights.high)
    return added.reshape(*luma.shape, -1)
