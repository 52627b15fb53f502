"""A system in a process of its own: its memory is its own, and when it crashes nothing else does.

Both ends are here: `started` gives the benchmark's, `main` is the other. They exchange pickled objects through
stdin and stdout; what libraries and commands print goes to a log.
"""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from cnlrn.errors import CnlrnError
from cnlrn.evaluation.systems import Byte, Steps, System

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PATIENCE = 10.0  # seconds that a process is given to end


class Failure(CnlrnError):
    """A system failed; those beside it need not."""


@dataclass(frozen=True)
class Restored:
    """A restored picture, the seconds it took, and the most bytes that one of the system's processes held so far."""

    picture: Byte
    seconds: float
    memory: int


@contextmanager
def started(steps: Steps, threads: int) -> Iterator["Worker"]:
    """A process that has loaded the steps, computes with so many threads, and is ended with the context.

    Failure where they cannot be loaded.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from cnlrn.evaluation.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | dict.fromkeys(_THREADS, str(threads)),
        )
        try:
            worker = Worker(process, log)
            worker.ask((steps, threads))
            yield worker
        finally:
            process.terminate()
            try:
                process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


class Worker:
    """The benchmark's end of a process that runs a system."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        """`log` is what the process writes to stderr."""
        self._process, self._log = process, log

    def restore(self, lr: Byte) -> Restored:
        """Restore `lr`, uint8 HWC RGB; the first call takes longer than those after it.

        Failure where the system fails or its process dies.
        """
        restored = self.ask(lr)
        assert isinstance(restored, Restored)
        return restored

    def ask(self, question: object) -> object:
        """What the process answers; Failure where that is one, or the process dies."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            pickle.dump(question, self._process.stdin)
            self._process.stdin.flush()
            answer = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            raise Failure(self._last_words()) from None
        if isinstance(answer, Failure):
            raise answer
        return answer

    def _last_words(self) -> str:
        """How the process died, in a sentence."""
        code = self._process.wait()
        if code < 0:
            cause = " (memory was short?)" if code == -9 else ""
            return f"its process was ended by {signal.Signals(-code).name}{cause}"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"its process ended with code {code}: {lines[-1] if lines else 'no message'}"


def main() -> None:
    """Read steps and a number of threads, then pictures, and answer each."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that a command that runs is ended too
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    system: System | None = None
    while True:
        try:
            question = pickle.load(questions)
        except EOFError:
            return
        try:
            if system is None:
                system = System(*question)
                answer: object = None
            else:
                answer = _restore(system, question)
        except CnlrnError as error:
            answer = Failure(str(error))
        except Exception as error:  # whatever a network, an engine or a short memory may raise: the report names it
            answer = Failure(f"{type(error).__name__}: {' '.join(str(error).split())}")
        pickle.dump(answer, answers)
        answers.flush()


def _restore(system: System, lr: Byte) -> Restored:
    start = time.perf_counter()
    picture = system.restore(lr)
    seconds = time.perf_counter() - start
    return Restored(picture, seconds, system.memory(_peak_memory()))


def _peak_memory() -> int:
    """The most bytes that were resident in this process since its program began."""
    if sys.platform == "linux":  # where getrusage also knows what the process that started this one held
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
