"""Run an exported network behind one small protocol; ONNX Runtime is the engine.

An engine knows what its network declares (scales, multiple, context) and computes on one batch that already has the
right sides. Pictures, padding and tiles are not here.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from cnlrn import onnxfile
from cnlrn.errors import CnlrnError

if TYPE_CHECKING:
    import onnxruntime

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_QUIET = 4  # only what is fatal: every other error comes as an exception


class Engine(Protocol):
    """A network ready to run.

    `scales`: the enlargements it can give. `multiple`: the sides of its input are multiples of it. `context`: LR pixels
    around a tile after which the tile is exact, None when the network looks at the whole picture.
    """

    name: str
    scales: tuple[int, ...]
    multiple: int
    context: int | None

    def pixels_within(self, memory: int) -> int:
        """How many LR pixels can be computed at once in so many bytes."""
        ...

    def survey(self, lr: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What `run` has to know of the whole picture, from parts `lr` (n, 3, h, w) of it; None if it needs nothing."""
        ...

    def run(self, lr: NDArray[np.float32], scale: int, survey: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Restore parts `lr` (n, 3, h, w) of a picture of this survey to (n, 3, scale*h, scale*w), not clipped."""
        ...

    def release(self) -> None:
        """Give back the memory that past runs took; the next one takes it anew."""
        ...


class OnnxEngine:
    """An ONNX file made by `cnlrn export`, run by ONNX Runtime. Safe to call from several threads."""

    def __init__(
        self, path: Path, *, sha256: str | None = None, device: str = "cpu", threads: int | None = None
    ) -> None:
        """Open the file at `path`; `sha256`, when given, is what its checksum must be.

        `device` is "cpu" or "cuda"; `threads` is the number of CPU threads, all cores when None or more.

        Raises:
            CnlrnError: no such file, another checksum, corrupt, not made by `cnlrn export`, or no such device.
        """
        import onnxruntime

        if not isinstance(device, str) or device not in _PROVIDERS:
            raise CnlrnError(f"there is no device {device!r}; choose cpu or cuda")
        if _PROVIDERS[device] not in onnxruntime.get_available_providers():
            raise CnlrnError(f"this ONNX Runtime cannot use {device}; install onnxruntime-gpu or choose cpu")
        try:
            self._model = path.read_bytes()
        except OSError as error:
            raise CnlrnError(f"the model {path} cannot be read ({error.strerror})") from error
        if sha256 is not None and hashlib.sha256(self._model).hexdigest() != sha256:
            raise CnlrnError(f"the model {path} is damaged (its checksum differs from its card's); install cnlrn again")
        try:
            metadata = onnxfile.metadata(self._model)
            self.name = metadata["name"]
            self.scales = tuple(int(scale) for scale in metadata["scales"].split(","))
            self.multiple = int(metadata["multiple"])
            self.context = int(metadata["context"]) if metadata["context"] else None
            self._surveys = metadata.get("survey") == "yes"
        except (KeyError, ValueError):
            raise CnlrnError(f"{path} is damaged or not a model made by `cnlrn export`") from None
        self._path, self._device = path, device
        self._threads = threads and min(threads, os.cpu_count() or 1)  # more would only wait for each other
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        self._session(f"x{max(self.scales)}")

    def survey(self, lr: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What `run` has to know of the whole picture (1, k), from parts `lr` (n, 3, h, w) of it; None if nothing.

        Raises:
            CnlrnError: the engine failed, most often for want of memory.
        """
        return self._compute("surveyed", lr, None).mean(0, keepdims=True) if self._surveys else None

    def run(
        self, lr: NDArray[np.float32], scale: int, survey: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Restore `lr` (n, 3, h, w) in [0, 1], sides multiples of `multiple`, to (n, 3, scale*h, scale*w), not clipped.

        Only the part of the network that leads to the exit of `scale` is computed. `survey` (1, k) is that of the whole
        picture that `lr` are parts of, made of `lr` itself if None.

        Raises:
            CnlrnError: the engine failed, most often for want of memory.
        """
        survey = self.survey(lr) if survey is None else survey
        restored = self._compute(f"x{scale}", lr, survey if survey is None else survey.repeat(len(lr), 0))
        expected = (*lr.shape[:2], lr.shape[2] * scale, lr.shape[3] * scale)
        if restored.shape != expected:
            raise CnlrnError(
                f"the model {self.name} returned {restored.shape} where {expected} was due; export it again"
            )
        if not np.isfinite(restored).all():
            raise CnlrnError(
                f"the model {self.name} gave values that are no finite numbers; its weights are damaged or its "
                "training failed, so choose another model"
            )
        return restored

    def pixels_within(self, memory: int) -> int:
        """How many LR pixels can be computed at once in so many bytes, by what the shipped models were seen to take.

        A network that looks at the whole picture compares every pixel with every other, 2.3 bytes a pair.
        """
        return math.isqrt(int(memory / 2.5)) if self.context is None else memory // 1200

    def release(self) -> None:
        """Give back the memory that past runs took: an ONNX Runtime session keeps it for as long as it lives.

        The next run makes its session again, which takes some tenths of a second; runs under way are not disturbed.
        """
        with self._lock:
            self._sessions.clear()

    def _compute(self, output: str, lr: NDArray[np.float32], survey: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """One output of the network; CnlrnError where it fails."""
        session = self._session(output)
        given = {"lr": lr, "survey": survey}
        try:
            result: NDArray[np.float32] = session.run(
                None, {one.name: given[one.name] for one in session.get_inputs()}
            )[0]
        except Exception as error:  # ONNX Runtime's exceptions have no base class but this
            raise CnlrnError(
                f"the model {self.name} failed on {lr.shape[3]}x{lr.shape[2]} pixels ({_first_line(error)}); "
                "if memory is short, try a smaller tile"
            ) from error
        return result

    def _session(self, output: str) -> onnxruntime.InferenceSession:
        """The session of one output, made when it is first asked for."""
        import onnxruntime

        with self._lock:
            if output not in self._sessions:
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = self._threads or 0
                options.log_severity_level = _QUIET
                try:
                    graph = onnxfile.keep_output(self._model, output)
                    providers = [_PROVIDERS[self._device]]
                    self._sessions[output] = onnxruntime.InferenceSession(graph, options, providers=providers)
                except Exception as error:  # ONNX Runtime's exceptions have no base class but this
                    raise CnlrnError(f"the model {self._path} cannot be used ({_first_line(error)})") from error
            return self._sessions[output]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
