"""Samples to learn super-resolution of patches from: photos, features and details."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from cnlrn.classical.fourier import Float
from cnlrn.classical.patches import PATCH, REACH, SCALE, WINDOW
from cnlrn.classical.pictures import gray
from cnlrn.data.pictures import read
from cnlrn.degradation.resize import bicubic

_ENERGY = 0.999
"""Of the features that the principal components keep."""
_PLAIN = 1e-3
"""Features shorter than this tell nothing of details."""


class Samples(NamedTuple):
    """Pairs to learn from.

    Attributes:
        linear: (WINDOW^2, d); of the gray values of a window its d features, the principal components.
        enlarge: (WINDOW^2, SCALE^2); the bicubic interpolation of the window's middle pixel.
        features: (n, d), of length 1.
        details: (n, (PATCH SCALE)^2); what the sharp patch has more than the bicubic one, for features of length 1.
    """

    linear: Float
    enlarge: Float
    features: Float
    details: Float


def parser(description: str | None) -> argparse.ArgumentParser:
    """Of a command that trains: what every one takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("folder", type=Path)
    made.add_argument("output", type=Path)
    made.add_argument("--photos", type=int, default=200)
    made.add_argument("--patches", type=int, default=2000, help="of each photo")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--data", type=Path, help="a card of a model that was trained on FOLDER, whose data are listed")
    return made


def chosen(folder: Path, count: int, rng: np.random.Generator) -> list[Path]:
    """So many photos of a folder, or all that it has."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    return [paths[index] for index in sorted(rng.choice(len(paths), min(count, len(paths)), replace=False))]


def write(
    output: Path,
    name: str,
    description: str,
    arrays: dict[str, NDArray[np.floating]],
    card: dict[str, object],
    data: Path | None,
) -> None:
    """Write weights to `output` and their card beside it; `data`: see `parser`."""
    np.savez(output, allow_pickle=False, **arrays)
    card = {
        "name": name,
        "description": description,
        **card,
        "data": json.loads(data.read_bytes())["data"] if data else [],
        "sha256": hashlib.sha256(output.read_bytes()).hexdigest(),
    }
    output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{output}: {output.stat().st_size:,} bytes")


def lumas(paths: list[Path]) -> Iterator[Float]:
    """The gray values in [0, 1] of photos, halved while they are large, so that they are sharp."""
    for path in paths:
        picture = read(path)
        if picture is None:
            continue
        luma = gray(picture.astype(np.float32) / np.float32(255))
        while min(luma.shape) > 800:
            luma = bicubic(luma, 0.5).clip(0, 1)
        yield luma


def samples(pictures: Iterator[Float], patches: int, rng: np.random.Generator) -> Samples:
    """Pairs from sharp gray pictures (h, w) in [0, 1], so many patches of each."""
    linear = _linear()
    pairs = [_samples(luma, patches, rng) for luma in pictures]
    windows = np.concatenate([window for window, _ in pairs])
    details = np.concatenate([detail for _, detail in pairs])
    values, vectors = np.linalg.eigh(linear.T @ (windows.T @ windows) @ linear)
    shares = np.cumsum(values[::-1]) / values.sum()
    kept = vectors[:, ::-1][:, : int(np.searchsorted(shares, _ENERGY)) + 1]
    linear = (linear @ kept).astype(np.float32)
    features = windows @ linear
    lengths = np.linalg.norm(features, axis=1)
    told = lengths > _PLAIN
    enlarge = np.stack([bicubic(impulse, SCALE)[_middle(1)].ravel() for impulse in _impulses()])
    return Samples(linear, enlarge, features[told] / lengths[told, None], details[told] / lengths[told, None])


def _impulses() -> Iterator[Float]:
    """For each pixel of a window a picture, with room around, that is one there and zero elsewhere."""
    for place in range(WINDOW * WINDOW):
        picture = np.zeros((WINDOW + 2 * REACH, WINDOW + 2 * REACH), np.float32)
        picture[REACH + place // WINDOW, REACH + place % WINDOW] = 1
        yield picture


def _middle(side: int) -> tuple[slice, slice]:
    """Where the `side` x `side` middle pixels of `_impulses` are in the enlarged picture."""
    start = SCALE * (REACH + REACH - side // 2)
    return (slice(start, start + SCALE * side),) * 2


def _linear() -> Float:
    """Features (WINDOW^2, 4 (PATCH SCALE)^2): first and second derivatives of the bicubic patch (section 3), their taps
    an LR pixel apart."""
    rows = []
    for impulse in _impulses():
        large = bicubic(impulse, SCALE)
        parts = []
        for axis in (0, 1):
            before, after = (np.roll(large, step, axis) for step in (SCALE, -SCALE))
            parts += [
                np.roll(large, SCALE // 2, axis) - np.roll(large, -SCALE // 2, axis),
                before / 2 - large + after / 2,
            ]
        rows.append(np.concatenate([part[_middle(PATCH)].ravel() for part in parts]))
    return np.stack(rows)


def _samples(luma: Float, count: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """Windows (n, WINDOW^2) of the reduced picture, and what the sharp patch has more than the bicubic one."""
    height, width = (side // SCALE * SCALE for side in luma.shape)
    sharp = luma[:height, :width]
    small = bicubic(sharp, 1 / SCALE)
    missing = sharp - bicubic(small, SCALE)
    windows = sliding_window_view(small, (WINDOW, WINDOW))
    side, margin = PATCH * SCALE, SCALE * (REACH - PATCH // 2)
    patches = sliding_window_view(missing[margin:, margin:], (side, side))[::SCALE, ::SCALE]
    rows, columns = rng.integers(0, windows.shape[0], count), rng.integers(0, windows.shape[1], count)
    return windows[rows, columns].reshape(count, -1), patches[rows, columns].reshape(count, -1)
