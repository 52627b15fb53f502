import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import write_tiny_model

from cnlrn import images
from cnlrn.cli import app
from cnlrn.images import Picture, read
from cnlrn.restoration.blur import Blur, BlurEstimator


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    images.write(Picture(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)), tmp_path / "photo.png")
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
            app.main()
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
    options = ("--scale", "2", "--tile", "8", "--threads", "1", "--device", "cpu", "--max-pixels", "192", "--strip")
    assert cnlrn("restore", photo, "-o", target, "--model", model, "--ensemble", *options) == 0
    np.testing.assert_array_equal(read(target).pixels, read(photo).pixels.repeat(2, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize(
    ("options", "name", "width"),
    [
        (("--scale", "3"), "photo_x3.png", 48),
        (("--scale", "0.5"), "photo_x0.5.png", 8),
        (("--width", "100"), "photo_w100.png", 100),
        (("--height", "24"), "photo_h24.png", 32),
        (("--width", "7", "--height", "9"), "photo_7x9.png", 7),
        (("--format", "WebP", "--name", "{stem}-{ext}"), "photo-png.webp", 64),
    ],
)
def test_restore_gives_the_size_name_and_format_that_were_asked_for(
    cnlrn: Command, photo: Path, model: str, options: tuple[str, ...], name: str, width: int
) -> None:
    assert cnlrn("restore", photo, "--model", model, *options) == 0
    assert read(photo.with_name(name)).pixels.shape[1] == width


def test_a_result_that_exists_is_skipped_without_a_word_of_failure(cnlrn: Command, photo: Path, model: str) -> None:
    assert cnlrn("restore", photo, "--model", model) == 0
    target = photo.with_name("photo_x4.png")
    target.write_bytes(b"kept")
    assert cnlrn("restore", photo, "--model", model) == 0
    assert cnlrn.out == f"{target}: skipped, it exists; --overwrite replaces it\n"
    assert target.read_bytes() == b"kept"
    assert cnlrn("restore", photo, "--model", model, "--overwrite") == 0
    assert read(target).pixels.shape == (48, 64, 3)


def test_many_pictures_end_in_a_summary(cnlrn: Command, photo: Path, model: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cnlrn("restore", photo, "-o", f"{out}/", "--model", model) == 0
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "other.png").write_bytes(photo.read_bytes())
    assert cnlrn("restore", tmp_path, "-o", out, "--model", model) == 1
    summary = r"1 restored, 1 skipped \(already there\), 1 failed, 1 other files ignored, in \d+\.\d s\n"
    assert re.fullmatch(summary, cnlrn.out)
    assert cnlrn.err == f"cnlrn: {tmp_path / 'empty.jpg'} is empty\n"
    (tmp_path / "empty.jpg").unlink()
    assert cnlrn("restore", tmp_path, "-o", out, "--model", model) == 0
    assert cnlrn("restore", tmp_path / "none.png", tmp_path / "empty.jpg", "--model", model) == 1
    assert cnlrn.err.count("\n") == 2


def test_json_has_a_line_a_picture_and_one_of_totals(cnlrn: Command, photo: Path, model: str) -> None:
    assert cnlrn("restore", photo, "none.png", "--model", model, "--json") == 1
    done, failed, totals = map(json.loads, cnlrn.out.splitlines())
    assert (done["source"], done["target"], done["status"]) == (str(photo), str(photo)[:-4] + "_x4.png", "done")
    assert (done["before"], done["after"], done["reason"]) == ([16, 12], [64, 48], None)
    assert (failed["status"], failed["reason"]) == ("failed", "none.png does not exist")
    assert totals.pop("seconds") > 0
    assert totals == {"done": 1, "skipped": 0, "failed": 1, "ignored": 0}
    assert cnlrn.err == ""


def run(arguments: list[str | Path], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "cnlrn", *arguments], capture_output=True, **options)


def test_a_picture_goes_from_stdin_to_stdout(photo: Path, model: str, tmp_path: Path) -> None:
    done = run(["restore", "-", "--format", "tif", "--scale", "2", "--model", model], input=photo.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    np.testing.assert_array_equal(read(done.stdout).pixels, read(photo).pixels.repeat(2, axis=0).repeat(2, axis=1))
    done = run(["restore", photo, "-o", "-", "--model", model])
    assert done.stdout.startswith(b"\x89PNG")
    done = run(["restore", "-", "-o", tmp_path / "sharp.jpg", "--model", model], input=photo.read_bytes())
    assert (done.returncode, done.stdout) == (0, b"")
    assert read(tmp_path / "sharp.jpg").pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("arguments", "stdin", "reason"),
    [
        (["-"], b"", b"the picture is empty"),
        (["-"], b"not a picture", b"the picture is not a PNG"),
        (["-", "photo.png"], b"", b"- stands for one picture, alone and without --json"),
        (["-", "--json"], b"", b"- stands for one picture"),
        (["-", "--format", "gif"], b"", b"pictures are written as .png"),
        (["-", "-o", "photo.png"], b"", b"photo.png exists"),
        (["none.png", "-o", "-"], b"", b"none.png does not exist"),
    ],
)
def test_misuse_of_streams_is_one_line_and_exit_2(
    photo: Path, model: str, arguments: list[str], stdin: bytes, reason: bytes
) -> None:
    done = run(["restore", *arguments, "--model", model], input=stdin, cwd=photo.parent)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert reason in done.stderr


def test_a_reader_of_stdout_that_has_gone_is_told_of(photo: Path, model: str) -> None:
    command = f"set -o pipefail; {sys.executable} -m cnlrn restore {photo} -o - --scale 99 --model {model} | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "cnlrn: cannot write to stdout (Broken pipe)\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", ["models", "--help", "restore {photo} {photo} --json --model {model}"])
def test_a_full_stdout_is_told_of(photo: Path, model: str, command: str) -> None:
    words = command.format(photo=photo, model=model).split()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-m", "cnlrn", *words], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "cnlrn: cannot write to stdout (No space left on device)\n")


def test_a_name_that_stdout_lacks_the_letters_of_is_printed_by_its_codes(photo: Path, model: str) -> None:
    odd = photo.rename(photo.with_name("日本.png"))
    command = [sys.executable, "-m", "cnlrn", "restore", str(odd), "--model", model]
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u65e5\\u672c_x4.png: 16x12 -> 64x48" in done.stdout


def test_closed_streams_are_told_of(photo: Path, model: str) -> None:
    command = f"{sys.executable} -m cnlrn restore --model {model}"
    for rest, reason in (("- <&-", "stdin"), (f"{photo} -o - >&-", "stdout"), (f"- < {photo} >&-", "stdout")):
        done = subprocess.run(["bash", "-c", f"{command} {rest}"], stderr=subprocess.PIPE, text=True)
        assert (done.returncode, reason in done.stderr, done.stderr.count("\n")) == (2, True, 1)


def test_a_pattern_of_one_file_goes_to_stdout(photo: Path, model: str) -> None:
    command = [sys.executable, "-m", "cnlrn", "restore", str(photo.with_name("pho*")), "-o", "-", "--model", model]
    done = subprocess.run(command, capture_output=True, check=True)
    assert images.read(done.stdout).pixels.shape == (48, 64, 3)


def on_terminal(*arguments: str | Path) -> bytes:
    """What `cnlrn` with these arguments, which has to end well, shows on a terminal."""
    pty = pytest.importorskip("pty", reason="there is no pseudo-terminal")
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "cnlrn", *map(str, arguments)])
    shown = bytearray()
    with contextlib.suppress(OSError):  # the other end is closed
        while data := os.read(descriptor, 1024):
            shown += data
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    return bytes(shown)


def test_a_bar_on_a_terminal_tells_how_far_and_how_fast(photo: Path, model: str, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes())
    shown = on_terminal(photo, other, "-o", tmp_path / "out", "--model", model)
    assert b"2 of 2 done, " in shown
    assert b"a second" in shown
    assert b"2 restored" in shown


def test_the_bar_of_a_single_picture_shows_the_part_that_is_done(photo: Path, model: str) -> None:
    shown = on_terminal(photo, "--model", model)
    assert b"photo.png" in shown
    assert b"100%" in shown
    assert b" done" not in shown


def test_the_bar_of_a_folder_does_not_search_it_before_the_first_picture(photo: Path, model: str) -> None:
    shown = on_terminal(photo.parent, "--model", model)
    assert b"1 done, " in shown
    assert b" of " not in shown


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_leaves_whole_files_only_and_can_go_on(
    tmp_path: Path, model: str, number: signal.Signals, code: int
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    for name in range(30):
        images.write(Picture(pixels), photos / f"{name:02}.jpg")
    command = [sys.executable, "-m", "cnlrn", "restore", photos, "-o", out, "--model", model]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background may ignore it
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heed) as process:
        while not list(out.glob("*_x4.jpg")):
            assert process.poll() is None
        process.send_signal(number)
        said = process.communicate()
    assert (process.returncode, said) == (code, (b"", b""))
    left = sorted(path.name for path in out.iterdir())
    assert 0 < len(left) < 30
    assert all(name.endswith("_x4.jpg") and read(out / name).pixels.shape == (1200, 1600, 3) for name in left)


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
        (["restore"], "Missing argument 'PICTURES...'"),
        (["restore", "photo.png", "--scale", "0"], "scale must be more than 0"),
        (["restore", "photo.png", "--width", "-3"], "width must be more than 0"),
        (["restore", "photo.png", "--scale", "2", "--width", "9"], "either a scale or a width"),
        (["restore", "photo.png", "--scale", "1e5"], "more than 16 times the limit"),
        (["restore", "photo.png", "--max-pixels", "100"], "more than the limit of 100"),
        (["restore", "photo.png", "--device", "tpu"], "there is no device 'tpu'"),
        (["restore", "photo.png", "--format", "gif"], "pictures are written as"),
        (["restore", "photo.png", "--name", "{x}"], "'{x}' cannot name the results"),
        (["restore", "none*.png"], "no file matches none*.png"),
        (["restore", "photo.png", "tiny.onnx", "-o", "sharp.png"], "several pictures need a folder"),
        (["restore", "photo.png", "--scale", "big"], "--scale"),
        (["restore", "photo.png", "--tile", "0"], "--tile"),
        (["restore", "photo.png", "--threads", "0"], "--threads"),
        (["restore", "photo.png", "--scael", "2"], "--scael"),
        (["restore", "photo.png", "--model", "esrgan"], "no model 'esrgan'"),
        (["restore", "photo.png", "--model", "none.onnx"], "none.onnx cannot be read"),
        (["restore", "none.png"], "none.png does not exist"),
        (["restore", "void"], "no pictures there"),
        (["restore", "photo.png", "-o", "sharp.xyz"], "sharp.xyz"),
        (
            ["restore", "photo.png", "-o", "sharp.png", "--format", "webp"],
            "--format webp is not what the name sharp.png",
        ),
        (["restore", "photo.png", "--format", "gif"], "written as .png, .jpg"),
        (["restore", "photo.png", "-o", "x" * 300 + ".png"], "File name too long"),
        (["restore", "", "-o", "void"], "is empty"),
        (["restore", "*o.p*", "t*", "-o", "-"], "- stands for one picture"),
        (["restore", "*.*", "-o", "-"], "matches 2 files; - stands for one picture"),
        (["restore", "-", "-o", "void"], "void is a folder"),
        (["restore", "photo.png", "-o", "photo.png/sharp.png"], "photo.png is no folder"),
        (["restor", "photo.png"], "No such command 'restor'"),
        (["--scale"], "--scale"),
        (["sheet", "photo.png", "-o", "sheet.png"], "a sheet needs pairs of files"),
    ],
)
def test_misuse_is_one_line_and_exit_2(
    cnlrn: Command, photo: Path, model: str, arguments: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    Path("void").mkdir()
    if arguments[0] == "restore" and "--model" not in arguments:
        arguments = [*arguments, "--model", model]
    assert cnlrn(*arguments) == 2
    assert cnlrn.out == ""
    assert cnlrn.err.startswith("cnlrn: ")
    assert reason in cnlrn.err
    assert cnlrn.err.count("\n") == 1
    assert {path.name for path in photo.parent.rglob("*")} == {"photo.png", "tiny.onnx", "void"}


def test_models_are_listed(cnlrn: Command) -> None:
    from cnlrn.models import models

    assert cnlrn("models") == 0
    assert [line.partition(":")[0] for line in cnlrn.out.splitlines()] == [card.name for card in models()]


def test_networks_are_listed_with_their_size(cnlrn: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnlrn import networks

    presets = networks.presets()
    monkeypatch.setattr(networks, "presets", lambda: {name: presets[name] for name in ("cnlrn-deblur", "srcnn")})
    assert cnlrn("networks") == 0
    assert [line.split() for line in cnlrn.out.splitlines()] == [
        ["cnlrn-deblur", "x1", "73,095,427", "parameters", "6,702.5", "kMAC"],
        ["srcnn", "x4", "8,129", "parameters", "129.7", "kMAC"],
    ]


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
        "import sys, atexit, cnlrn.cli.app; sys.argv = ['cnlrn', '--help'];"
        "slow = {'numpy', 'onnxruntime', 'pyvips', 'torch', 'cv2', 'rich.traceback', 'importlib.metadata'};"
        "atexit.register(lambda: print('loaded', slow & set(sys.modules)));"
        "cnlrn.cli.app.main()"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("loaded set()\n")


def test_restore_loads_no_training_library(photo: Path, model: str) -> None:
    script = (
        "import sys, atexit, cnlrn.cli.app; sys.argv = ['cnlrn', 'restore', *sys.argv[1:]];"
        "slow = {'torch', 'cv2', 'onnx', 'PIL', 'lightning_fabric', 'skimage'};"
        "atexit.register(lambda: print('loaded', slow & set(sys.modules)));"
        "cnlrn.cli.app.main()"
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
    from cnlrn.restoration import sheet

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
        (("missing.png", "-o", "new.png"), "missing.png does not exist"),
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


@pytest.mark.parametrize(
    "arguments",
    [
        ("photo.png",),
        ("--scale", "4", "photo.png"),
        ("-o", "photo_x4.png", "photo.png"),
        ("./photo.png", "--scale", "4"),
        ("*.png",),
        ("'photo.png'",),
        ("--", "photo.png"),
    ],
)
def test_a_picture_alone_is_restored(
    cnlrn: Command, photo: Path, model: str, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(photo.parent)
    options = ("--model", model) if "--" not in arguments else ()
    assert cnlrn(*options, *arguments) == 0
    assert read(photo.with_name("photo_x4.png")).pixels.shape == (48, 64, 3)


def test_folders_and_several_pictures_alone_are_restored(cnlrn: Command, photo: Path, model: str) -> None:
    other = photo.with_name("other.png")
    other.write_bytes(photo.read_bytes())
    assert cnlrn(photo, other, "--model", model) == 0
    assert cnlrn.out.startswith("2 restored")
    assert cnlrn(photo.parent, "--model", model) == 0
    assert cnlrn.out.startswith("2 restored, 0 skipped (already there), 2 left out (results themselves, such as ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("photo",), "No such command 'photo', and no such file; `cnlrn -h` lists the commands"),
        (("restor",), "did you mean restore?"),
        (("none.png",), "none.png does not exist"),
        (("none/",), "none does not exist"),
        (("none", "-o", "out"), "No such command 'none', and no such file"),
        (("restore", "none", "-o", "out"), "cnlrn: none does not exist"),
        (("https://a.example/b.jpg",), "https://a.example/b.jpg is an address, not a file"),
        (("photo.png", "-o", "https://a.example/"), "https://a.example/ is an address, not a file"),
        (("photo.png", "-", "--compare"), "- stands for one picture"),
        (("photo.png", "-o", "-", "--compare"), "- stands for one picture"),
    ],
)
def test_what_stands_for_no_picture_is_told_in_a_line(
    cnlrn: Command, photo: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(photo.parent)
    assert cnlrn(*arguments) == 2
    assert (cnlrn.out, cnlrn.err.count("\n"), cnlrn.err[:7]) == ("", 1, "cnlrn: ")
    assert reason in cnlrn.err


def test_help_has_a_short_option_and_is_not_cut(cnlrn: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cnlrn("-h") == 0
    assert "`cnlrn photo.jpg` is short for `cnlrn restore photo.jpg`" in cnlrn.out
    commands = re.findall(r"^  (\w+)  ", cnlrn.out.partition("Commands:")[2], re.MULTILINE)
    assert {"restore", "sheet", "train", "export"} <= set(commands)
    for command in ("", *commands):
        assert cnlrn(*command.split(), "-h") == 0
        assert "..." not in cnlrn.out.replace("[ARGS]...", "").replace("PICTURES...", "")


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".webp", ".tif", ".avif", ".png"])
def test_a_result_has_the_format_of_its_source(cnlrn: Command, photo: Path, model: str, suffix: str) -> None:
    source = photo.with_name(f"of{suffix}")
    images.write(read(photo), source)
    assert cnlrn(source, "--model", model) == 0
    target = source.with_name(f"of_x4{suffix}")
    assert target.read_bytes()[:3] == source.read_bytes()[:3]
    assert cnlrn(source, "--model", model, "--format", "png", "--name", "other") == 0
    assert photo.with_name("other.png").read_bytes().startswith(b"\x89PNG")
    done = run(["restore", "-", "--model", model], input=source.read_bytes())
    assert done.stdout[:3] == source.read_bytes()[:3]


def test_compare_writes_a_sheet_beside_the_result_and_says_so(cnlrn: Command, photo: Path, model: str) -> None:
    assert cnlrn(photo, "--compare", "--model", model, "-o", photo.with_name("sharp.webp")) == 0
    sheet = photo.with_name("sharp_compare.png")
    assert cnlrn.out.splitlines()[1] == f"{sheet}: before and after"
    assert read(sheet).pixels.shape[1] == 2 * 64 + 3 * 16
    assert cnlrn(photo, "--compare", "--model", model, "-o", photo.with_name("sharp.webp"), "--overwrite") == 0


def test_names_reach_the_terminal_without_control_characters(
    cnlrn: Command, photo: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    odd = "a\x1b[31m\x07\u202egpj.png"
    photo.rename(odd)
    shown = "a\\x1b[31m\\x07\\u202egpj"
    assert cnlrn(odd, "--model", model) == 0
    assert cnlrn.out.startswith(f"{shown}_x4.png: 16x12")
    assert cnlrn(odd, "--model", model) == 0
    assert cnlrn.out.startswith(f"{shown}_x4.png: skipped")
    Path(odd).write_bytes(b"")
    assert cnlrn(odd, "--model", model, "--overwrite") == 2
    assert cnlrn.err == f"cnlrn: {shown}.png is empty\n"
    for arguments in (("restore", "none" + odd), ("degrade", odd, "-o", "x.png"), ("sheet", odd), ("\x1b[2J",)):
        assert cnlrn(*arguments) == 2
        assert not set(cnlrn.out + cnlrn.err) & set("\x1b\x07\u202e")


def test_a_folder_alone_that_cannot_be_read_is_a_mistake(
    cnlrn: Command, photo: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert cnlrn(photo.parent, "--model", model) == 2
    assert f"the folder {photo.parent} cannot be read (Permission denied)" in cnlrn.err


def test_an_error_of_the_system_is_not_taken_for_one_of_stdout(
    cnlrn: Command, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: Exception) -> None:
        raise error

    for error, words in (
        (OSError(28, "No space left on device"), "the system refuses: No space left on device"),
        (OSError(28, "No space left on device", "/a\x1b"), "No space left on device (/a\\x1b)"),
        (MemoryError(), "there is not enough memory"),
        (ValueError("odd"), "failed unexpectedly (ValueError: odd)"),
    ):
        monkeypatch.setattr(sys.modules["cnlrn.models"], "models", partial(fail, error))
        assert cnlrn("models") == 2
        assert words in cnlrn.err
        assert cnlrn.err.count("\n") == 1
        assert "stdout" not in cnlrn.err


def test_restore_makes_the_folder_of_its_result_and_leaves_none_where_it_fails(
    cnlrn: Command, photo: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    photo.with_name("damaged.png").write_bytes(photo.read_bytes()[:-60])
    for arguments in (("damaged.png",), ("photo.png", "--width", 200_000, "--height", 1)):
        assert cnlrn("restore", *arguments, "-o", "new/deep/sharp.jpg", "--model", model) == 2
        assert not Path("new").exists()
    assert cnlrn("restore", "photo.png", "-o", "new/deep/sharp.jpg", "--model", model) == 0
    assert [path.name for path in Path("new/deep").iterdir()] == ["sharp.jpg"]
    assert run(["restore", "-", "-o", "other/sharp.png", "--model", model], input=photo.read_bytes()).returncode == 0
    assert Path("other/sharp.png").exists()


def test_degrade_makes_the_folders_that_its_results_need(
    cnlrn: Command, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    assert cnlrn("degrade", photo, "-o", "new/lr/", "--sharp", "new/hr/sharp.webp") == 0
    assert read("new/lr/photo.png").pixels.shape == (3, 4, 3)
    assert read("new/hr/sharp.webp").pixels.shape == (12, 16, 3)
    assert cnlrn("degrade", photo, "-o", "new/lr") == 2
    assert "new/lr/photo.png exists" in cnlrn.err


def test_degrade_refuses_pictures_that_would_take_too_much_memory(cnlrn: Command, photo: Path, tmp_path: Path) -> None:
    images.write(Picture(np.zeros((5100, 5000, 1), np.uint8)), tmp_path / "large.png")
    assert cnlrn("degrade", tmp_path / "large.png", "-o", tmp_path / "new.png") == 2
    assert "5000x5100 pixels, more than the limit of 25000000" in cnlrn.err
    assert cnlrn("degrade", photo, "-o", tmp_path / "new.png", "--max-pixels", 100) == 2
    assert "16x12 pixels, more than the limit of 100" in cnlrn.err
    assert "(--max-pixels)" in cnlrn.err
    assert cnlrn("degrade", photo, "-o", tmp_path / "new.png", "--max-pixels", 192) == 0


def test_more_on_stdin_than_a_picture_may_have_is_refused(
    photo: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("/dev/zero").open("rb") as endless:
        done = run(["restore", "-", "--model", model], stdin=endless)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"the picture has more than 1074 MB, the limit for a picture file" in done.stderr


def test_a_damaged_picture_is_refused_or_what_can_be_read_of_it_is_kept(photo: Path, model: str) -> None:
    damaged = photo.with_name("damaged.png")
    damaged.write_bytes(photo.read_bytes()[:-60])
    refused = run(["restore", str(damaged), "--model", model, "-o", str(photo.with_name("out.png"))])
    assert (refused.returncode, photo.with_name("out.png").exists()) == (2, False)
    assert b"damaged.png is damaged or cut short" in refused.stderr
    kept = run(["restore", str(damaged), "--model", model, "-o", str(photo.with_name("out.png")), "--damaged", "keep"])
    assert (kept.returncode, photo.with_name("out.png").exists()) == (1, True)
    assert b"what can be read of it is kept" in kept.stderr


def test_inspect_tells_of_each_picture_and_of_what_cannot_be_read(photo: Path) -> None:
    done = run(["inspect", str(photo), str(photo.with_name("none.png"))])
    assert done.returncode == 2
    assert done.stdout.decode().startswith(f"{photo}: ")
    assert b"none.png does not exist" in done.stderr
    told = json.loads(run(["inspect", str(photo), "--json"]).stdout)
    blur = {"kind", "extent", "direction", "noise", "jpeg_quality", "certainty"}
    plan = {"action", "model", "result_width", "result_height", "working_scale", "seconds", "memory"}
    assert {"file", "width", "height"} | blur | plan == set(told)


def test_restore_says_what_was_done_at_the_picture_s_own_size(
    cnlrn: Command, photo: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharp, shaken = Blur("sharp", 0, None, 0, None, 0.99), Blur("shake", 20.3, None, 0, None, 0.99)
    for blur, words in (
        (sharp, "sharp already and left as it is (--force deblurs it)"),
        (shaken, "deblurred at its size (shake of about 20 pixels)"),
    ):
        monkeypatch.setattr(BlurEstimator, "estimate_picture", lambda *_, blur=blur: blur)
        assert cnlrn("restore", photo, "--scale", "1", "--overwrite") == 0
        assert re.fullmatch(rf".*photo_x1\.png: 16x12, {re.escape(words)} in [\d.]+ s\n", cnlrn.out)
    images.write(Picture(np.zeros((3000, 3001, 1), np.uint8)), photo)
    assert cnlrn("restore", photo, "--overwrite", "--model", model) == 0
    assert re.search(r"photo_x1\.png: 3001x3000, deblurred at its size in [\d.]+ s; --scale 4 enlarges\n", cnlrn.out)
