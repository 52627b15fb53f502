import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from cnlrn import Restorer, networks
from cnlrn.engine.onnx import open_session
from cnlrn.errors import CnlrnError
from cnlrn.models import find
from cnlrn.networks.checkpoints import save_weights
from cnlrn.training import export
from cnlrn.training.quantise import quantise_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds `cnlrn-xs` with new weights and its card, and stands for the folder of shipped models."""
    torch.manual_seed(0)
    folder = tmp_path / "models"
    save_weights(networks.build("cnlrn-xs"), tmp_path / "w.safetensors")
    export.export_model("cnlrn-xs", tmp_path / "w.safetensors", folder)
    monkeypatch.setattr(sys.modules[find.__module__], "FOLDER", folder)
    return folder


def photos(folder: Path, side: int = 160) -> Path:
    folder.mkdir()
    noise = np.random.default_rng(0)
    for number in range(2):
        coarse = Image.fromarray(noise.integers(0, 256, (20, 20, 3), np.uint8))
        coarse.resize((side, side)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_the_eight_bit_version_is_named_by_the_card_and_gives_nearly_the_same_in_tiles_too(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(CnlrnError, match="cnlrn-xs has no eight-bit version"):
        Restorer("cnlrn-xs", precision="int8")
    assert find("cnlrn-xs", "auto") == find("cnlrn-xs")
    card = quantise_model("cnlrn-xs", photos(tmp_path / "photos"), folder)
    file, sha256 = find("cnlrn-xs", "int8")
    assert (file, sha256) == (folder / "cnlrn-xs.int8.onnx", hashlib.sha256(file.read_bytes()).hexdigest())
    assert find("cnlrn-xs", "auto") == (file, sha256)
    assert find("cnlrn-xs")[0] == folder / "cnlrn-xs.onnx"
    assert json.loads((folder / "cnlrn-xs.json").read_text())["int8"] == card.int8

    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
    weights = [array for array in tensors.values() if array.dtype == np.int8 and array.ndim == 4]
    assert len(weights) > 10
    assert max(np.abs(array.astype(int)).max() for array in weights) <= 64, "pairs of products overflow 16 bits"

    lr = np.asarray(Image.open(tmp_path / "photos" / "0.png"))[:70, :90]
    for scale in (1, 2, 4):
        expected = Restorer("cnlrn-xs", precision="float32").restore(lr, scale).astype(int)
        got = Restorer("cnlrn-xs", precision="int8").restore(lr, scale)
        assert 0 < np.abs(got - expected).max() <= 12
        assert np.abs(got - expected).mean() < 1


def test_a_new_export_removes_the_eight_bit_version_of_other_weights(folder: Path, tmp_path: Path) -> None:
    quantise_model("cnlrn-xs", photos(tmp_path / "photos"), folder)
    export.export_model("cnlrn-xs", tmp_path / "w.safetensors", folder)
    assert find("cnlrn-xs", "int8")[0].is_file(), "the same weights keep it"
    torch.manual_seed(1)
    save_weights(networks.build("cnlrn-xs"), tmp_path / "other.safetensors")
    assert not export.export_model("cnlrn-xs", tmp_path / "other.safetensors", folder).int8
    assert not (folder / "cnlrn-xs.int8.onnx").exists()


def test_photos_that_are_too_small_and_unknown_models_are_said(folder: Path, tmp_path: Path) -> None:
    small = photos(tmp_path / "small", 60)
    with pytest.raises(CnlrnError, match=r"no picture in .*small has 64 pixels a side or more"):
        quantise_model("cnlrn-xs", small, folder)
    with pytest.raises(CnlrnError, match=r"mine\.onnx is a file; give the name of a model"):
        quantise_model("mine.onnx", small, folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"cnlrn-xs{suffix}" for suffix in (".json", ".onnx", ".safetensors")
    ]


def test_the_engine_adds_products_of_seven_bit_weights_without_saturation() -> None:
    noise = np.random.default_rng(0)
    weights = noise.integers(-64, 65, (32, 32, 3, 3)).astype(np.int8)
    weights[:8] = 64
    lr = noise.integers(0, 256, (1, 32, 16, 16), np.uint8)
    lr[..., :8] = 255
    step = 40000
    constants = {"one": np.float32(1), "zero": np.uint8(0), "weights": weights, "ones": np.ones(32, np.float32)}
    constants |= {"zeros": np.zeros(32, np.int8), "step": np.float32(step), "middle": np.uint8(128)}
    names = ["lr", "one", "zero", "weights", "ones", "zeros", "step", "middle"]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("QLinearConv", names, ["sums"])],
        "bare",
        [onnx.helper.make_tensor_value_info("lr", onnx.TensorProto.UINT8, lr.shape)],
        [onnx.helper.make_tensor_value_info("sums", onnx.TensorProto.UINT8, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    got = open_session(model.SerializeToString(), 1).run(None, {"lr": lr})[0][0]
    windows = np.lib.stride_tricks.sliding_window_view(lr[0].astype(np.int64), (3, 3), (1, 2))
    sums = np.einsum("chwij,ocij->ohw", windows, weights.astype(np.int64))
    np.testing.assert_array_equal(got, np.clip(np.rint(sums / step) + 128, 0, 255))
