"""Deconvolution by a known kernel as an engine: pictures are tiled, and alpha and depth kept, as for networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnlrn.classical.fourier import Float
from cnlrn.classical.hyper_laplacian import hyper_laplacian
from cnlrn.onnxfile import Level

_BYTES = 250
"""For a pixel that is computed."""
_CONTEXT = 2
"""How many kernels far a pixel is influenced, as much as shows."""


class Deconvolution:
    """`hyper_laplacian` by one kernel, behind `cnlrn.engines.Engine`: own size only."""

    scales: tuple[int, ...] = (1,)
    multiple = 1
    levels: tuple[Level, ...] = ()

    def __init__(self, name: str, kernel: Float, weight: float) -> None:
        """`weight`: see `hyper_laplacian`."""
        self.name = name
        self.context: int | None = _CONTEXT * max(kernel.shape)
        self._kernel, self._weight = kernel, weight

    def pixels_within(self, memory: int, level: Level | None = None) -> int:
        """See `Engine`."""
        return memory // _BYTES

    def survey(self, lr: NDArray[np.float32]) -> None:
        """Nothing: all that has to be known of the picture is the kernel."""

    def level(
        self,
        index: int,
        lr: NDArray[np.float32],
        survey: NDArray[np.float32] | None,
        before: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """There are no levels."""
        raise IndexError(index)

    def run(
        self,
        lr: NDArray[np.float32],
        scale: int,
        survey: NDArray[np.float32] | None,
        features: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """See `Engine`; the channels of a gray picture, which are equal, are computed once."""
        sharp = np.empty_like(lr)
        for picture, place in zip(lr, sharp, strict=True):
            if np.array_equal(picture[0], picture[1]) and np.array_equal(picture[0], picture[2]):
                place[:] = hyper_laplacian(picture[0], self._kernel, weight=self._weight)
            else:
                place[:] = hyper_laplacian(picture.transpose(1, 2, 0), self._kernel, weight=self._weight).transpose(
                    2, 0, 1
                )
        return sharp

    def release(self) -> None:
        """Nothing is kept."""
