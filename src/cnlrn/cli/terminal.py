"""What the command prints: lines on stdout, messages on stderr, and a progress bar there.

Every file name goes through `say` or `complain`. They show control characters instead of sending them, because a name
may hold sequences that move the cursor or reverse the direction of writing.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self, TextIO, cast

from cnlrn.errors import CnlrnError

_CODES = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SHOWN = {code: repr(chr(code))[1:-1] for code in _CODES if code != ord("\n")}


def printable(text: str) -> str:
    """`text` with its control characters, except line feeds, written as in Python, such as \\x1b."""
    return text.translate(_SHOWN)


def say(text: str) -> None:
    """Print to stdout, at once. Prints nothing if stdout is closed."""
    print(printable(text), flush=True)


@contextmanager
def told_of_stdout() -> Iterator[None]:
    """Within the context, any failure to write to stdout is a CnlrnError, whoever writes."""
    before = sys.stdout
    if before is not None:
        sys.stdout = cast(TextIO, _Stdout(before))
    try:
        yield
    finally:
        stdout, sys.stdout = sys.stdout, None  # where this fails Python would try it once more at exit
        if stdout is not None:
            stdout.flush()
        sys.stdout = before


@contextmanager
def writing_to_stdout() -> Iterator[None]:
    """Turn a failure to write to stdout into a CnlrnError."""
    try:
        yield
    except OSError as error:
        raise CnlrnError(f"cannot write to stdout ({error.strerror})") from error


class _Stdout:
    """stdout whose failures become CnlrnErrors."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with writing_to_stdout():
            return self._stream.write(text)

    def flush(self) -> None:
        with writing_to_stdout():
            self._stream.flush()


def complain(message: str) -> None:
    """Print a message to stderr, in one line. If stderr cannot be written to, the message is lost."""
    with suppress(OSError, ValueError):
        print(f"cnlrn: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Send what a command logs to stderr."""
    import logging

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def show_cursor() -> None:
    """Show the cursor again, which a progress bar hides."""
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")


class Bar:
    """A progress bar on stderr.

    For a single picture, given by `name`, it shows the computed share. For several, it shows how many of `total` are
    done, and how fast; `total` is None if it is unknown.
    """

    def __init__(self, total: int | None, name: str | None = None) -> None:
        """Nothing is shown before the bar is entered."""
        from rich import progress
        from rich.console import Console

        self._name, self._total = None if name is None else printable(name), total
        columns: list[str | progress.ProgressColumn] = [
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
        ]
        if name is not None:
            columns.append(progress.TaskProgressColumn())
        if total is not None:
            columns += [progress.TimeRemainingColumn(), "left"]
        self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._name or "", total=total)
        self._finished, self._completed, self._start = 0, 0.0, time.perf_counter()

    def __enter__(self) -> Self:
        """Show it."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it off the terminal."""
        self._bar.stop()

    def part(self, part: float) -> None:
        """Show that this share of a picture is computed. It may be one picture ahead of the finished ones."""
        self._completed = max(self._completed, self._finished + part)
        text = self._name
        if text is None:
            speed = self._finished / (time.perf_counter() - self._start)
            of_all = f" of {self._total}" if self._total else ""
            text = f"{self._finished}{of_all} done, {speed:.2f} a second"
        self._bar.update(self._task, completed=self._completed, description=text)

    def finished(self) -> None:
        """Count one more picture as written, skipped or failed."""
        self._finished += 1
        self.part(0)
