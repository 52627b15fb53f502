"""Ends a run of the command, by a signal or by itself: within two seconds, with nothing half-written and no needless
message. Only the process of the command may use this; a program that imports `cnlrn` handles its own signals.

The first signal raises `SystemExit` in the main thread, so that the file being written can be finished. That may not
get
through: a library in C holds the thread, or a callback swallows the exception. So the system also notifies a second
thread, which ends the process after a moment. A second signal ends it at once.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PATIENCE = 1.0  # seconds in which what has begun may be finished
_last_acts: list[Callable[[], None]] = []
_received: int | None = None
_code: int | None = None  # once the run is over


def heed() -> None:
    """From now on, signals end the process as this module says. Signals ignored from the start stay ignored."""
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    if os.name == "posix":
        told, tells = os.pipe()
        os.set_blocking(tells, False)
        signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(told, heeded), daemon=True).start()
        os.register_at_fork(after_in_child=leave_signals)
    for number in heeded:
        signal.signal(number, _interrupt)
    atexit.register(_exit)  # the first to be registered is the last to be called


def leave_signals() -> None:
    """From now on, signals do what they do in any process. A forked process is not the command, and a server ends in
    its own way.
    """
    signal.set_wakeup_fd(-1)
    for number in _SIGNALS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    atexit.unregister(_exit)


def before_leaving(act: Callable[[], None]) -> None:
    """Register `act` to be called when the process is ended at once."""
    _last_acts.append(act)


def end(code: int) -> NoReturn:
    """End the process: as the received signal demands, or with `code` if there was none."""
    global _code
    _code = code
    if _received is not None:
        _leave(_received)
    sys.exit(code)


def is_interrupted() -> bool:
    """Whether a signal that ends the process has come, so that later failures do not matter."""
    return _received is not None


def _interrupt(number: int, _: FrameType | None) -> None:
    global _received
    if _received is not None or _code is not None:
        _leave(_received or number)
    _received = number
    sys.unraisablehook = lambda _: None  # it may be raised where nothing can catch it, which Python would print
    raise SystemExit(128 + number)


def _watch(told: int, heeded: list[int]) -> None:
    """Wait for a signal, give the main thread its time, and end the process."""
    while (number := os.read(told, 1)[0]) not in heeded:
        pass
    time.sleep(_PATIENCE)
    _leave(_received or number)


def _leave(number: int) -> NoReturn:
    for act in _last_acts:
        with suppress(Exception):
            act()
    os._exit(128 + number)


def _exit() -> None:
    """Skip what Python does at its end: signals are no longer heard by then, and no file is open."""
    if _code is not None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(_code)
