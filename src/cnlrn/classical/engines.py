"""Systems without networks as engines, so that pictures are tiled, and alpha and depth kept, as for networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnlrn import classical
from cnlrn.classical.fourier import Float
from cnlrn.classical.hyper_laplacian import hyper_laplacian
from cnlrn.classical.patches import CONTEXT, SCALE
from cnlrn.engine.onnxfile import Level


class _Engine:
    """What both have of `cnlrn.engine.onnx.Engine`: no levels, nothing to know beforehand, nothing kept."""

    multiple = 1
    levels: tuple[Level, ...] = ()
    bytes_a_pixel: int

    def __init__(self, name: str, scales: tuple[int, ...], context: int | None) -> None:
        self.name, self.scales, self.context = name, scales, context

    def pixels_within(self, memory: int, level: Level | None = None) -> int:
        """See `Engine`."""
        return memory // self.bytes_a_pixel

    def survey(self, lr: NDArray[np.float32]) -> None:
        """See `Engine`."""

    def level(
        self,
        index: int,
        lr: NDArray[np.float32],
        survey: NDArray[np.float32] | None,
        before: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """See `Engine`."""
        raise IndexError(index)

    def run(
        self,
        lr: NDArray[np.float32],
        scale: int,
        survey: NDArray[np.float32] | None,
        features: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """See `Engine`; of a gray picture, whose channels are equal, one is computed."""
        results = []
        for picture in lr:
            is_gray = np.array_equal(picture[0], picture[1]) and np.array_equal(picture[0], picture[2])
            result = self.restored(picture[0] if is_gray else picture.transpose(1, 2, 0))
            results.append(np.broadcast_to(result, (3, *result.shape)) if is_gray else result.transpose(2, 0, 1))
        return np.array(results)

    def restored(self, picture: Float) -> Float:
        """The result for a picture (h, w) or (h, w, 3), floats in [0, 1]."""
        raise NotImplementedError

    def release(self) -> None:
        """See `Engine`."""


class Deconvolution(_Engine):
    """`hyper_laplacian` by one kernel, at the picture's size."""

    bytes_a_pixel = 250

    def __init__(self, name: str, kernel: Float, weight: float) -> None:
        """`weight`: see `hyper_laplacian`. A pixel is influenced two kernels far, as much as shows."""
        super().__init__(name, (1,), 2 * max(kernel.shape))
        self._kernel, self._weight = kernel, weight

    def restored(self, picture: Float) -> Float:
        """The picture deblurred."""
        return hyper_laplacian(picture, self._kernel, weight=self._weight)


class Enlargement(_Engine):
    """One of `classical.ENLARGING`, four times as wide and high."""

    bytes_a_pixel = 4000

    def __init__(self, name: str) -> None:
        """`name`: as in `classical.ENLARGING`."""
        super().__init__(name, (SCALE,), CONTEXT)
        self._enlarged = classical.ENLARGING[name]

    def restored(self, picture: Float) -> Float:
        """The picture enlarged."""
        return self._enlarged(picture)
