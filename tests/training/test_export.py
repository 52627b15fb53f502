import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from by_torch import restore
from full_disk import room_for

from cnlrn import networks
from cnlrn.engine.onnx import OnnxEngine
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.systems import Model, costs, plan
from cnlrn.networks.checkpoints import load_checkpoint, save_weights
from cnlrn.restoration.restorer import Restorer
from cnlrn.training import export


def test_an_exported_model_restores_as_torch_does_and_carries_its_card(tmp_path: Path) -> None:
    network = networks.build("cnlrn-xs")
    torch.nn.init.normal_(network.get_parameter("tuning.outer.weight"), std=0.1)  # new ones heed no survey
    save_weights(network, tmp_path / "w.safetensors")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "cnlrn-xs.json").write_text(json.dumps({"description": "written by a person"}))
    card = export.export_model("cnlrn-xs", tmp_path / "w.safetensors", tmp_path / "out")

    file = tmp_path / "out" / "cnlrn-xs.onnx"
    model = onnx.load(file)
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert (metadata["name"], metadata["scales"]) == ("cnlrn-xs", "1,2,4")
    assert metadata["multiple"] == str(network.multiple)
    assert {opset.version for opset in model.opset_import if opset.domain == ""} == {18}
    assert not [node for node in model.graph.node if node.op_type == "DepthToSpace" and node.attribute[0].i == 2]
    assert str(Path(export.__file__).parents[2]).encode() not in file.read_bytes(), "the file tells where it was made"
    assert card.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert json.loads((tmp_path / "out" / "cnlrn-xs.json").read_text())["description"] == "written by a person"

    load_checkpoint(network, tmp_path / "out" / "cnlrn-xs.safetensors")
    lr = np.random.default_rng(0).integers(0, 256, (21, 37, 3), np.uint8)
    x = torch.from_numpy(lr).permute(2, 0, 1)[None] / 255
    for scale in (1, 2, 4):
        expected = (restore(network.eval(), x, scale)[0].permute(1, 2, 0).clamp(0, 1) * 255).numpy()
        got = Restorer(file).restore(lr, scale)
        assert np.abs(got - expected).max() < 0.502
        tiled = Restorer(file, tile=16).restore(lr, scale)
        assert np.abs(got.astype(int) - tiled).max() <= 1


def test_a_changed_preset_is_exported_and_a_file_that_is_no_card_kept(tmp_path: Path) -> None:
    save_weights(networks.build("srcnn-s", {"first_width": 8}), tmp_path / "w.safetensors")
    card = tmp_path / "srcnn-s.json"
    for content, message in (("{", "is not JSON"), ('{"else": 1}', "no card of a model"), ("[]", "no card of a model")):
        card.write_text(content)
        with pytest.raises(CnlrnError, match=message):
            export.export_model("srcnn-s", tmp_path / "w.safetensors", tmp_path, {"first_width": 8})
        assert [path.name for path in sorted(tmp_path.iterdir())] == ["srcnn-s.json", "w.safetensors"]
    card.unlink()
    export.export_model("srcnn-s", tmp_path / "w.safetensors", tmp_path, {"first_width": 8})
    assert Restorer(tmp_path / "srcnn-s.onnx").restore(np.zeros((4, 4, 3), np.uint8)).shape == (16, 16, 3)
    changed = networks.build("srcnn-s", {"first_width": 8})
    found = costs(plan({"mine": Model(str(tmp_path / "srcnn-s.onnx"))})["mine"])
    assert found.parameters == sum(parameter.numel() for parameter in changed.parameters())
    model = onnx.load(tmp_path / "srcnn-s.onnx")
    for nonsense in ("{", "[1]", '{"first_width": 0}', '{"nothing": 1}'):
        onnx.helper.set_model_props(model, {"name": "srcnn-s", "scales": "4", "preset": nonsense})
        onnx.save(model, tmp_path / "srcnn-s.onnx")
        assert costs(plan({"mine": Model(str(tmp_path / "srcnn-s.onnx"))})["mine"]).parameters is None


@pytest.mark.parametrize("value", [7e4, -1e30, float("inf"), float("nan")])
def test_a_weight_that_float16_cannot_hold_is_named_and_the_old_files_stay(tmp_path: Path, value: float) -> None:
    old = {tmp_path / f"srcnn-s{suffix}": suffix.encode() for suffix in (".onnx", ".safetensors")}
    for file, content in old.items():
        file.write_bytes(content)
    weights = {name: tensor.clone() for name, tensor in networks.build("srcnn-s").state_dict().items()}
    name = next(iter(weights))
    weights[name].view(-1)[0] = value
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(CnlrnError, match=rf"w\.pth holds (NaN or infinity|70000|1e\+30) in {name}"):
        export.export_model("srcnn-s", tmp_path / "w.pth", tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir() if file.suffix != ".pth"} == old


def test_an_export_that_fails_leaves_all_three_files_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    save_weights(networks.build("srcnn-s"), tmp_path / "w.safetensors")
    export.export_model("srcnn-s", tmp_path / "w.safetensors", out)
    before = {file: file.read_bytes() for file in out.iterdir()}
    assert len(before) == 3
    save_weights(networks.build("srcnn-s"), tmp_path / "w.safetensors")
    with room_for(3000), pytest.raises(CnlrnError, match=r"srcnn-s\.(onnx|safetensors) cannot be written"):
        export.export_model("srcnn-s", tmp_path / "w.safetensors", out)
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(CnlrnError, match="differs"):
        export.export_model("srcnn-s", tmp_path / "w.safetensors", out)
    assert {file: file.read_bytes() for file in out.iterdir()} == before


def test_an_engine_surveys_parts_and_needs_none_of_it_where_the_network_does_not(tmp_path: Path) -> None:
    network = networks.build("cnlrn-xs").eval()
    torch.nn.init.normal_(network.get_parameter("tuning.outer.weight"), std=0.1)
    export.export(network, tmp_path / "with.onnx", "with")
    parts, lr = torch.rand(2, 3, 16, 32), torch.rand(1, 3, 16, 16)
    engine = OnnxEngine(tmp_path / "with.onnx")
    survey = engine.survey(parts.numpy())
    assert survey is not None
    with torch.no_grad():
        expected = network.survey(parts)
        assert expected is not None
        np.testing.assert_allclose(survey, expected.mean(0, keepdim=True), atol=1e-6)
        for given in (survey, None):
            seen = None if given is None else torch.from_numpy(given)
            np.testing.assert_allclose(engine.run(lr.numpy(), 4, given), network(lr, survey=seen), atol=1e-4)
    export.export(networks.build("srcnn-s"), tmp_path / "without.onnx", "without")
    engine = OnnxEngine(tmp_path / "without.onnx")
    assert engine.survey(parts.numpy()) is None
    assert engine.run(lr.numpy(), 4).shape == (1, 3, 64, 64)


def test_an_export_that_differs_from_torch_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(CnlrnError, match="differs"):
        export.export(networks.build("cnlrn-xs"), tmp_path / "x.onnx", "cnlrn-xs")
    assert list(tmp_path.iterdir()) == []
