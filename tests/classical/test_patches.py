import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cnlrn.classical import patches
from cnlrn.classical.scsr import FILE
from cnlrn.errors import DamagedModel


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for suffix in (".npz", ".json"):
        shutil.copy(FILE.with_suffix(suffix), tmp_path / f"weights{suffix}")
    return tmp_path / "weights.npz"


def test_weights_are_read_as_float32(weights: Path) -> None:
    arrays = patches.shipped_arrays(weights)
    assert {values.dtype for values in arrays.values()} == {np.dtype(np.float32)}


def test_damaged_weights_are_refused_in_a_sentence(weights: Path) -> None:
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(DamagedModel, match=r"weights\.npz is damaged .*install cnlrn again"):
        patches.shipped_arrays(weights)


@pytest.mark.parametrize("card", [None, "", "[]", json.dumps({"name": "scsr"})])
def test_weights_without_a_whole_card_are_refused(weights: Path, card: str | None) -> None:
    if card is None:
        weights.with_suffix(".json").unlink()
    else:
        weights.with_suffix(".json").write_text(card)
    with pytest.raises(DamagedModel, match="cannot be read; install cnlrn again"):
        patches.shipped_arrays(weights)
