"""The server as a process: slow clients, clients that leave, its end, and what a killed one leaves."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import PATIENCE, png, until

from cnlrn.cli import app

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

CODE = """
import sys
from functools import partial
from pathlib import Path
from cnlrn.server import run
from cnlrn.server.settings import Settings
settings = Settings(port=0, model=sys.argv[1], folder=Path(sys.argv[2]), **eval(sys.argv[3]))
run.serve(settings, partial(print, flush=True))
"""


class Process:
    """A running server."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        match = re.search(r"http://127\.0\.0\.1:(\d+)/", line)
        assert match, (line, self.process.communicate())
        self.port = int(match[1])

    def ask(self, method: str, place: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, place, body)
        response = connection.getresponse()
        return response.status, response.read()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


Launch = Callable[..., Process]


@pytest.fixture
def launch(model: str, folder: Path) -> Iterator[Launch]:
    """Starts servers with the settings that it is called with."""
    running = []

    def start(**settings: object) -> Process:
        running.append(Process("-c", CODE, model, str(folder), repr(settings)))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def is_ended(connection: socket.socket) -> bool:
    """Whether the server ends a connection, whatever it says before."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nX",
        b"POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc",
        b"POST /v1/restore HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1000\r\n\r\nabc",
        b"POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
)
def test_connections_that_do_not_get_on_are_ended(launch: Launch, sent: bytes) -> None:
    server = launch(patience=0.5)
    with server.connect() as connection:
        connection.sendall(sent)
        assert is_ended(connection)
    assert server.ask("GET", "/readyz")[0] == 200
    assert server.end() == (0, "")


def test_a_slow_body_is_told_so(launch: Launch) -> None:
    with launch(patience=0.5).connect() as connection:
        connection.sendall(b"POST /v1/restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nabc")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")


def test_what_a_client_that_leaves_has_asked_for_is_not_computed_on(launch: Launch, folder: Path) -> None:
    server = launch(workers=1)
    photo = png(1200, 900)
    head = f"POST /v1/restore?scale=16 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(photo)}\r\n\r\n".encode()
    with server.connect() as connection:
        connection.sendall(head + photo)
        until(lambda: b"cnlrn_pictures_running 1.0" in server.ask("GET", "/metrics")[1])
    until(lambda: b"cnlrn_pictures_running 0.0" in server.ask("GET", "/metrics")[1])
    told = server.ask("GET", "/metrics")[1].decode()
    assert 'route="/v1/restore",status="200"' not in told
    assert list(folder.iterdir()) == []


def test_the_first_signal_lets_what_runs_be_finished_and_fetched(launch: Launch, folder: Path) -> None:
    server = launch(workers=1)
    places = [json.loads(server.ask("POST", "/v1/jobs?scale=4", png(800, 600))[1])["id"] for _ in range(2)]
    running, waiting = (f"/v1/jobs/{place}" for place in places)
    until(lambda: json.loads(server.ask("GET", running)[1])["state"] != "queued")
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.ask("GET", "/readyz")[0] == 503)
    assert server.ask("POST", "/v1/jobs", png())[0] == 503
    assert json.loads(server.ask("GET", waiting)[1])["state"] in ("failed", "done", "running")
    until(lambda: json.loads(server.ask("GET", running)[1])["state"] == "done")
    status, result = server.ask("GET", f"{running}/result")
    assert (status, result[:4]) == (200, b"\x89PNG")
    for place in (running, waiting):
        server.ask("DELETE", place)
    assert server.process.wait(PATIENCE) == 0
    assert list(folder.iterdir()) == []


def test_the_second_signal_ends_it_at_once(launch: Launch, folder: Path) -> None:
    server = launch()
    place = json.loads(server.ask("POST", "/v1/jobs?scale=4", png())[1])["id"]
    until(lambda: json.loads(server.ask("GET", f"/v1/jobs/{place}")[1])["state"] == "done")
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.ask("GET", "/readyz")[0] == 503)
    began = time.monotonic()
    assert server.end()[0] == 0
    assert time.monotonic() - began < 8
    assert list(folder.iterdir()) == []


def test_what_a_killed_server_leaves_is_removed_by_the_next(launch: Launch, folder: Path) -> None:
    killed = launch()
    place = json.loads(killed.ask("POST", "/v1/jobs", png())[1])["id"]
    until(lambda: json.loads(killed.ask("GET", f"/v1/jobs/{place}")[1])["state"] == "done")
    killed.end(signal.SIGKILL)
    assert list(folder.iterdir())
    launch()
    assert list(folder.iterdir()) == []


def test_a_server_for_once_ends_with_its_last_tab(launch: Launch) -> None:
    server = launch(once=True)
    with server.connect() as tab:
        tab.sendall(b"GET /v1/tab HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert tab.recv(100).startswith(b"HTTP/1.1 200")
        assert server.process.poll() is None
    assert server.process.wait(PATIENCE) == 0


def test_the_command_serves(model: str, folder: Path) -> None:
    server = Process("-m", "cnlrn", "serve", "--port", "0", "--model", model, "--folder", str(folder))
    assert server.ask("GET", "/readyz")[0] == 200
    assert server.ask("POST", "/v1/restore", png())[0] == 200
    assert server.end(signal.SIGTERM) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "others can reach the server: give a token"),
        (["--host", "192.0.2.1", "--no-token"], "cannot listen at 192.0.2.1 port 0 (Cannot assign requested address)"),
        (["--host", "no such host", "--no-token"], "cannot listen at no such host"),
        (["--token", "short"], "a token has at least 16"),
        (["--token", "long enough for a token", "--no-token"], "not both"),
        (["--model", "cnlrn-m"], "did you mean cnlrn-s?"),
        (["--folder", "/dev/null/results"], "/dev/null/results cannot be written"),
    ],
)
def test_what_cannot_be_served_is_told_in_a_sentence(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cnlrn", "serve", "--port", "0", *arguments])
    with pytest.raises(SystemExit) as caught:
        app.main()
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
