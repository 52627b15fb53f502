"""The command as a process: its signals, its standard streams, and what it leaves when it is killed."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_tiny_model

from cnlrn import images
from cnlrn.images import Picture, read

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and streams of POSIX")

ENDS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
PATIENCE = 60  # seconds; only a failure waits for so long


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    photo = tmp_path / "work" / "photo.png"
    images.write(Picture(np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)), photo)
    return photo


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_tiny_model(tmp_path / "tiny.onnx"))


def start(*arguments: object, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """`cnlrn` with these arguments; it heeds SIGINT even where the tests run in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "cnlrn", *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait until something is so while `process` runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def is_heeding(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has taken over the signals (Linux)."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
@pytest.mark.parametrize(("number", "code"), ENDS)
@pytest.mark.parametrize("delay", [0, 0.03, 0.1, 0.2, 0.3])
def test_a_signal_while_libraries_are_imported_ends_the_run_without_a_word(
    photo: Path, model: str, number: signal.Signals, code: int, delay: float
) -> None:
    process = start(photo, "--model", model, "--scale", 9, "--tile", 4)
    wait_for(lambda: is_heeding(process), process)
    time.sleep(delay)
    process.send_signal(number)
    said, errors = process.communicate(timeout=PATIENCE)
    done = photo.with_name("photo_x9.png")  # where the signal came too late
    assert (errors, process.returncode in ((0, code) if done.exists() else (code,))) == (b"", True)
    assert not said or done.exists()
    assert {path.name for path in photo.parent.iterdir()} <= {"photo.png", done.name}


@pytest.mark.parametrize("module", ["cnlrn.errors", "cnlrn.models", "cnlrn.cli.interruption", "threading"])
def test_a_signal_before_anything_is_imported_ends_the_command_without_a_word_and_is_the_program_s_elsewhere(
    tmp_path: Path, module: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r} and 'cnlrn' in sys.modules:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.modules.pop({module!r}, None)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path}
    command = [sys.executable, "-m", "cnlrn", "--version"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
    command = [sys.executable, "-c", "import cnlrn, signal; print(signal.getsignal(2))"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=PATIENCE)
    assert b"KeyboardInterrupt" in done.stderr or b"default_int_handler" in done.stdout


@linux
def test_a_signal_at_the_very_end_is_either_heard_or_comes_too_late(tmp_path: Path) -> None:
    """Once the help is out, the process is about to end."""
    for number, code in ENDS:
        process = start("--help")
        assert process.stdout is not None
        said = os.read(process.stdout.fileno(), 10)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
        assert (said, errors, process.returncode in (0, code)) == (b"Usage: cnl", b"", True)


@linux
@pytest.mark.parametrize(("number", "code"), ENDS)
def test_a_reader_that_waits_for_ever_ends_by_the_first_signal(
    photo: Path, model: str, number: signal.Signals, code: int
) -> None:
    pipe = photo.with_name("pipe.png")
    os.mkfifo(pipe)
    for arguments in ([pipe], [pipe, photo], [pipe, "-o", "-"], ["-"]):
        process = start("restore", *arguments, "--model", model, stdin=subprocess.PIPE)
        # it sleeps at the pipe, or soon will
        wait_for(lambda process=process: is_heeding(process), process)
        time.sleep(1)
        process.send_signal(number)
        began = time.monotonic()
        assert (process.wait(PATIENCE), process.stderr and process.stderr.read()) == (code, b"")
        assert time.monotonic() - began < 10  # two seconds, where nothing else runs
        process.communicate()


DECODER_THAT_HANGS = """
import ctypes, pathlib, sys
from cnlrn import __main__
from cnlrn.images.codecs import png

def open_file(file):
    lock = ctypes.create_string_buffer(256)
    pathlib.Path(sys.argv[-1] + ".began").touch()
    while True:  # the second call never comes back, whatever signals there are
        ctypes.CDLL(None).pthread_mutex_lock(lock)

png.open_file = open_file
__main__.main()
"""


@linux
@pytest.mark.parametrize(("number", "code"), ENDS)
def test_a_decoder_that_never_comes_back_ends_by_the_first_signal(
    photo: Path, model: str, number: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DECODER_THAT_HANGS, "restore", "--model", model, photo],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(Path(f"{photo}.began").exists, process)
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE) == (b"", b"")
    assert process.returncode == code
    assert {path.name for path in photo.parent.iterdir()} == {"photo.png", "photo.png.began"}


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A picture whose result waits on disk, and takes a while to be written."""
    (tmp_path / "large").mkdir()
    pixels = np.random.default_rng(0).integers(0, 65536, (100, 120, 3), np.uint16)
    images.write(Picture(pixels), tmp_path / "large" / "large.png")
    return tmp_path / "large" / "large.png"


def temporaries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".cnlrn-"))


@pytest.mark.parametrize(("number", "code"), ENDS)
@pytest.mark.parametrize("signals", [1, 2])
def test_signals_while_a_large_result_is_written_leave_nothing(
    large: Path, model: str, number: signal.Signals, code: int, signals: int
) -> None:
    process = start(large, "--model", model, "--scale", 50, "--format", "png")
    wait_for(lambda: temporaries(large.parent), process)
    for _ in range(signals):
        process.send_signal(number)
        time.sleep(0.05)
    assert (process.communicate(timeout=PATIENCE), process.returncode) == ((b"", b""), code)
    assert [path.name for path in large.parent.iterdir()] == ["large.png"]


def test_what_a_killed_run_leaves_is_removed_by_the_next(large: Path, model: str) -> None:
    killed = start(large, "--model", model, "--scale", 50, "--format", "png")
    wait_for(lambda: temporaries(large.parent), killed)
    killed.kill()
    killed.communicate()
    assert temporaries(large.parent)
    run = start(large, "--model", model)
    run.communicate(timeout=PATIENCE)
    assert run.returncode == 0
    assert {path.name for path in large.parent.iterdir()} == {"large.png", "large_x4.png"}


@pytest.mark.parametrize("closed", [c for n in (1, 2, 3) for c in itertools.combinations((0, 1, 2), n)])
def test_a_file_is_restored_whatever_streams_are_closed(photo: Path, model: str, closed: tuple[int, ...]) -> None:
    redirects = " ".join({0: "<&-", 1: ">&-", 2: "2>&-"}[number] for number in closed)
    command = f'exec "$0" -m cnlrn restore "$1" --model "$2" {redirects}'
    run = subprocess.run(["bash", "-c", command, sys.executable, photo, model], capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
    assert bool(run.stdout) == (1 not in closed)
    assert read(photo.with_name("photo_x4.png")).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("redirects", ["2>&-", "2>/dev/full"])
def test_no_message_is_in_a_result_where_stderr_is_closed(photo: Path, model: str, redirects: str) -> None:
    command = f'exec "$0" -m cnlrn restore "$1" -o - --model "$2" {redirects}'
    run = subprocess.run(["bash", "-c", command, sys.executable, photo, model], capture_output=True)
    assert (run.returncode, read(run.stdout).pixels.shape) == (0, (48, 64, 3))
    photo.write_bytes(photo.read_bytes()[:80])
    run = subprocess.run(["bash", "-c", command, sys.executable, photo, model], capture_output=True)
    assert (run.returncode, run.stdout) == (2, b"")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("restore - --model {model} <&-", "- reads a picture from stdin, which is closed"),
        ("restore {photo} -o - --model {model} >&-", "stdout is closed"),
        ("restore - --model {model} <{photo} >&-", "stdout is closed"),
        ("restore {photo} --json --model {model} >&-", "--json prints to stdout, which is closed"),
    ],
)
def test_a_stream_that_is_needed_and_closed_is_told_of(photo: Path, model: str, arguments: str, reason: str) -> None:
    command = f"{sys.executable} -m cnlrn {arguments.format(photo=photo, model=model)}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    assert reason in run.stderr
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]
