"""Commands: any program that reads a picture and writes another."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cnlrn.errors import CnlrnError
from cnlrn.evaluation.systems.contract import SCALE, Byte, Opened, Part

_POLL = 0.05  # seconds between two looks at a command's memory


@dataclass(frozen=True)
class Command(Part):
    """Any program that reads the PNG file {input} and writes the PNG file {output}; no shell is involved."""

    command: str
    scale: int = SCALE
    """How many times it enlarges: 4, or 1 if it only deblurs."""
    timeout: float = 600.0
    """Seconds a picture."""

    def check(self, name: str) -> None:
        """See `Spec.check`."""
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise CnlrnError(f"{name}: the command cannot be split into words ({error})") from error
        for placeholder in ("{input}", "{output}"):
            if not any(placeholder in word for word in words[1:]):
                raise CnlrnError(f'{name}: the command lacks {placeholder}; write it as "tool {{input}} {{output}}"')
        if self.scale not in (1, SCALE):
            raise CnlrnError(f"{name}: scale is {self.scale}; it must be {SCALE}, or 1 for a command that only deblurs")
        if not self.timeout > 0:
            raise CnlrnError(f"{name}: timeout is {self.timeout:g} seconds; it must be more than 0")

    def scales(self) -> tuple[int, ...]:
        """See `Part.scales`."""
        return (self.scale,)

    def files(self) -> list[Path]:
        """See `Part.files`: those that the command names."""
        return [Path(word) for word in shlex.split(self.command) if os.path.isfile(word)]  # noqa: PTH113 - never raises

    def open(self, scale: int, threads: int) -> Opened:
        """See `Part.open`."""
        return _Program(self)


class _Program:
    """A command, run anew for each picture in a temporary folder; `memory` is the most its processes held so far."""

    def __init__(self, spec: Command) -> None:
        self._spec = spec
        self.memory: int = 0

    def restore(self, lr: Byte, /) -> Byte:
        """See `Opened`."""
        import cv2

        from cnlrn.data import pictures

        with tempfile.TemporaryDirectory(prefix="cnlrn-") as folder:
            files = {"{input}": Path(folder, "input.png"), "{output}": Path(folder, "output.png")}
            cv2.imwrite(str(files["{input}"]), lr[..., ::-1])
            words = shlex.split(self._spec.command)
            for placeholder, file in files.items():
                words = [word.replace(placeholder, str(file)) for word in words]
            self._run(words, Path(folder, "messages"))
            restored = pictures.read(files["{output}"])
        if restored is None:
            raise CnlrnError(f"{words[0]} wrote no picture to {{output}}")
        height, width = (side * self._spec.scale for side in lr.shape[:2])
        if restored.shape[:2] != (height, width):
            found = f"{restored.shape[1]}x{restored.shape[0]}"
            raise CnlrnError(f"{words[0]} wrote {found} pixels where {width}x{height} were due")
        return restored

    def _run(self, words: list[str], messages: Path) -> None:
        deadline = time.monotonic() + self._spec.timeout
        with messages.open("wb") as stream:
            try:
                process = psutil.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
            except OSError as error:
                raise CnlrnError(f"{words[0]} cannot be started ({error.strerror})") from error
        try:
            while process.poll() is None:
                self.memory = max(self.memory, *(_resident(part) for part in _family(process)))
                if time.monotonic() > deadline:
                    raise CnlrnError(f"{words[0]} was not done after {self._spec.timeout:g} s")
                with suppress(psutil.TimeoutExpired):
                    process.wait(_POLL)
        finally:
            for part in _family(process):
                _kill(part)
            process.wait()
        if process.returncode:
            lines = messages.read_text(encoding="utf-8", errors="replace").split("\n")
            said = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
            raise CnlrnError(f"{words[0]} ended with code {process.returncode}: {said[:200]}")


def _family(process: psutil.Process) -> list[psutil.Process]:
    """A process and its descendants, as far as they still run."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [process]


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()
