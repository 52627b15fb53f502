import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scenes import psnr, scene

from cnlrn import classical
from cnlrn.classical import a_plus_training, patches
from cnlrn.classical.a_plus import FILE, Weights, shipped
from cnlrn.classical.restorer import ClassicalRestorer
from cnlrn.degradation.resize import bicubic


@pytest.fixture(scope="module")
def trained() -> Weights:
    scenes = (scene(96, seed) for seed in range(1, 7))
    return a_plus_training.train(scenes, 8, 300, np.random.default_rng(0))


def test_training_on_pictures_beats_bicubic_on_another(trained: Weights) -> None:
    sharp = scene(96, 7)
    small = bicubic(sharp, 0.25).clip(0, 1)
    enlarged = classical.a_plus(small, trained)
    assert psnr(enlarged, sharp) > psnr(bicubic(small, 4).clip(0, 1), sharp) + 0.4


def test_shipped_weights_beat_bicubic() -> None:
    sharp = scene(96, 7)
    small = bicubic(sharp, 0.25).clip(0, 1)
    assert psnr(classical.a_plus(small), sharp) > psnr(bicubic(small, 4).clip(0, 1), sharp) + 0.4


def test_without_regressors_the_result_is_bicubic(trained: Weights) -> None:
    nothing = Weights(trained.features, trained.enlarge, trained.anchors, 0 * trained.regressors)
    small = np.random.default_rng(0).uniform(0.2, 0.8, (12, 15, 3)).astype(np.float32)
    inner = (slice(12, -12), slice(12, -12))
    np.testing.assert_allclose(classical.a_plus(small, nothing)[inner], bicubic(small, 4)[inner], atol=1e-5)


def test_colours_are_those_of_the_bicubic_picture() -> None:
    small = np.random.default_rng(0).uniform(0.3, 0.6, (12, 15, 3)).astype(np.float32)
    difference = (classical.a_plus(small) - bicubic(small, 4))[16:-16, 16:-16]
    np.testing.assert_allclose(difference[..., 0], difference[..., 2], atol=1e-4)


def test_tiles_give_the_same_picture() -> None:
    small = np.rint(255 * scene(48, 3)).astype(np.uint8)[..., None].repeat(3, axis=2)
    whole, tiled = (ClassicalRestorer("a-plus", tile=tile).restore(small) for tile in (None, 20))
    assert whole.shape == (192, 192, 3)
    np.testing.assert_array_equal(whole, tiled)


def test_the_card_tells_the_checksum_and_the_weights_are_small() -> None:
    assert f'"sha256": "{hashlib.sha256(FILE.read_bytes()).hexdigest()}"' in FILE.with_suffix(".json").read_text(
        "utf-8"
    )
    assert FILE.stat().st_size < 5_000_000
    weights = shipped()
    np.testing.assert_allclose(np.linalg.norm(weights.anchors, axis=1), 1, atol=2e-3)
    np.testing.assert_allclose(weights.enlarge.sum(0), 1, atol=1e-5)


def test_the_command_trains_on_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(2):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), np.rint(255 * scene(80, seed)).astype(np.uint8))
    output = tmp_path / "out.npz"
    options = ["--anchors", "4", "--patches", "200"]
    monkeypatch.setattr(sys, "argv", ["a_plus_training", str(tmp_path), str(output), *options])
    a_plus_training.main()
    with np.load(output, allow_pickle=False) as arrays:
        assert set(arrays) == {"features", "enlarge", "anchors", "regressors"}
        assert arrays["anchors"].shape[0] == 4
    assert output.with_suffix(".json").exists()


def test_a_tall_picture_in_strips_is_like_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    small = scene(40, 2)[:, :30]
    whole = classical.a_plus(small)
    monkeypatch.setattr(patches, "TOGETHER", 7 * 30)
    np.testing.assert_allclose(classical.a_plus(small), whole, atol=1e-6)
