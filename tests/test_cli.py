import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_tiny_model

from cnlrn import cli, pictures
from cnlrn.pictures import Picture, read


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pictures.write(Picture(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)), tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_tiny_model(tmp_path / "tiny.onnx"))


class Command:
    """Runs `cnlrn` in this process; calling it gives the exit code, `out` and `err` are what it printed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capfd = monkeypatch, capfd

    def __call__(self, *arguments: str | Path) -> int:
        self.monkeypatch.setattr(sys, "argv", ["cnlrn", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        self.out, self.err = self.capfd.readouterr()
        return int(caught.value.code or 0)


@pytest.fixture
def cnlrn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


def test_restore_writes_beside_the_picture_and_says_what(cnlrn: Command, photo: Path, model: str) -> None:
    assert cnlrn("restore", photo, "--model", model) == 0
    target = photo.with_name("photo_x4.png")
    np.testing.assert_array_equal(read(target).pixels, read(photo).pixels.repeat(4, axis=0).repeat(4, axis=1))
    assert re.fullmatch(rf"{re.escape(str(target))}: 16x12 -> 64x48 in \d+\.\d\d s\n", cnlrn.out)
    assert cnlrn.err == ""


def test_restore_takes_every_option(cnlrn: Command, photo: Path, model: str) -> None:
    target = photo.with_name("sharp.tif")
    options = ("--model", model, "--scale", "2", "--tile", "8", "--threads", "1")
    assert cnlrn("restore", photo, "-o", target, *options) == 0
    np.testing.assert_array_equal(read(target).pixels, read(photo).pixels.repeat(2, axis=0).repeat(2, axis=1))


def test_nothing_is_overwritten_unasked(cnlrn: Command, photo: Path, model: str) -> None:
    before = photo.read_bytes()
    assert cnlrn("restore", photo, "-o", photo, "--model", model) == 2
    assert cnlrn.err == f"cnlrn: {photo} exists; give --overwrite to replace it, or another name with -o\n"
    assert photo.read_bytes() == before
    assert cnlrn("restore", photo, "-o", photo, "--model", model, "--overwrite") == 0
    assert read(photo).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["restore"], "Missing argument 'PICTURE'"),
        (["restore", "photo.png", "--scale", "3"], "restores at scale 1, 2 or 4, not 3"),
        (["restore", "photo.png", "--scale", "big"], "--scale"),
        (["restore", "photo.png", "--tile", "0"], "--tile"),
        (["restore", "photo.png", "--threads", "0"], "--threads"),
        (["restore", "photo.png", "--scael", "2"], "--scael"),
        (["restore", "photo.png", "--model", "esrgan"], "no model 'esrgan'"),
        (["restore", "photo.png", "--model", "none.onnx"], "none.onnx cannot be read"),
        (["restore", "none.png"], "none.png does not exist"),
        (["restore", "."], "is a folder"),
        (["restore", "photo.png", "-o", "sharp.xyz"], "sharp.xyz"),
        (["restore", "photo.png", "-o", "none/sharp.png"], "the folder none does not exist"),
        (["restor", "photo.png"], "No such command 'restor'"),
        (["--scale"], "--scale"),
        (["sheet", "photo.png", "-o", "sheet.png"], "a sheet needs pairs of files"),
    ],
)
def test_misuse_is_one_line_and_exit_2(
    cnlrn: Command, photo: Path, model: str, arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    if arguments[0] == "restore" and "--model" not in arguments:
        arguments = [*arguments, "--model", model]
    assert cnlrn(*arguments) == 2
    assert cnlrn.out == ""
    assert cnlrn.err.startswith("cnlrn: ")
    assert reason in cnlrn.err
    assert cnlrn.err.count("\n") == 1
    assert {path.name for path in photo.parent.iterdir()} == {"photo.png", "tiny.onnx"}


def test_ctrl_c_is_exit_130_without_words_or_files(
    cnlrn: Command, photo: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))  # while the file is written
    assert cnlrn("restore", photo, "--model", model) == 130
    assert (cnlrn.out, cnlrn.err) == ("", "")
    assert {path.name for path in photo.parent.iterdir()} == {"photo.png", "tiny.onnx"}


def test_models_are_listed(cnlrn: Command) -> None:
    from cnlrn.models import models

    assert cnlrn("models") == 0
    assert [line.partition(":")[0] for line in cnlrn.out.splitlines()] == [card.name for card in models()]


def test_the_version_is_the_package_s(cnlrn: Command) -> None:
    from importlib.metadata import version

    assert cnlrn("--version") == 0
    assert cnlrn.out == f"cnlrn {version('cnlrn')}\n"


@pytest.mark.parametrize("arguments", [(), ("--help",), ("restore", "--help")])
def test_help_is_shown(cnlrn: Command, arguments: tuple[str, ...]) -> None:
    assert cnlrn(*arguments) == 0
    assert "Usage: cnlrn" in cnlrn.out


def test_help_loads_nothing_slow() -> None:
    script = (
        "import sys, atexit, cnlrn.cli; sys.argv = ['cnlrn', '--help'];"
        "slow = {'numpy', 'onnxruntime', 'pyvips', 'torch', 'cv2', 'rich.traceback', 'importlib.metadata'};"
        "atexit.register(lambda: print('loaded', slow & set(sys.modules)));"
        "cnlrn.cli.main()"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("loaded set()\n")


def test_restore_loads_no_training_library(photo: Path, model: str) -> None:
    script = (
        "import sys, atexit, cnlrn.cli; sys.argv = ['cnlrn', 'restore', *sys.argv[1:]];"
        "slow = {'torch', 'cv2', 'onnx', 'PIL', 'lightning', 'skimage'};"
        "atexit.register(lambda: print('loaded', slow & set(sys.modules)));"
        "cnlrn.cli.main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, photo, "--model", model], capture_output=True, text=True, check=True
    )
    assert run.stdout.endswith("loaded set()\n")
    assert run.stderr == ""


def test_a_sheet_has_a_row_a_pair(cnlrn: Command, photo: Path, model: str) -> None:
    restored, sheet = photo.with_name("photo_x4.png"), photo.with_name("sheet.png")
    cnlrn("restore", photo, "--model", model)
    sizes = []
    for pairs in (1, 2):
        assert cnlrn("sheet", *[photo, restored] * pairs, "-o", sheet, "--overwrite") == 0
        sizes.append(read(sheet).pixels.shape[:2])
    assert sizes[0][0] >= 48
    assert sizes[0][1] >= 2 * 64
    assert sizes[1][1] == sizes[0][1]
    assert sizes[1][0] > sizes[0][0] + 48
    assert cnlrn("sheet", photo, restored, "-o", sheet) == 2


def test_a_sheet_without_fonts_has_no_labels(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnlrn import sheet

    monkeypatch.setattr(sheet, "_has_font", lambda: False)
    sheet.write_sheet([(photo, photo)], tmp_path / "sheet.png")
    assert read(tmp_path / "sheet.png").pixels.shape == (12 + 2 * 16, 2 * 16 + 3 * 16, 3)


def test_degrade_writes_the_same_blurry_picture_each_time(cnlrn: Command, photo: Path, tmp_path: Path) -> None:
    targets = [tmp_path / name for name in ("one.png", "two.png")]
    for target in targets:
        assert (
            cnlrn("degrade", photo, "-o", target, "--sharp", tmp_path / "sharp.png", "--overwrite", "--seed", "3") == 0
        )
    assert targets[0].read_bytes() == targets[1].read_bytes()
    assert read(targets[0]).pixels.shape == (3, 4, 3)
    np.testing.assert_array_equal(read(tmp_path / "sharp.png").pixels, read(photo).pixels)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.png", "-o", "new.png"), "missing.png cannot be read as a picture"),
        (("photo.png", "-o", "new.png", "--recipe", "foto"), "unknown degradation recipe 'foto'"),
        (("photo.png", "-o", "photo.png"), "photo.png exists; give --overwrite"),
        (("photo.png", "-o", "new.png", "--sharp", "photo.png"), "photo.png exists; give --overwrite"),
        (("photo.png", "-o", "new.txt"), "new.txt"),
        (("photo.png", "-o", "new.png", "--sharp", "new.txt"), "new.txt"),
    ],
)
def test_degrade_tells_mistakes_and_writes_nothing(
    cnlrn: Command, photo: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(photo.parent)
    assert cnlrn("degrade", *arguments) == 2
    assert words in cnlrn.err
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]
