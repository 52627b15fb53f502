"""What goes wrong can be told apart by the class of its error."""

from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_tiny_model

from cnlrn import Restorer, errors, images
from cnlrn.images import Picture
from cnlrn.jobs.local import restore_all
from cnlrn.jobs.search import Job


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    images.write(Picture(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)), tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.onnx")


def test_errors_of_pictures_have_classes(photo: Path, model: Path, tmp_path: Path) -> None:
    restorer = Restorer(model, threads=1, max_pixels=1000)
    other = tmp_path / "other.png"
    with pytest.raises(errors.UnreadablePicture, match="does not exist"):
        restorer.restore(other)
    other.write_bytes(photo.read_bytes()[:-40])
    with pytest.raises(errors.UnreadablePicture, match="damaged"):
        restorer.restore(other)
    other.write_bytes(b"GIF89a" + bytes(20))
    with pytest.raises(errors.UnreadablePicture):
        restorer.restore(other)
    other.write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
    with pytest.raises(errors.UnsupportedPicture, match="video"):
        restorer.restore(other)
    with pytest.raises(errors.TooLarge, match="limit"):
        Restorer(model, threads=1, max_pixels=100).restore(photo)
    with pytest.raises(errors.TooLarge, match="limit"):
        restorer.restore(photo, 40)


def test_errors_of_models_have_classes(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.NoSuchModel, match="did you mean cnlrn-s"):
        Restorer("cnlrn-z")
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(errors.DamagedModel):
        Restorer(tmp_path / "bad.onnx")
    with pytest.raises(errors.DamagedModel, match="no finite numbers"):
        Restorer(write_tiny_model(tmp_path / "nan.onnx", times=float("nan")), threads=1).restore(photo)
    with pytest.raises(errors.OutOfMemory, match="failed on"):
        Restorer(write_tiny_model(tmp_path / "broken.onnx", broken_exit=4), threads=1).restore(photo)


def test_errors_of_outputs_have_classes(photo: Path, model: Path, tmp_path: Path) -> None:
    restorer = Restorer(model, threads=1)
    restorer.restore(photo)
    with pytest.raises(errors.OutputExists):
        restorer.restore(photo)
    (tmp_path / "file").touch()
    (outcome,) = restore_all(restorer, [Job(photo, tmp_path / "file" / "a.png")])
    assert (outcome.status, outcome.error) == ("failed", "CannotWrite")
