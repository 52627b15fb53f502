"""Rows of a picture that are being computed, kept until they are all there."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from cnlrn.errors import CannotWrite
from cnlrn.images.codecs import tiff
from cnlrn.images.picture import Pixels, as_vips, fits_memory
from cnlrn.images.vips import pyvips


class Spool:
    """Rows of a picture that are being computed, from top to bottom: in memory, or in a file when they are many.

    The file is an uncompressed TIFF, which libvips reads piece by piece, where it would map raw samples into memory. It
    takes room in the folder where the picture will be written, has no name there, and is gone when the spool is closed
    or the process ends, however it does.
    """

    def __init__(self, height: int, width: int, bands: int, dtype: Any, target: Path | None) -> None:
        """`target`: the file that will be written; None keeps everything in memory.

        Raises:
            CnlrnError: no file can be made in the folder of `target`.
        """
        self._shape, self._dtype, self._filled = (height, width, bands), np.dtype(dtype), 0
        self._rows: Pixels | None = None
        self._file: IO[bytes] | None = None
        self._target = target
        if target is None or fits_memory(height * width * bands * self._dtype.itemsize):
            self._rows = np.empty(self._shape, dtype)
        else:
            with _disk(target):
                self._file = tempfile.TemporaryFile(dir=target.parent)  # noqa: SIM115 - closed by `close`

    def __enter__(self) -> Self:
        """Nothing but itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `close`."""
        self.close()

    @property
    def on_disk(self) -> bool:
        """Whether the rows are too many for the memory."""
        return self._file is not None

    def append(self, rows: Pixels) -> None:
        """Add rows (rows x width x bands) below those that are there.

        Raises:
            CnlrnError: the disk is full.
        """
        if self._rows is not None:
            self._rows[self._filled : self._filled + len(rows)] = rows
        elif self._file is not None and self._target is not None:
            with _disk(self._target):
                if not self._filled:
                    self._file.write(tiff.header(*self._shape, self._dtype))
                self._file.write(np.ascontiguousarray(rows).data)
        self._filled += len(rows)

    def image(self) -> Any:
        """A libvips image of the rows, to be read once from top to bottom while the spool is open."""
        if self._rows is not None:
            return as_vips(self._rows)
        assert self._file is not None
        assert self._target is not None
        with _disk(self._target):
            self._file.flush()
        source = pyvips.Source.new_from_descriptor(self._file.fileno())
        return pyvips.Image.tiffload_source(source, access="sequential")

    def close(self) -> None:
        """Give the room back."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be flushed is not wanted any more
                self._file.close()


@contextlib.contextmanager
def _disk(target: Path) -> Iterator[None]:
    """Name the picture that could not be written."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"cannot write {target} ({error.strerror})") from error
