"""Train A+ on the photos of a folder: `python -m cnlrn.classical.a_plus_training FOLDER OUTPUT.npz`.

Writes OUTPUT.npz and its card OUTPUT.json. Anchors are found by k-means of directions, where the paper has K-SVD, and
there are fewer of them, so that the file is small. Needs the extra `train`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnlrn.classical import patch_training
from cnlrn.classical.a_plus import Weights
from cnlrn.classical.fourier import Float

_RIDGE = 0.1
_NEIGHBOURS = 2048
_ROUNDS = 15


def main() -> None:
    """Train and write."""
    parser = patch_training.parser(__doc__)
    parser.add_argument("--anchors", type=int, default=256)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    paths = patch_training.chosen(given.folder, given.photos, rng)
    weights = train(patch_training.lumas(paths), given.anchors, given.patches, rng)
    arrays = {name: getattr(weights, name).astype(np.float16) for name in ("anchors", "regressors")}
    arrays |= {name: getattr(weights, name) for name in ("features", "enlarge")}
    card = {
        "trained_on": f"{len(paths)} photos, {given.patches} patches each, seed {given.seed}",
        "anchors": given.anchors,
    }
    patch_training.write(given.output, "a-plus", "A+ (Timofte et al. 2014), x4", arrays, card, given.data)


def train(lumas: Iterator[Float], anchors: int, patches: int, rng: np.random.Generator) -> Weights:
    """Learn from sharp gray pictures (h, w) in [0, 1], so many patches of each."""
    told = patch_training.samples(lumas, patches, rng)
    centres = _directions(told.features, anchors, rng)
    regressors = np.stack([_regressor(told.features, told.details, centre) for centre in centres])
    return Weights(told.linear, told.enlarge, centres, regressors.astype(np.float32))


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
