import hashlib
import json
import sys
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import psnr, scene

from cnlrn import classical
from cnlrn.classical import patches, scsr_training
from cnlrn.classical.restorer import ClassicalRestorer
from cnlrn.classical.scsr import FILE, Weights, codes, shipped
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError


def learned(rounds: int) -> Weights:
    scenes = (scene(96, seed) for seed in range(1, 7))
    return scsr_training.train(scenes, 24, 200, np.random.default_rng(0), rounds)


@pytest.fixture(scope="module")
def trained() -> Weights:
    return learned(4)


def gain(weights: Weights | None) -> float:
    """In dB over bicubic interpolation."""
    sharp = scene(96, 7)
    small = bicubic(sharp, 0.25).clip(0, 1)
    return psnr(classical.scsr(small, weights), sharp) - psnr(bicubic(small, 4).clip(0, 1), sharp)


def test_training_on_pictures_beats_bicubic_on_another(trained: Weights) -> None:
    assert gain(trained) > 0.4


def test_learned_dictionaries_beat_raw_patches(trained: Weights) -> None:
    assert gain(trained) > gain(learned(0)) + 0.1


def test_shipped_weights_beat_bicubic() -> None:
    assert gain(None) > 0.4


def test_codes_minimise_the_lasso() -> None:
    rng = np.random.default_rng(0)
    atoms, feature = rng.normal(size=(2, 3)), rng.normal(size=(1, 3))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    found = codes(feature.astype(np.float32), atoms.astype(np.float32), 0.2, 500)[0]

    def cost(code: np.ndarray) -> float:
        return float(0.5 * np.square(code @ atoms - feature).sum() + 0.2 * np.abs(code).sum())

    grid = np.linspace(-3, 3, 301)
    assert cost(found) <= min(cost(np.array(code)) for code in product(grid, grid)) + 1e-6


def test_little_that_is_seen_has_an_empty_code() -> None:
    assert not codes(np.full((1, 2), 0.05, np.float32), np.eye(2, dtype=np.float32), 0.1).any()


def test_details_scale_with_contrast() -> None:
    small = scene(24, 4)
    plain, faint = (classical.scsr(x) - bicubic(x, 4) for x in (0.5 + 0.5 * (small - 0.5), 0.5 + 0.25 * (small - 0.5)))
    inner = (slice(16, -16), slice(16, -16))
    np.testing.assert_allclose(faint[inner], plain[inner] / 2, atol=3e-3)


def test_without_details_the_result_is_bicubic(trained: Weights) -> None:
    nothing = Weights(trained.features, trained.enlarge, trained.low, 0 * trained.high)
    small = np.random.default_rng(0).uniform(0.2, 0.8, (12, 15, 3)).astype(np.float32)
    inner = (slice(12, -12), slice(12, -12))
    np.testing.assert_allclose(classical.scsr(small, nothing)[inner], bicubic(small, 4)[inner], atol=1e-5)


def test_tiles_give_the_same_picture() -> None:
    small = np.rint(255 * scene(48, 3)).astype(np.uint8)[..., None].repeat(3, axis=2)
    whole, tiled = (ClassicalRestorer("scsr", tile=tile).restore(small) for tile in (None, 20))
    assert whole.shape == (192, 192, 3)
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() <= 1


def test_a_tall_picture_in_strips_is_like_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    small = scene(40, 2)[:, :30]
    whole = classical.scsr(small)
    monkeypatch.setattr(patches, "TOGETHER", 7 * 30)
    np.testing.assert_allclose(classical.scsr(small), whole, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (5, 1, 3)])
def test_the_smallest_pictures_are_enlarged(shape: tuple[int, ...]) -> None:
    enlarged = classical.scsr(np.full(shape, 0.25, np.float32))
    assert enlarged.shape == (4 * shape[0], 4 * shape[1], *shape[2:])
    np.testing.assert_allclose(enlarged, 0.25, atol=1e-5)


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(CnlrnError, match="floats in"):
        classical.scsr(np.full((4, 4), 200, np.uint8))


def test_the_card_tells_the_checksum_and_the_weights_are_small() -> None:
    assert json.loads(FILE.with_suffix(".json").read_bytes())["sha256"] == hashlib.sha256(FILE.read_bytes()).hexdigest()
    assert FILE.stat().st_size < 500_000
    weights = shipped()
    np.testing.assert_allclose(np.linalg.norm(weights.low, axis=1), 1, atol=2e-3)
    np.testing.assert_allclose(weights.enlarge.sum(0), 1, atol=1e-5)


def test_the_command_trains_on_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), np.rint(255 * scene(80, seed)).astype(np.uint8))
    output = tmp_path / "out.npz"
    options = ["--atoms", "8", "--patches", "100", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["scsr_training", str(tmp_path), str(output), *options])
    scsr_training.main()
    with np.load(output, allow_pickle=False) as arrays:
        assert set(arrays) == {"features", "enlarge", "low", "high"}
        assert arrays["low"].shape[0] == arrays["high"].shape[0] == 8
    assert json.loads(output.with_suffix(".json").read_bytes())["atoms"] == 8
