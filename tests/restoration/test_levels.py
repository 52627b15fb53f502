"""A network that works coarse to fine, exported and run in tiles."""

from pathlib import Path

import numpy as np
import pytest
import torch
from by_torch import restore
from numpy.typing import NDArray

from cnlrn import Restorer, images
from cnlrn.images import Picture
from cnlrn.networks.own import OwnSizeCNLRN, OwnSizePreset
from cnlrn.training.export import export

PRESET = OwnSizePreset(
    width=16,
    half_width=16,
    quarter_width=16,
    quarter_blocks=1,
    group_blocks=1,
    attention_width=16,
    up_width=4,
    near_half_width=16,
    near_quarter_width=16,
    near_group_blocks=1,
    near_attention_width=16,
    near_up_width=4,
    survey_width=16,
)


@pytest.fixture(scope="module")
def network() -> OwnSizeCNLRN:
    torch.manual_seed(0)
    net = OwnSizeCNLRN(PRESET).eval()
    levels = (net.coarse, net.fine, net.near)
    zeros = (net.from_coarse, net.fine_detail, net.from_fine, net.near_detail, net.shares, net.change)
    for layer in (*zeros, *(level.tuning.outer for level in levels), *(level.exit for level in levels)):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return net


@pytest.fixture(scope="module")
def model(network: OwnSizeCNLRN, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "own.onnx"
    export(network, path, "own")
    return path


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (9, 81, 3), dtype=np.uint8)
    return coarse.repeat(16, 0).repeat(16, 1)[:130, :1290]


def test_the_exported_network_gives_what_torch_gives(
    model: Path, network: OwnSizeCNLRN, photo: NDArray[np.uint8]
) -> None:
    lr = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
    expected = restore(network, lr, 1)
    expected = (expected[0].permute(1, 2, 0) * 255).round().clamp(0, 255).numpy()
    restored = Restorer(model, threads=1).restore(photo, 1)
    assert np.abs(restored - expected).max() <= 1
    assert np.abs(restored.astype(int) - photo).mean() > 1


@pytest.mark.parametrize("ensemble", [False, True])
def test_tiles_give_what_the_whole_photo_gives(model: Path, photo: NDArray[np.uint8], ensemble: bool) -> None:
    whole = Restorer(model, threads=1, ensemble=ensemble).restore(photo, 1)
    tiled = Restorer(model, threads=1, ensemble=ensemble, tile=128).restore(photo, 1)
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert (whole != tiled).mean() < 1e-3


def test_a_photo_smaller_than_a_tile_s_grid_is_restored(model: Path, photo: NDArray[np.uint8]) -> None:
    assert Restorer(model, threads=1).restore(photo[:5, :7], 1).shape == (5, 7, 3)


def test_levels_that_wait_on_disk_give_the_same(
    model: Path, photo: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.write(Picture(photo), tmp_path / "photo.png")
    results = []
    for most in (2**40, 0):
        monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", most)
        restored = Restorer(model, threads=1, tile=128).restore(tmp_path / "photo.png", 1, overwrite=True)
        results.append(images.read(restored).pixels)
    np.testing.assert_array_equal(*results)
    assert len(list(tmp_path.iterdir())) == 2


def test_progress_tells_of_levels_too(model: Path, photo: NDArray[np.uint8]) -> None:
    seen: list[float] = []
    Restorer(model, threads=1, tile=128).restore(photo, 1, progress=seen.append)
    assert seen == sorted(seen)
    assert 0 < seen[0] <= 1 / 3
    assert seen[-1] == 1
