"""A+: Adjusted Anchored Neighborhood Regression for Fast Super-Resolution (Timofte, De Smet, Van Gool, ACCV 2014), x4.

Trained by `python -m cnlrn.classical.a_plus_training FOLDER OUTPUT`, which the extra `train` is needed for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from cnlrn.classical import patches
from cnlrn.classical.fourier import Float
from cnlrn.classical.patches import PATCH, SCALE, windows

FILE = patches.FOLDER / "a_plus.npz"


@dataclass(frozen=True)
class Weights:
    """What was learned, float32.

    Attributes:
        features: (WINDOW^2, d); of the gray values of a window its d features: bicubic interpolation, first and second
            derivatives of a patch and their principal components are linear, hence one matrix.
        enlarge: (WINDOW^2, SCALE^2); the bicubic interpolation of the window's middle pixel.
        anchors: (n, d), of length 1.
        regressors: (n, d, (PATCH SCALE)^2); what an anchor adds to a bicubic patch, for a unit of each feature.
    """

    features: Float
    enlarge: Float
    anchors: Float
    regressors: Float


@cache
def shipped() -> Weights:
    """The weights that come with the package; DamagedModel where they are not as their card says."""
    return Weights(**patches.shipped_arrays(FILE))


def a_plus(picture: Float, weights: Weights | None = None) -> Float:
    """A picture (h, w) or (h, w, 3), floats in [0, 1], four times as wide and high.

    Each patch's features choose the anchor of the largest correlation, whose regressor tells what is added to the
    bicubic patch (eq. 6); patches that overlap are averaged. As in the paper gray values are restored, and colours
    enlarged by bicubic interpolation. CnlrnError for what is no picture.
    """
    learned = shipped() if weights is None else weights
    return patches.enlarged(picture, learned.enlarge, lambda luma: _details(luma, learned)).clip(0, 1)


def _details(luma: Float, weights: Weights) -> Float:
    """What is added to each pixel's patch: (h, w, (PATCH SCALE)^2)."""
    features = (windows(luma) @ weights.features).reshape(luma.size, -1)
    nearest = np.abs(features @ weights.anchors.T).argmax(1)
    order = nearest.argsort(kind="stable")
    ends = np.searchsorted(nearest[order], np.arange(len(weights.anchors) + 1))
    added = np.empty((luma.size, (PATCH * SCALE) ** 2), np.float32)
    for anchor in np.unique(nearest):
        members = order[ends[anchor] : ends[anchor + 1]]
        added[members] = features[members] @ weights.regressors[anchor]
    return added.reshape(*luma.shape, -1)
