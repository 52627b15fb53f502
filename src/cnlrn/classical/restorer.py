"""`cnlrn restore --method`: the systems of this room on files, with all that `cnlrn.Restorer` does for networks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from cnlrn import classical, images
from cnlrn.classical import kernels
from cnlrn.classical.coarse_to_fine import crop_side
from cnlrn.classical.engines import Deconvolution, Enlargement
from cnlrn.classical.fourier import Float
from cnlrn.classical.hyper_laplacian import weight_for
from cnlrn.classical.pictures import gray, noise_of
from cnlrn.engine.onnx import Engine
from cnlrn.errors import CnlrnError, nearest
from cnlrn.images import LazyPicture, Picture
from cnlrn.restoration.blur import BlurEstimator, of_picture
from cnlrn.restoration.computing import Progress
from cnlrn.restoration.plan import Plan
from cnlrn.restoration.restorer import Restorer
from cnlrn.restoration.size import Size

_ROOM = 1.3
"""A kernel's frame is so many times the estimated extent of the blur, and `_MORE` pixels more."""
_MORE = 6
_LARGEST = 101
_LEAST_NOISE = 0.008
"""Standard deviation: compression, and a kernel that differs over the photo, are errors that noise does not tell."""
_KERNEL_SHARE = 0.6
"""Of the time, which the estimate of the kernel takes."""


class ClassicalRestorer(Restorer):
    """A restorer without networks.

    A blind system estimates each picture's kernel and deblurs by it, at the picture's size; others enlarge.
    """

    def __init__(
        self,
        method: str,
        *,
        kernel_size: int | None = None,
        kernel_file: Path | None = None,
        threads: int | None = None,
        tile: int | None = None,
        max_pixels: int = images.MAX_PIXELS,
        damaged: Literal["refuse", "keep"] = "refuse",
    ) -> None:
        """Choose a system.

        Args:
            method: one of `classical.KERNELS`, or of `classical.ENLARGING`, which have no kernel.
            kernel_size: pixels a side that kernels fit into; by the estimate of the picture's blur when None.
            kernel_file: where to write a picture of the last kernel.
            threads, tile, max_pixels, damaged: as in `Restorer`; `threads` are those of the estimate of blur.

        Raises:
            CnlrnError: there is no such method, or the kernel's size is not positive.
        """
        methods = [*classical.KERNELS, *classical.ENLARGING]
        if method not in methods:
            raise CnlrnError(f"there is no method {method}: {nearest(method, methods)}")
        if kernel_file is not None and method in classical.ENLARGING:
            raise CnlrnError(f"{method} estimates no kernel; leave out --kernel")
        if kernel_size is not None and method in classical.ENLARGING:
            raise CnlrnError(f"{method} estimates no kernel; leave out the kernel's size")
        if kernel_size is not None and kernel_size < 1:
            raise CnlrnError(f"the kernel's size must be at least 1, not {kernel_size}")
        self._blind = classical.KERNELS.get(method)
        self.engine = Deconvolution(method, kernels.point(3), 1.0) if self._blind else Enlargement(method)
        self.tile, self.memory, self.ensemble, self.max_pixels, self.damaged = tile, None, False, max_pixels, damaged
        self._own_size = None
        self._estimator = cache(lambda: BlurEstimator(threads=threads)) if self._blind else None
        self._kernel_size, self._kernel_file = kernel_size, kernel_file

    def plan(self, picture: LazyPicture, size: Size, *, force: bool = False) -> Plan:
        """As `Restorer.plan`; the picture is always deblurred at its full resolution."""
        return replace(super().plan(picture, size, force=force), working_scale=None)

    def engine_for(self, picture: LazyPicture, progress: Progress | None) -> tuple[Engine, Progress | None]:
        """As `Restorer.engine_for`; a blind system first estimates the picture's kernel."""
        if self._blind is None:
            return super().engine_for(picture, progress)
        size = self._kernel_size or self._size_for(picture)
        middle = _middle(picture, crop_side(kernels.odd(size)))

        def first(part: float) -> None:
            if progress is not None:
                progress(_KERNEL_SHARE * part)

        def second(part: float) -> None:
            if progress is not None:
                progress(_KERNEL_SHARE + (1 - _KERNEL_SHARE) * part)

        kernel = self._blind(middle, size, progress=first)
        if self._kernel_file is not None:
            images.write(Picture(kernels.as_picture(kernel)), self._kernel_file, overwrite=True)
        weight = weight_for(max(noise_of(middle), _LEAST_NOISE))
        return Deconvolution(self.engine.name, kernel, weight), second

    def _size_for(self, picture: LazyPicture) -> int:
        """Of the kernel's frame, by the estimate of the picture's blur."""
        assert self._estimator is not None
        told = of_picture(self._estimator(), picture)
        extent = 2 * told.extent + 1 if told.kind == "defocus" else told.extent
        most = min(_LARGEST, min(picture.width, picture.height) // 2 - 1)
        return max(3, min(most, round(_ROOM * extent + _MORE)))


def _middle(picture: LazyPicture, side: int) -> Float:
    """The gray values in [0, 1] of the middle of a picture, of at most `side` pixels a side; alpha is ignored."""
    width, height = min(side, picture.width), min(side, picture.height)
    part = picture.image.crop((picture.width - width) // 2, (picture.height - height) // 2, width, height)
    samples = LazyPicture(part, name=picture.name).samples()[..., : picture.image.bands - picture.has_alpha]
    full = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}[samples.dtype.name]
    return gray(samples.astype(np.float32) / np.float32(full)).clip(0, 1)
