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

from cnlrn.engine import onnxfile
from cnlrn.errors import CnlrnError, DamagedModel, OutOfMemory

if TYPE_CHECKING:
    import onnxruntime

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_BYTES, _OWN_SIZE_BYTES, _REDUCED_BYTES, _LEVEL_BYTES = 1350, 75, 65, 255
"""For a pixel of the LR picture: of a network that enlarges, of one for a photo at its own size, and of what its levels
reduce the photo to; and for a pixel of a level. Those of the picture itself are counted."""
_SURVEYED = 2**20  # LR pixels that are surveyed at once, unless one part has more
_QUIET = 4  # only what is fatal: every other error comes as an exception


class Engine(Protocol):
    """A network ready to run.

    `scales`: the enlargements it can give. `multiple`: the sides of its input are multiples of it. `context`: LR pixels
    around a tile after which the tile is exact, None when the network looks at the whole picture. `levels`: what is
    made of the whole picture beforehand, each from the one before; with them `context` is that of the rest.
    """

    name: str
    scales: tuple[int, ...]
    multiple: int
    context: int | None
    levels: tuple[onnxfile.Level, ...]

    def pixels_within(self, memory: int, level: onnxfile.Level | None = None) -> int:
        """How many LR pixels can be computed at once in so many bytes, of the picture or of a level."""
        ...

    def survey(self, lr: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What `run` has to know of the whole picture, from parts `lr` (n, 3, h, w) of it; None if it needs nothing."""
        ...

    def level(
        self, index: int, lr: NDArray[np.float32], survey: NDArray[np.float32], before: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Level `index` of parts `lr` (n, 3, h, w) of a picture of this survey, from those of the level `before`."""
        ...

    def run(
        self,
        lr: NDArray[np.float32],
        scale: int,
        survey: NDArray[np.float32] | None,
        features: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Restore parts `lr` (n, 3, h, w) of a picture of this survey, and of the last level's `features` if there are
        levels, to (n, 3, scale*h, scale*w), not clipped."""
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
            raise DamagedModel(f"the model {path} cannot be read ({error.strerror})") from error
        if sha256 is not None and hashlib.sha256(self._model).hexdigest() != sha256:
            raise DamagedModel(
                f"the model {path} is damaged (its checksum differs from its card's); install cnlrn again"
            )
        try:
            metadata = onnxfile.check(self._model)
        except ValueError as error:
            raise DamagedModel(f"{path} is damaged or not a model made by `cnlrn export`: {error}") from None
        self.name, self.scales = metadata.name, metadata.scales
        self.multiple, self.context, self._surveys = metadata.multiple, metadata.context, metadata.survey
        self.levels = metadata.levels
        self._path, self._device = path, device
        self._threads = threads and min(threads, os.cpu_count() or 1)  # more would only wait for each other
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._used: set[str] = set()
        self._lock = threading.Lock()
        self._session(f"x{max(self.scales)}")

    def survey(self, lr: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What `run` has to know of the whole picture (1, k), from parts `lr` (n, 3, h, w) of it; None if nothing.

        Raises:
            CnlrnError: the engine failed, most often for want of memory.
        """
        if not self._surveys:
            return None
        at_once = max(1, _SURVEYED // (lr.shape[2] * lr.shape[3]))
        surveyed = [self._compute("surveyed", lr[start : start + at_once]) for start in range(0, len(lr), at_once)]
        mean: NDArray[np.float32] = np.concatenate(surveyed).mean(0, keepdims=True)
        return mean

    def level(
        self, index: int, lr: NDArray[np.float32], survey: NDArray[np.float32], before: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Level `index` (n, channels, h/reduction, w/reduction) of parts `lr` (n, 3, h, w), as for `run`.

        `survey` (1, k) is that of the whole picture, `before` the same parts of the level before, None for the first.

        Raises:
            CnlrnError: the engine failed, most often for want of memory.
        """
        told = {} if before is None else {f"level{index - 1}": before}
        return self._compute(f"made{index}", lr, survey=survey.repeat(len(lr), 0), **told)

    def run(
        self,
        lr: NDArray[np.float32],
        scale: int,
        survey: NDArray[np.float32] | None = None,
        features: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Restore `lr` (n, 3, h, w) in [0, 1], sides multiples of `multiple`, to (n, 3, scale*h, scale*w), not clipped.

        Only the part of the network that leads to the exit of `scale` is computed. `survey` (1, k) is that of the whole
        picture that `lr` are parts of, and `features` are those of the last level; made of `lr` itself if None.

        Raises:
            CnlrnError: the engine failed, most often for want of memory.
        """
        survey = self.survey(lr) if survey is None else survey
        told = {} if survey is None else {"survey": survey.repeat(len(lr), 0)}
        if survey is not None and self.levels:
            if features is None:
                for index in range(len(self.levels)):
                    features = self.level(index, lr, survey, features)
            assert features is not None
            told[f"level{len(self.levels) - 1}"] = features
        restored = self._compute(f"x{scale}", lr, **told)
        expected = (*lr.shape[:2], lr.shape[2] * scale, lr.shape[3] * scale)
        if restored.shape != expected:
            raise DamagedModel(
                f"the model {self.name} returned {restored.shape} where {expected} was due; export it again"
            )
        if not np.isfinite(restored).all():
            raise DamagedModel(
                f"the model {self.name} gave values that are no finite numbers; its weights are damaged or its "
                "training failed, so choose another model"
            )
        return restored

    def pixels_within(self, memory: int, level: onnxfile.Level | None = None) -> int:
        """How many LR pixels can be computed at once in so many bytes, by what the shipped models were seen to take.

        A network that looks at the whole picture compares every pixel with every other, 2.3 bytes a pair.
        """
        if self.context is None:
            return math.isqrt(int(memory / 2.5))
        if level is not None:
            return memory // (_REDUCED_BYTES + _LEVEL_BYTES // level.reduction**2)
        return memory // (_OWN_SIZE_BYTES if self.levels else _BYTES)

    def release(self) -> None:
        """Give back the memory that past runs took: an ONNX Runtime session keeps it for as long as it lives.

        The next run makes its session again, which takes some tenths of a second; runs under way are not disturbed.
        """
        with self._lock:
            for output in self._used:
                self._sessions.pop(output, None)
            self._used.clear()

    def _compute(self, output: str, lr: NDArray[np.float32], **told: NDArray[np.float32]) -> NDArray[np.float32]:
        """One output of the network; CnlrnError where it fails."""
        session = self._session(output)
        with self._lock:
            self._used.add(output)
        given = {"lr": lr, **told}
        wanted = [one.name for one in session.get_inputs()]
        for index, level in enumerate(self.levels):  # of those that it does not compute with a graph may ask the shape
            if (name := f"level{index}") in wanted and name not in given:
                sides = (side // level.reduction for side in lr.shape[2:])
                given[name] = np.zeros((len(lr), level.channels, *sides), np.float32)
        try:
            result: NDArray[np.float32] = session.run(None, {name: given[name] for name in wanted})[0]
        except Exception as error:  # ONNX Runtime's exceptions have no base class but this
            raise OutOfMemory(
                f"the model {self.name} failed on {lr.shape[3]}x{lr.shape[2]} pixels ({_first_line(error)}); "
                "if memory is short, try a smaller tile"
            ) from error
        return result

    def _session(self, output: str) -> onnxruntime.InferenceSession:
        """The session of one output, made when it is first asked for."""
        with self._lock:
            if output not in self._sessions:
                try:
                    graph = onnxfile.keep_output(self._model, output)
                    self._sessions[output] = open_session(graph, self._threads, self._device)
                except Exception as error:  # ONNX Runtime's exceptions have no base class but this
                    raise DamagedModel(f"the model {self._path} cannot be used ({_first_line(error)})") from error
            return self._sessions[output]


def open_session(graph: bytes, threads: int | None, device: str = "cpu") -> onnxruntime.InferenceSession:
    """A session of ONNX Runtime that prints nothing, on so many CPU threads, all cores when None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = _QUIET
    options.enable_mem_pattern = False  # its plan of a shape takes its room beside what is there already
    return onnxruntime.InferenceSession(graph, options, providers=[_PROVIDERS[device]])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
