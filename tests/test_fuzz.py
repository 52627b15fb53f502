import re
import subprocess
import sys
from pathlib import Path

import fuzz
from tiny_model import write_tiny_model


def run(files: dict[str, bytes], folder: Path) -> dict[str, str]:
    """What `fuzz.py` says of each file."""
    model = write_tiny_model(folder / "tiny.onnx")
    work = folder / "files"
    (work / "results").mkdir(parents=True)
    for name, content in files.items():
        (work / name).write_bytes(content)
    command = [sys.executable, fuzz.__file__, work, model]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"exit {done.returncode} at {lines[-1:]}: {done.stderr[-2000:]}"
    assert done.stderr == ""
    said = dict(line.split(" ", 1) for line in lines)
    restored = {f"{name}.png" for name, what in said.items() if what.startswith("restored")}
    assert {path.name for path in (work / "results").iterdir()} == restored
    assert {path.name for path in work.iterdir()} == {*files, "results"}
    return said


def test_damaged_files_give_a_result_or_one_clear_line(tmp_path: Path) -> None:
    files = dict(fuzz.corpus())
    assert len(files) >= 500
    said = run(files, tmp_path)
    assert said.keys() == files.keys()
    for name, what in said.items():
        message = re.fullmatch(r"refused '(.*)'|refused \"(.*)\"|restored .*", what)
        assert message, f"{name}: {what}"
        if what.startswith("refused"):
            assert f"/{name} " in what
            assert "\\n" not in what
    assert sum(what.startswith("restored") for what in said.values()) > 100, "the damage is too coarse"


def test_the_files_that_are_damaged_are_valid(tmp_path: Path) -> None:
    assert {what.split()[0] for what in run(fuzz.seeds(), tmp_path).values()} == {"restored"}


def test_the_corpus_is_the_same_every_time_and_holds_every_format() -> None:
    files = dict(fuzz.corpus())
    assert files == dict(fuzz.corpus())
    assert {name.rpartition(".")[2] for name in files} == {"png", "jpg", "webp", "tif", "avif", "heic", "bmp", "gif"}
    assert len(set(files.values())) == len(files)
