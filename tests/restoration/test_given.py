"""What is taken for a picture from Python, and what comes back for it."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny_model import write_tiny_model

from cnlrn import CnlrnError, Restorer, images
from cnlrn.images import Picture

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
PNG = images.encode(Picture(PIXELS))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def restorer(model: Path) -> Restorer:
    return Restorer(model, threads=1)


def behind_a_header(content: bytes) -> io.BytesIO:
    file = io.BytesIO(b"header" + content)
    file.seek(6)
    return file


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda content: memoryview(content * 2)[: len(content)], io.BytesIO,
             lambda content: io.BufferedReader(io.BytesIO(content)), behind_a_header],
)  # fmt: skip
def test_bytes_of_a_file_are_taken_in_any_form_and_give_bytes(restorer: Restorer, kind: Callable[[bytes], Any]) -> None:
    restored = restorer.restore(kind(PNG), 2)
    assert isinstance(restored, bytes)
    np.testing.assert_array_equal(images.read(restored).pixels, PIXELS.repeat(2, axis=0).repeat(2, axis=1))


def test_an_open_file_is_read_from_where_it_is_to_its_end(restorer: Restorer, tmp_path: Path) -> None:
    (tmp_path / "photo.bin").write_bytes(b"12345678" + PNG)
    with (tmp_path / "photo.bin").open("rb") as file:
        file.seek(8)
        assert images.read(restorer.restore(file)).pixels.shape == (24, 32, 3)
        assert file.read() == b""


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("png", b"\x89PNG"), ("jpg", b"\xff\xd8"), (".JPEG", b"\xff\xd8"), ("webp", b"RIFF"), ("tif", b"II*\0")],
)
def test_bytes_come_back_in_the_format_that_is_named(restorer: Restorer, name: str, beginning: bytes) -> None:
    assert restorer.restore(PNG, format=name).startswith(beginning)


@pytest.mark.parametrize(
    ("source", "result"),
    [("a.jpg", "a_x4.jpg"), ("a.JPEG", "a_x4.JPEG"), ("a.webp", "a_x4.webp"), ("a.tif", "a_x4.tif"), ("a", "a_x4.png"),
     ("a.png", "a_x4.png"), ("a.bmp", "a_x4.png"), ("a.jpg.bak", "a.jpg_x4.png")],
)  # fmt: skip
def test_a_path_gives_a_file_of_its_own_format_where_that_is_written(
    restorer: Restorer, tmp_path: Path, source: str, result: str
) -> None:
    suffix = Path(source).suffix.lower()
    content = images.encode(Picture(PIXELS), suffix) if suffix in (".jpg", ".jpeg", ".webp", ".tif") else PNG
    (tmp_path / source).write_bytes(content)
    assert restorer.restore(tmp_path / source) == tmp_path / result
    assert restorer.restore(tmp_path / source, 2, format="webp").suffix == ".webp"


def test_a_result_too_large_for_the_format_of_bytes_is_refused(restorer: Restorer) -> None:
    with pytest.raises(CnlrnError, match="at most 16383 a side"):
        restorer.restore(PNG, width=16384, height=1, format="webp")


@pytest.mark.parametrize(
    ("picture", "options", "reason"),
    [
        (PNG, {"format": "gif"}, "format 'gif': pictures are written as"),
        (PNG, {"format": ""}, "pictures are written as"),
        (PNG, {"format": 3}, "format is a name such as 'png' or 'jpg', not 3"),
        (PNG, {"output": "sharp.png"}, "goes with the path of a picture"),
        (PNG, {"progress": 1}, "progress is a function"),
        (PIXELS, {"format": "png"}, "a format goes with the path or the bytes of a picture"),
        ("a.png", {"format": "png", "output": "b.png"}, "the extension of the output names the format"),
        ("a.png", {"output": 3}, "3 is no name of an output file"),
        ("a\0.png", {}, "is no name of a picture file"),
        (b"", {}, "is empty"),
        (io.BytesIO(), {}, "is empty"),
        (b"nothing", {}, "is not a"),
        (os.fsencode(__file__), {}, "is the name of a file, as bytes; give names as str"),
        (io.StringIO("text"), {}, "open it for reading bytes"),
        (None, {}, "not NoneType"),
        ([[0, 1], [1, 0]], {}, "not list"),
        (Picture(PIXELS[..., 0]), {}, "the pixels of a Picture are an array of height x width x 1 or 3"),
        (Picture(PIXELS.astype(np.float64)), {}, "array of float64"),  # type: ignore[arg-type]
        (Picture(PIXELS, PIXELS[..., :1]), {}, "the alpha of a Picture"),
    ],
)
def test_what_cannot_be_is_one_sentence(restorer: Restorer, picture: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(CnlrnError) as caught:
        restorer.restore(picture, **options)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read_are_said(restorer: Restorer, tmp_path: Path) -> None:
    closed = io.BytesIO(PNG)
    closed.close()
    released = memoryview(PNG)
    released.release()
    with (tmp_path / "new").open("wb") as writable:
        for picture in (closed, released, writable):
            with pytest.raises(CnlrnError, match="cannot be read"):
                restorer.restore(picture)


@pytest.mark.parametrize(
    "options",
    [{"tile": 1.5}, {"tile": "8"}, {"threads": True}, {"max_pixels": "many"}, {"tile": np.nan}, {"model": 5},
     {"model": b"cnlrn-s"}, {"device": 3}, {"device": ["cpu"]}],
    ids=str,
)  # fmt: skip
def test_options_of_a_wrong_kind_are_one_sentence(model: Path, options: dict[str, Any]) -> None:
    with pytest.raises(CnlrnError, match=r"^[^\n]{1,150}$"):
        Restorer(**({"model": model} | options))


@pytest.mark.parametrize(
    "change",
    [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[::2, 1::3], np.asfortranarray, lambda a: a[..., ::-1],
     lambda a: np.rot90(a), lambda a: np.ma.masked_array(a), lambda a: a.astype(">u2"), lambda a: a.astype("<u2")],
)  # fmt: skip
def test_arrays_in_any_layout_give_their_values(
    restorer: Restorer, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    lr = change(PIXELS.copy())
    lr.setflags(write=False)
    hr = restorer.restore(lr, 2)
    assert type(hr) is np.ndarray
    np.testing.assert_array_equal(hr, np.asarray(lr).repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    "array",
    [np.ma.masked_equal(PIXELS, PIXELS[0, 0, 0]), *(PIXELS.astype(dtype) for dtype in
     (bool, np.int8, np.int32, np.int64, np.float16, np.float64, object, complex, "U3", "datetime64[s]"))],
    ids=lambda array: f"{type(array).__name__} {array.dtype}",
)  # fmt: skip
def test_arrays_of_other_kinds_are_refused(restorer: Restorer, array: NDArray[Any]) -> None:
    with pytest.raises(CnlrnError, match="is not a picture"):
        restorer.restore(array)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_what_a_pillow_image_calls_transparent_is_so_in_the_result(restorer: Restorer, mode: str) -> None:
    image = Image.new(mode, (2, 1), 1)
    image.putpixel((0, 0), 0)
    image.info["transparency"] = (0, 0, 0) if mode == "RGB" else 0
    assert np.asarray(restorer.restore(image, 1))[0, :, -1].tolist() == [0, 255]


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "LAB"])
def test_pillow_images_whose_result_pillow_cannot_hold_or_convert_are_refused(restorer: Restorer, mode: str) -> None:
    image = Image.new(mode, (2, 1))
    image.info["transparency"] = 0
    with pytest.raises(CnlrnError, match="Pillow"):
        restorer.restore(image, 1)


def test_a_palette_with_alpha_keeps_it(restorer: Restorer) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 0, 40, 50, 60, 255], "RGBA")
    image.putpixel((1, 0), 1)
    sharp = restorer.restore(image, 1)
    assert (sharp.mode, np.asarray(sharp)[0].tolist()) == ("RGBA", [[40, 50, 60, 0], [40, 50, 60, 255]])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("before", ["restorer.restore(lr)", "pass"], ids=["restored", "loaded"])
@pytest.mark.parametrize("after", ["restorer.restore(lr)", "cnlrn.restore(lr, model=sys.argv[1])"], ids=["old", "new"])
def test_a_forked_process_says_to_use_spawn_and_does_not_hang(model: Path, before: str, after: str) -> None:
    script = f"""
import os, sys, numpy, cnlrn
lr = numpy.zeros((40, 40), "uint8")
restorer = cnlrn.Restorer(sys.argv[1])
{before}
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
try:
    {after}
except cnlrn.CnlrnError as error:
    print(error, flush=True)
    os._exit(7)
"""
    run = subprocess.run([sys.executable, "-c", script, model], capture_output=True, text=True, timeout=120)
    assert (run.returncode, "spawn" in run.stdout) == (7, True), run.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_forked_before_anything_was_restored_restores(model: Path) -> None:
    script = """
import os, sys, numpy, cnlrn, cnlrn.restoration.restorer
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
cnlrn.restore(numpy.zeros((40, 40), "uint8"), model=sys.argv[1])
"""
    run = subprocess.run([sys.executable, "-c", script, model], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
