"""A picture that is being computed, kept until all of it is there."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from cnlrn.errors import CannotWrite
from cnlrn.files import present_folder
from cnlrn.images.codecs import tiff
from cnlrn.images.picture import as_vips, fits_memory
from cnlrn.images.vips import pyvips


class Spool:
    """Samples that are computed in blocks, in any order: in memory, or in a file when they are many.

    The file is an uncompressed TIFF, which libvips reads piece by piece, where it would map raw samples into memory. It
    takes room in the folder where the picture will be written, or above it where that is absent, has no name there, and
    is gone when the spool is closed or the process ends, however it does.
    """

    def __init__(self, height: int, width: int, bands: int, dtype: Any, target: Path | None) -> None:
        """`target`: the file that will be written; None keeps everything in memory.

        Raises:
            CnlrnError: no file can be made in the folder of `target`.
        """
        self._shape, self._dtype = (height, width, bands), np.dtype(dtype)
        self._samples: NDArray[Any] | None = None
        self._file: Any = None
        self._target = target
        if target is None or fits_memory(height * width * bands * self._dtype.itemsize):
            self._samples = np.empty(self._shape, dtype)
        else:
            with self._disk():
                folder = present_folder(target)
                self._file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - closed by `close`

    def __enter__(self) -> Self:
        """Nothing but itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `close`."""
        self.close()

    @property
    def on_disk(self) -> bool:
        """Whether the samples are too many for the memory."""
        return self._file is not None

    def put(self, top: int, left: int, block: NDArray[Any]) -> None:
        """Lay down a block (rows x columns x bands) whose first sample belongs at row `top` and column `left`.

        Raises:
            CnlrnError: the disk is full.
        """
        rows, columns = block.shape[:2]
        if self._samples is not None:
            self._samples[top : top + rows, left : left + columns] = block
            return
        with self._disk():
            for at, run in self._runs(top, left, np.ascontiguousarray(block, self._dtype)):
                self._write(at, run)

    def read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """The samples of these rows and columns, both from a start to a stop, all of which were laid down."""
        if self._samples is not None:
            return self._samples[rows, columns]
        block = np.empty((rows.stop - rows.start, columns.stop - columns.start, self._shape[2]), self._dtype)
        for at, run in self._runs(rows.start, columns.start, block):
            self._file.seek(at)
            while run:
                run = run[self._file.readinto(run) :]
        return block

    def image(self) -> Any:
        """A libvips image of all samples, to be read once from top to bottom while the spool is open.

        Raises:
            CnlrnError: the disk is full.
        """
        if self._samples is not None:
            return as_vips(self._samples)
        head, tail = tiff.ends(*self._shape, self._dtype)
        with self._disk():
            self._write(0, memoryview(head))
            self._write(self._place(self._shape[0], 0), memoryview(tail))
        source = pyvips.Source.new_from_descriptor(self._file.fileno())
        return pyvips.Image.tiffload_source(source, access="sequential", unlimited=True)

    def close(self) -> None:
        """Give the room back."""
        self._samples = None
        if self._file is not None:
            self._file.close()

    def _place(self, row: int, column: int) -> int:
        """Where in the file a pixel begins."""
        _, width, bands = self._shape
        return tiff.HEAD + (row * width + column) * bands * int(self._dtype.itemsize)

    def _runs(self, top: int, left: int, block: NDArray[Any]) -> Iterator[tuple[int, memoryview]]:
        """The parts of a block that lie together in the file, each with its place there."""
        if block.shape[1] == self._shape[1]:
            yield self._place(top, 0), block.reshape(-1).view(np.uint8).data
            return
        for row, samples in enumerate(block, top):
            yield self._place(row, left), samples.reshape(-1).view(np.uint8).data

    def _write(self, at: int, run: memoryview) -> None:
        self._file.seek(at)
        while run:
            run = run[self._file.write(run) :]

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Name the picture that could not be written."""
        try:
            yield
        except OSError as error:
            raise CannotWrite(f"cannot write {self._target} ({error.strerror})") from error
