"""For tests of the server: pictures to send, and a gate that holds what computes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from cnlrn import images
from cnlrn.engine.onnx import OnnxEngine
from cnlrn.images import Picture

PATIENCE = 60  # seconds; only a failure waits for so long

Serve = Callable[..., TestClient]
"""Starts a server with settings, and gives its client."""


def png(width: int = 16, height: int = 12, suffix: str = ".png") -> bytes:
    """The file of a picture."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return images.encode(Picture(pixels), suffix)


def until(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Gate:
    """Where pictures wait before they are computed: `wait_for_one` until one does, `open` lets all through."""

    def __init__(self) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()

    def wait_for_one(self) -> None:
        assert self._reached.wait(PATIENCE)

    def open(self) -> None:
        self._opened.set()

    def pass_through(self) -> None:
        self._reached.set()
        assert self._opened.wait(PATIENCE)


@contextmanager
def closed_gate() -> Iterator[Gate]:
    gate, run = Gate(), OnnxEngine.run

    def held(self: OnnxEngine, *given: Any) -> Any:
        gate.pass_through()
        return run(self, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OnnxEngine, "run", held)
        yield gate
        gate.open()
