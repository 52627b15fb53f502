"""A+: Adjusted Anchored Neighborhood Regression for Fast Super-Resolution (Timofte, De Smet, Van Gool, ACCV 2014), x4.

Trained by `python -m cnlrn.classical.a_plus_training FOLDER OUTPUT`, which the extra `train` is needed for.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cnlrn.classical.fourier import Float
from cnlrn.classical.pictures import checked, gray
from cnlrn.errors import DamagedModel

SCALE = 4
PATCH = 3
"""LR pixels a side of a patch, in steps of one (section 3)."""
REACH = 4
"""How far from its middle a patch's features look, LR pixels: patch, filters and bicubic interpolation."""
WINDOW = 2 * REACH + 1
TOGETHER = 2**15
"""LR pixels computed at once, which bounds memory."""
CONTEXT = REACH + PATCH // 2
FILE = Path(__file__).parent / "weights" / "a_plus.npz"


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
    try:
        data = FILE.read_bytes()
        expected = json.loads(FILE.with_suffix(".json").read_bytes())["sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise DamagedModel(f"the weights in {FILE.parent} cannot be read; install cnlrn again") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise DamagedModel(f"{FILE} is damaged (its checksum differs); install cnlrn again")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return Weights(*(arrays[name].astype(np.float32) for name in Weights.__dataclass_fields__))


def a_plus(picture: Float, weights: Weights | None = None) -> Float:
    """A picture (h, w) or (h, w, 3), floats in [0, 1], four times as wide and high.

    Each patch's features choose the anchor of the largest correlation, whose regressor tells what is added to the
    bicubic patch (eq. 6); patches that overlap are averaged. As in the paper gray values are restored, and colours
    enlarged by bicubic interpolation. CnlrnError for what is no picture.
    """
    weights = shipped() if weights is None else weights
    picture = checked(picture)
    height, width = picture.shape[:2]
    result = np.empty((SCALE * height, SCALE * width, *picture.shape[2:]), np.float32)
    rows = max(1, TOGETHER // width)
    for top in range(0, height, rows):
        start = max(0, top - CONTEXT)
        part = _enlarged(picture[start : top + rows + CONTEXT], weights)[SCALE * (top - start) :][: SCALE * rows]
        result[SCALE * top : SCALE * top + len(part)] = part
    return result


def _enlarged(picture: Float, weights: Weights) -> Float:
    """The same for rows of a picture, exact but for `CONTEXT` rows where others follow."""
    colours = np.atleast_3d(picture)
    added = _details(gray(picture), weights)
    enlarged = np.stack([_windows(colours[..., c], REACH) @ weights.enlarge for c in range(colours.shape[2])], axis=-1)
    height, width = picture.shape[:2]
    blocks = enlarged.reshape(height, width, SCALE, SCALE, -1) + added[..., None]
    whole = blocks.transpose(0, 2, 1, 3, 4).reshape(SCALE * height, SCALE * width, *picture.shape[2:])
    return np.asarray(whole.clip(0, 1), np.float32)


def _windows(channel: Float, reach: int) -> Float:
    """The window around each pixel (h, w, (2 reach + 1)^2), the border repeated."""
    side = 2 * reach + 1
    windows = sliding_window_view(np.pad(channel, reach, mode="edge"), (side, side))
    return windows.reshape(*channel.shape, side * side)


def features_of(luma: Float, weights: Weights) -> Float:
    """The features (h, w, d) of the patch around each pixel."""
    return np.asarray(_windows(luma, REACH) @ weights.features)


def _details(luma: Float, weights: Weights) -> Float:
    """What is added to each pixel's block: (h, w, SCALE, SCALE)."""
    margin = PATCH // 2
    padded = np.pad(luma, margin, mode="edge")
    height, width = padded.shape
    features = features_of(padded, weights).reshape(height * width, -1)
    nearest = np.abs(features @ weights.anchors.T).argmax(1)
    order = nearest.argsort(kind="stable")
    ends = np.searchsorted(nearest[order], np.arange(len(weights.anchors) + 1))
    patches = np.empty((height * width, (PATCH * SCALE) ** 2), np.float32)
    for anchor in np.unique(nearest):
        members = order[ends[anchor] : ends[anchor + 1]]
        patches[members] = features[members] @ weights.regressors[anchor]
    parts = patches.reshape(height, width, PATCH, SCALE, PATCH, SCALE)
    total = np.zeros((height - 2 * margin, width - 2 * margin, SCALE, SCALE), np.float32)
    for down in range(PATCH):
        for across in range(PATCH):
            top, left = 2 * margin - down, 2 * margin - across
            total += parts[top : top + len(total), left : left + total.shape[1], down, :, across]
    return np.asarray(total / np.float32(PATCH**2))
