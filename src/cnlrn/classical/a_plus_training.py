"""Train A+ on the photos of a folder: `python -m cnlrn.classical.a_plus_training FOLDER OUTPUT.npz`.

Writes OUTPUT.npz and its card OUTPUT.json. Anchors are found by k-means of directions, where the paper has K-SVD, and
there are fewer of them, so that the file is small. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cnlrn.classical.a_plus import PATCH, REACH, SCALE, WINDOW, Weights
from cnlrn.classical.fourier import Float
from cnlrn.classical.pictures import gray
from cnlrn.data.pictures import read
from cnlrn.degradation.resize import bicubic

_ENERGY = 0.999
"""Of the features that the principal components keep."""
_RIDGE = 0.1
_NEIGHBOURS = 2048
_ROUNDS = 15
_PLAIN = 1e-3
"""Features shorter than this tell nothing of details."""


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--anchors", type=int, default=256)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--patches", type=int, default=2000, help="of each photo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="a card of a model that was trained on FOLDER, whose data are listed")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    paths = sorted(path for path in given.folder.iterdir() if path.suffix in (".jpg", ".png"))
    chosen = [paths[index] for index in sorted(rng.choice(len(paths), min(given.photos, len(paths)), replace=False))]
    weights = train(_lumas(chosen), given.anchors, given.patches, rng)
    arrays = {name: getattr(weights, name).astype(np.float16) for name in ("anchors", "regressors")}
    arrays |= {name: getattr(weights, name) for name in ("features", "enlarge")}
    np.savez(given.output, allow_pickle=False, **arrays)
    card = {
        "name": "a-plus",
        "description": "A+ (Timofte et al. 2014), x4",
        "trained_on": f"{len(chosen)} photos, {given.patches} patches each, seed {given.seed}",
        "anchors": given.anchors,
        "data": json.loads(given.data.read_bytes())["data"] if given.data else [],
        "sha256": hashlib.sha256(given.output.read_bytes()).hexdigest(),
    }
    given.output.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"{given.output}: {given.output.stat().st_size:,} bytes, {weights.anchors.shape[1]} features")


def _lumas(paths: list[Path]) -> Iterator[Float]:
    """The gray values in [0, 1] of photos, halved while they are large, so that they are sharp."""
    for path in paths:
        picture = read(path)
        if picture is None:
            continue
        luma = gray(picture.astype(np.float32) / np.float32(255))
        while min(luma.shape) > 800:
            luma = bicubic(luma, 0.5).clip(0, 1)
        yield luma


def train(lumas: Iterator[Float], anchors: int, patches: int, rng: np.random.Generator) -> Weights:
    """Learn from sharp gray pictures (h, w) in [0, 1], so many patches of each."""
    linear = _linear()
    pairs = [_samples(luma, patches, rng) for luma in lumas]
    windows = np.concatenate([window for window, _ in pairs])
    details = np.concatenate([detail for _, detail in pairs])
    values, vectors = np.linalg.eigh(linear.T @ (windows.T @ windows) @ linear)
    shares = np.cumsum(values[::-1]) / values.sum()
    kept = vectors[:, ::-1][:, : int(np.searchsorted(shares, _ENERGY)) + 1]
    features = (linear @ kept).astype(np.float32)
    samples = windows @ features
    lengths = np.linalg.norm(samples, axis=1)
    told = lengths > _PLAIN
    samples, details = samples[told] / lengths[told, None], details[told] / lengths[told, None]
    centres = _directions(samples, anchors, rng)
    regressors = np.stack([_regressor(samples, details, centre) for centre in centres])
    enlarge = np.stack([bicubic(impulse, SCALE)[_middle(1)].ravel() for impulse in _impulses()])
    return Weights(features, enlarge, centres, regressors.astype(np.float32))


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


def _directions(samples: Float, count: int, rng: np.random.Generator) -> Float:
    """Centres (count, d) of length 1 of the directions of samples of length 1, opposite ones being alike."""
    centres = samples[rng.choice(len(samples), count, replace=False)]
    for _ in range(_ROUNDS):
        alike = samples @ centres.T
        nearest = np.abs(alike).argmax(1)
        signed = samples * np.sign(alike[np.arange(len(samples)), nearest])[:, None]
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, signed)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 0, sums / np.maximum(lengths, 1e-9), centres).astype(np.float32)
    return centres


def _regressor(samples: Float, details: Float, centre: Float) -> Float:
    """The ridge regression (d, patch) of the samples nearest to an anchor (eq. 5)."""
    alike = np.abs(samples @ centre)
    near = np.argpartition(alike, -min(_NEIGHBOURS, len(alike)))[-_NEIGHBOURS:]
    x, y = samples[near].astype(np.float64), details[near].astype(np.float64)
    return np.asarray(np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ y), np.float32)


if __name__ == "__main__":
    main()
