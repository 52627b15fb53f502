"""What the systems that enlarge patch by patch share: windows, strips of bounded memory, overlaps and shipped weights.

A patch has `PATCH` x `PATCH` LR pixels, and there is one around each LR pixel. Its features and its bicubic
interpolation are linear, so each is one matrix of the gray values in a window.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cnlrn.classical.fourier import Float
from cnlrn.classical.pictures import checked, gray
from cnlrn.errors import DamagedModel

SCALE = 4
PATCH = 3
"""LR pixels a side of a patch; patches are one pixel apart."""
REACH = 4
"""How far from its middle a patch's features look, LR pixels: patch, filters and bicubic interpolation."""
WINDOW = 2 * REACH + 1
TOGETHER = 2**15
"""LR pixels computed at once, which bounds memory."""
CONTEXT = REACH + PATCH // 2
FOLDER = Path(__file__).parent / "weights"


def shipped_arrays(file: Path) -> dict[str, Float]:
    """The arrays of weights that come with the package, float32; DamagedModel where they are not as their card says."""
    try:
        data = file.read_bytes()
        expected = json.loads(file.with_suffix(".json").read_bytes())["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedModel(f"the weights in {file.parent} cannot be read; install cnlrn again") from error
    if hashlib.sha256(data).hexdigest() != expected:
        raise DamagedModel(f"{file} is damaged (its checksum differs); install cnlrn again")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays}


def enlarged(picture: Float, enlarge: Float, details: Callable[[Float], Float]) -> Float:
    """A picture (h, w) or (h, w, 3), floats in [0, 1], four times as wide and high, not clipped.

    Args:
        picture: the picture.
        enlarge: (WINDOW^2, SCALE^2); the bicubic interpolation of a window's middle pixel.
        details: gives, for gray values (h + 2 m, w + 2 m) with m = PATCH // 2, what is added to each patch, (h + 2 m,
            w + 2 m, (PATCH SCALE)^2). Patches that overlap are averaged, and added to all channels alike.

    Raises:
        CnlrnError: what is no picture.
    """
    picture = checked(picture)
    height, width = picture.shape[:2]
    result = np.empty((SCALE * height, SCALE * width, *picture.shape[2:]), np.float32)
    rows = max(1, TOGETHER // width)
    for top in range(0, height, rows):
        start = max(0, top - CONTEXT)
        strip = picture[start : top + rows + CONTEXT]
        part = _strip(strip, enlarge, details)[SCALE * (top - start) :][: SCALE * rows]
        result[SCALE * top : SCALE * top + len(part)] = part
    return result


def windows(channel: Float) -> Float:
    """The window around each pixel (h, w, WINDOW^2), the border repeated."""
    views = sliding_window_view(np.pad(channel, REACH, mode="edge"), (WINDOW, WINDOW))
    return views.reshape(*channel.shape, WINDOW * WINDOW)


def _strip(picture: Float, enlarge: Float, details: Callable[[Float], Float]) -> Float:
    """`enlarged` for rows of a picture, exact but for `CONTEXT` rows where others follow."""
    colours = np.atleast_3d(picture)
    added = _averaged(details(np.pad(gray(picture), PATCH // 2, mode="edge")))
    plain = np.stack([windows(colours[..., c]) @ enlarge for c in range(colours.shape[2])], axis=-1)
    height, width = picture.shape[:2]
    blocks = plain.reshape(height, width, SCALE, SCALE, -1) + added[..., None]
    whole = blocks.transpose(0, 2, 1, 3, 4).reshape(SCALE * height, SCALE * width, *picture.shape[2:])
    return np.asarray(whole, np.float32)


def _averaged(patches: Float) -> Float:
    """The mean (h, w, SCALE, SCALE) of the patches that hold each pixel."""
    margin = PATCH // 2
    height, width = patches.shape[:2]
    parts = patches.reshape(height, width, PATCH, SCALE, PATCH, SCALE)
    total = np.zeros((height - 2 * margin, width - 2 * margin, SCALE, SCALE), np.float32)
    for down in range(PATCH):
        for across in range(PATCH):
            top, left = 2 * margin - down, 2 * margin - across
            total += parts[top : top + len(total), left : left + total.shape[1], down, :, across]
    return np.asarray(total / np.float32(PATCH**2))
