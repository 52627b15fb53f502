"""Train ScSR on the photos of a folder: `python -m cnlrn.classical.scsr_training FOLDER OUTPUT.npz`.

Writes OUTPUT.npz and its card OUTPUT.json. The dictionaries begin with raw patches, as the paper of 2008 has them, and
are then learned together, as in that of 2010; `--rounds 0` leaves the raw patches. Needs the extra `train`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cnlrn.classical import patch_training
from cnlrn.classical.fourier import Float
from cnlrn.classical.scsr import SPARSITY, Weights, codes

_STEPS = 12
"""Of FISTA in each round."""
_BATCH = 2**13
_EPSILON = 1e-6


def main() -> None:
    """Train and write."""
    parser = patch_training.parser(__doc__)
    parser.add_argument("--atoms", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=20, help="0 leaves raw patches")
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    paths = patch_training.chosen(given.folder, given.photos, rng)
    weights = train(patch_training.lumas(paths), given.atoms, given.patches, rng, given.rounds)
    arrays = {name: getattr(weights, name).astype(np.float16) for name in ("low", "high")}
    arrays |= {name: getattr(weights, name) for name in ("features", "enlarge")}
    card = {
        "trained_on": f"{len(paths)} photos, {given.patches} patches each, {given.rounds} rounds, seed {given.seed}",
        "atoms": given.atoms,
    }
    patch_training.write(given.output, "scsr", "ScSR (Yang et al. 2008, 2010), x4", arrays, card, given.data)


def train(lumas: Iterator[Float], atoms: int, patches: int, rng: np.random.Generator, rounds: int = 20) -> Weights:
    """Learn from sharp gray pictures (h, w) in [0, 1], so many patches of each.

    In turns, codes and dictionaries minimise 1/2 |X - D Z|^2 + lambda |Z|_1, where X and D hold features and details
    (TIP 2010, joint dictionary training) and atoms have length 1. Both parts of X are weighted to the same energy; the
    paper divides each by the root of its dimension. As the codes of a picture come from features alone, the dictionary
    of details is in the end fitted to such codes by least squares, as Zeyde, Elad and Protter (2010) do. The paper has
    1024 atoms.
    """
    told = patch_training.samples(lumas, patches, rng)
    share = np.float32(1 / np.sqrt(np.square(told.details).sum(1).mean()))
    joint = np.concatenate([told.features, share * told.details], axis=1)
    lengths = np.linalg.norm(joint, axis=1, keepdims=True)
    joint = joint / lengths
    dictionary = joint[rng.choice(len(joint), atoms, replace=False)]
    for _ in range(rounds):
        dictionary = _improved(dictionary, joint, rng)
    size = told.features.shape[1]
    norms = np.linalg.norm(dictionary[:, :size], axis=1, keepdims=True)
    low, high = dictionary[:, :size] / norms, dictionary[:, size:] / norms / share
    if rounds:
        seen, missing = _moments(low, told.features, told.details)
        high = np.linalg.solve(seen + _EPSILON * np.trace(seen) * np.eye(atoms), missing).astype(np.float32)
    return Weights(told.linear, told.enlarge, low, high)


def _moments(atoms: Float, coded: Float, targets: Float, steps: int = 30) -> tuple[Float, Float]:
    """Z'Z and Z'T of the codes Z of samples and their targets T."""
    seen = np.zeros((len(atoms), len(atoms)))
    missing = np.zeros((len(atoms), targets.shape[1]))
    for start in range(0, len(coded), _BATCH):
        code = codes(coded[start : start + _BATCH], atoms, SPARSITY, steps)
        seen += code.T @ code
        missing += code.T @ targets[start : start + _BATCH]
    return np.asarray(seen), np.asarray(missing)


def _improved(dictionary: Float, joint: Float, rng: np.random.Generator) -> Float:
    """The dictionary after a round.

    Each atom in turn is the best one for the codes (Mairal et al., ICML 2009, algorithm 2); an atom that no code uses
    becomes a sample.
    """
    seen, missing = _moments(dictionary, joint, joint, _STEPS)
    improved = dictionary.astype(np.float64)
    for atom in range(len(improved)):
        if seen[atom, atom] < _EPSILON * np.trace(seen):
            improved[atom] = joint[rng.integers(len(joint))]
            continue
        moved = improved[atom] + (missing[atom] - seen[atom] @ improved) / seen[atom, atom]
        improved[atom] = moved / max(float(np.linalg.norm(moved)), _EPSILON)
    return improved.astype(np.float32)


if __name__ == "__main__":
    main()
