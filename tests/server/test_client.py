"""`cnlrn restore --server`: the command, with a server that computes."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from serving import png

import cnlrn
from cnlrn.cli import app
from cnlrn.images import read
from cnlrn.server.app import Application
from cnlrn.server.settings import Settings

TOKEN = "a token of this test"


@pytest.fixture
def server(model: str, folder: Path) -> Iterator[str]:
    """The address of a server."""
    listening = socket.create_server(("127.0.0.1", 0))
    application = Application(Settings(model=model, folder=folder, token=TOKEN, max_pixels=1000))
    server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join(60)
    listening.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:  # type: ignore[override]
    (tmp_path / "photo.png").write_bytes(png())
    return tmp_path / "photo.png"


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `cnlrn` and returns exit code, stdout and stderr."""
    monkeypatch.setenv("CNLRN_TOKEN", TOKEN)

    def run(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cnlrn", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            app.main()
        return (int(caught.value.code or 0), *capfd.readouterr())

    return run


def test_the_result_is_that_of_this_machine(command: Command, server: str, photo: Path, model: str) -> None:
    code, out, err = command("restore", photo, "--server", server)
    assert (code, err) == (0, "")
    target = photo.with_name("photo_x4.png")
    assert out.startswith(f"{target}: 16x12 -> 64x48 in ")
    assert target.read_bytes() == cnlrn.restore(photo.read_bytes(), model=model)


def test_size_format_and_strength_go_along(command: Command, server: str, photo: Path, model: str) -> None:
    target = photo.with_name("small.tif")
    assert command(photo, "--server", server, "--width", 20, "--strength", 0.5, "-o", target)[0] == 0
    expected = cnlrn.restore(photo.read_bytes(), model=model, width=20, strength=0.5, format="tif")
    np.testing.assert_array_equal(read(target).pixels, read(expected).pixels)


def test_a_folder_is_restored_and_what_is_there_is_skipped(command: Command, server: str, photo: Path) -> None:
    (photo.parent / "bad.png").write_bytes(b"no picture")
    (photo.parent / "large.png").write_bytes(png(50, 40))
    results = photo.parent / "results"
    code, out, _ = command(photo.parent, "-o", results, "--server", server, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert {Path(row["source"]).name: (row["status"], row["error"]) for row in rows[:-1]} == {
        "bad.png": ("failed", "UnreadablePicture"),
        "large.png": ("failed", "TooLarge"),
        "photo.png": ("done", None),
    }
    assert str(photo.parent / "large.png") in next(row["reason"] for row in rows if "large" in row.get("source", ""))
    assert rows[-1]["done"] == 1
    assert command(photo.parent, "-o", results, "--server", server, "--json")[1].count('"skipped"') == 2


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["--server", "localhost"], {}, "--server takes a URL such as http://127.0.0.1:8765/, not 'localhost'"),
        (["--server", "http://127.0.0.1:1"], {}, "no server answers at http://127.0.0.1:1 (Connection refused)"),
        (["--server", "{server}"], {"CNLRN_TOKEN": "wrong"}, "this server asks for its token"),
        (["--server", "{server}", "--model", "cnlrn-m"], {}, "the server has no model 'cnlrn-m'; did you mean"),
        (["--server", "{server}", "--tile", "64"], {}, "--server computes elsewhere: leave out"),
        (["--server", "{server}docs"], {}, "Not Found"),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence(
    command: Command,
    server: str,
    photo: Path,
    arguments: list[str],
    environment: dict[str, str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code, out, err = command(photo, *(text.format(server=server) for text in arguments))
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert list(photo.parent.glob("photo_*")) == []


def test_the_server_keeps_nothing(command: Command, server: str, photo: Path, folder: Path) -> None:
    command(photo, "--server", server)
    assert list(folder.iterdir()) == []
