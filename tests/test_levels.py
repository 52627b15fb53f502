"""A network that works coarse to fine, exported and run in tiles."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from by_torch import restore
from numpy.typing import NDArray

from cnlrn import Restorer
from cnlrn.networks.own import OwnSizeCNLRN, OwnSizePreset
from cnlrn.tiles import Rows
from cnlrn.training.export import export

PRESET = OwnSizePreset(
    width=16,
    half_width=16,
    quarter_width=16,
    quarter_blocks=1,
    group_blocks=1,
    attention_width=16,
    rich_width=4,
    joining_width=16,
    joining_blocks=1,
    survey_width=16,
)


@pytest.fixture(scope="module")
def network() -> OwnSizeCNLRN:
    torch.manual_seed(0)
    net = OwnSizeCNLRN(PRESET).eval()
    tunings = (net.coarse_tuning, net.fine_tuning, net.joining_tuning)
    for weight in (net.from_coarse.weight, net.detail.weight, *(tuning.outer.weight for tuning in tunings)):
        torch.nn.init.normal_(weight, std=0.05)
    net.exit.weight.data.mul_(20)
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


def test_rows_are_kept_until_those_below_are_asked_for() -> None:
    array = np.arange(40)[:, None]
    taken = []

    def strips() -> Iterator[NDArray[np.int64]]:
        for top in range(0, 40, 8):
            taken.append(top)
            yield array[top : top + 8]

    rows = Rows(strips())
    for top, bottom in ((0, 5), (0, 12), (3, 12), (10, 24), (30, 40)):
        np.testing.assert_array_equal(rows.read(top, bottom), array[top:bottom])
        assert taken[-1] < bottom
