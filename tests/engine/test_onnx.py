import hashlib
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_model import write_tiny_model

from cnlrn import images
from cnlrn.engine import onnxfile
from cnlrn.engine.onnx import OnnxEngine
from cnlrn.errors import CnlrnError
from cnlrn.images import Picture

LR = np.random.default_rng(0).random((2, 3, 8, 12), np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx")


def test_the_engine_declares_what_the_file_says(model: Path) -> None:
    engine = OnnxEngine(model)
    assert (engine.name, engine.scales, engine.multiple, engine.context) == ("tiny", (1, 2, 4), 4, 4)


def test_an_empty_context_means_the_whole_picture(tmp_path: Path) -> None:
    assert OnnxEngine(write_tiny_model(tmp_path / "tiny.onnx", context="")).context is None


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_every_exit_runs(model: Path, scale: int) -> None:
    expected = LR.repeat(scale, axis=2).repeat(scale, axis=3)
    np.testing.assert_array_equal(OnnxEngine(model, threads=1).run(LR, scale), expected)


def test_memory_is_given_back_and_taken_anew(model: Path) -> None:
    engine = OnnxEngine(model, threads=1)
    before = engine.run(LR, 4)
    session = weakref.ref(engine._sessions["x4"])
    engine.release()
    assert session() is None
    np.testing.assert_array_equal(engine.run(LR, 4), before)


def test_an_exit_does_not_compute_another(tmp_path: Path) -> None:
    engine = OnnxEngine(write_tiny_model(tmp_path / "broken.onnx", broken_exit=4))
    assert engine.run(LR, 2).shape == (2, 3, 16, 24)
    with pytest.raises(CnlrnError, match="failed on 12x8 pixels"):
        engine.run(LR, 4)


@pytest.mark.parametrize("times", [np.nan, np.inf])
def test_results_that_are_no_finite_numbers_are_an_error(tmp_path: Path, times: float) -> None:
    engine = OnnxEngine(write_tiny_model(tmp_path / "exploded.onnx", times=times, name="exploded"))
    assert engine.run(LR, 2).max() <= 1
    with pytest.raises(CnlrnError, match="the model exploded gave values that are no finite numbers; its weights"):
        engine.run(LR, 4)


def test_the_checksum_is_verified(model: Path) -> None:
    OnnxEngine(model, sha256=hashlib.sha256(model.read_bytes()).hexdigest())
    with pytest.raises(CnlrnError, match="checksum"):
        OnnxEngine(model, sha256="0" * 64)


def test_a_cut_model_is_one_sentence_and_silent(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = model.read_bytes()
    for content in (b"", b"not a model", data[: len(data) // 2], data[:-300]):
        model.write_bytes(content)
        with pytest.raises(CnlrnError) as caught:
            OnnxEngine(model)
        assert "\n" not in str(caught.value)
        assert "tiny.onnx" in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match=r"none\.onnx cannot be read \(No such file"):
        OnnxEngine(tmp_path / "none.onnx")


def test_a_foreign_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match="not a model made by"):
        OnnxEngine(write_tiny_model(tmp_path / "foreign.onnx", multiple="often"))
    with pytest.raises(CnlrnError, match="no output x8"):
        OnnxEngine(write_tiny_model(tmp_path / "foreign.onnx", scales="1,8"))


def test_an_unknown_or_absent_device_is_refused(model: Path) -> None:
    with pytest.raises(CnlrnError, match="no device 'gpu'"):
        OnnxEngine(model, device="gpu")
    with pytest.raises(CnlrnError, match="onnxruntime-gpu"):
        OnnxEngine(model, device="cuda")


def test_a_model_of_one_exit_is_a_valid_smaller_model(model: Path) -> None:
    pruned = onnx.load_from_string(onnxfile.keep_output(model.read_bytes(), "x2"))
    onnx.checker.check_model(pruned, full_check=True)
    assert [output.name for output in pruned.graph.output] == ["x2"]
    assert [list(node.output) for node in pruned.graph.node] == [["x2"]]
    assert onnxfile.metadata(model.read_bytes())["name"] == "tiny"


def test_memory_is_reckoned_by_the_area_or_by_its_square(tmp_path: Path) -> None:
    windowed = OnnxEngine(write_tiny_model(tmp_path / "windowed.onnx"))
    assert windowed.pixels_within(2**30) == pytest.approx(2 * windowed.pixels_within(2**29), abs=2)
    everywhere = OnnxEngine(write_tiny_model(tmp_path / "everywhere.onnx", context=""))
    assert everywhere.pixels_within(2**30) == pytest.approx(2 * everywhere.pixels_within(2**28), abs=2)


@pytest.mark.parametrize("name", ["TMPDIR", "HOME"])
@pytest.mark.parametrize(
    "command",
    [
        ["-c", "import numpy, cnlrn; cnlrn.restore(numpy.zeros((4, 4), 'uint8'), model='cnlrn-xs')"],
        ["-m", "cnlrn", "restore", "photo.png"],
        ["-m", "cnlrn", "models"],
    ],
    ids=lambda command: command[2] if command[0] == "-m" else "python",
)
def test_nothing_is_written_to_the_home_or_the_temporary_folder(tmp_path: Path, command: list[str], name: str) -> None:
    """ONNX Runtime by itself would keep an identity of the machine and a database for its telemetry there."""
    folders = {folder: tmp_path / folder for folder in ("HOME", "TMPDIR", "work")}
    for folder in folders.values():
        folder.mkdir()
    images.write(Picture(np.zeros((4, 4, 3), np.uint8)), folders["work"] / "photo.png")
    kept = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    fresh = kept | {"HOME": str(folders["HOME"]), "TMPDIR": str(folders["TMPDIR"])}
    subprocess.run([sys.executable, *command], cwd=folders["work"], env=fresh, check=True, capture_output=True)
    assert list(folders[name].rglob("*")) == []
