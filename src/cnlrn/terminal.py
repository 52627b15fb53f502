"""What the command prints: lines on stdout, messages on stderr, and a progress bar there.

Every name of a file goes through `say` or `complain`, which show control characters instead of sending them: a name may
hold sequences that would move the cursor, or turn the direction of writing around.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import Self

from cnlrn.errors import CnlrnError

_CODES = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SHOWN = {code: repr(chr(code))[1:-1] for code in _CODES if code != ord("\n")}


def printable(text: str) -> str:
    """`text` with its control characters but line feeds written as in Python, such as \\x1b."""
    return text.translate(_SHOWN)


def say(text: str) -> None:
    """Print to stdout, at once; CnlrnError where that cannot be written to, nothing where it is closed."""
    if sys.stdout is None:
        return
    try:
        print(printable(text), flush=True)
    except OSError as error:
        sys.stdout = None  # or Python tries to flush it once more at exit
        raise CnlrnError(f"cannot write to stdout ({error.strerror})") from error


def complain(message: str) -> None:
    """Print a message to stderr, in one line; where that cannot be written to, nobody hears of it."""
    with suppress(OSError, ValueError):
        print(f"cnlrn: {printable(' '.join(message.split()))}", file=sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Have what a command logs go to stderr."""
    import logging

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return printable(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Lines("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def show_cursor() -> None:
    """Undo what a progress bar does to a terminal."""
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")


class Bar:
    """A progress bar on stderr: of one picture the part that is done, of several how many are, and how fast.

    `total` is None where nobody knows how many there are; `name` is what a single one is called.
    """

    def __init__(self, total: int | None, name: str) -> None:
        """Nothing is shown before the bar is entered."""
        from rich import progress
        from rich.console import Console

        self._name, self._total = printable(name) if total == 1 else None, total
        columns: list[str | progress.ProgressColumn] = [
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
        ]
        if total == 1:
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
        """So much of a picture is computed; it may be one ahead of those that are finished."""
        self._completed = max(self._completed, self._finished + part)
        text = self._name
        if text is None:
            speed = self._finished / (time.perf_counter() - self._start)
            of_all = f" of {self._total}" if self._total else ""
            text = f"{self._finished}{of_all} pictures, {speed:.2f} a second"
        self._bar.update(self._task, completed=self._completed, description=text)

    def finished(self) -> None:
        """One more picture is written, skipped or failed."""
        self._finished += 1
        self.part(0)
