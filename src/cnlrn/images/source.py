"""The bytes of a source, held so that nothing that happens to the file afterwards is seen.

A file that others can change or cut must not be mapped into memory: a read beyond its end, or from a network disk that
is gone, would kill the process. So a file is read at once, a small one into memory and a large one into a nameless file
of our own, which is mapped. Nothing here looks into what is read.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import mmap
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cnlrn.errors import UnreadablePicture
from cnlrn.images.limits import check_bytes
from cnlrn.images.room import no_room_for

Content = bytes | mmap.mmap
"""The bytes of a picture file."""

_IN_MEMORY = 64 * 2**20  # bytes of a file; a larger one is copied to the disk
_PIECE = 2**20


def content_of(path: Path, max_pixels: int) -> Content:
    """The bytes of a file.

    Raises:
        CnlrnError: no such file, a folder, not readable, changed meanwhile, larger than `limits.max_bytes`, or the disk
            for temporary files is full.
    """
    with _reading(str(path)), path.open("rb") as file:
        before = os.fstat(file.fileno())
        regular = stat.S_ISREG(before.st_mode)  # not a pipe, say
        if regular:
            check_bytes(before.st_size, max_pixels, str(path))
        content = read_stream(file, max_pixels, str(path))
        after = os.fstat(file.fileno())
    unchanged = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    if regular and not (unchanged and len(content) == before.st_size):
        raise UnreadablePicture(f"{path} was changed while it was read; try again when it is complete")
    return content


def read_stream(file: BinaryIO, max_pixels: int, name: str) -> Content:
    """The bytes of an open file or pipe, from where it is to its end.

    Raises:
        CnlrnError: not readable, larger than `limits.max_bytes`, or the disk for temporary files is full.
    """
    pieces = _pieces(file, max_pixels, name)
    start, size = [], 0
    for piece in pieces:
        start.append(piece)
        size += len(piece)
        if size > _IN_MEMORY:
            return _mapped(start, pieces, name)
    return b"".join(start)


def _pieces(file: BinaryIO, max_pixels: int, name: str) -> Iterator[bytes]:
    size = 0
    while True:
        with _reading(name):
            piece = file.read(_PIECE)
            if piece is None:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        if not piece:
            return
        size += len(piece)
        check_bytes(size, max_pixels, name)
        yield piece


def _mapped(start: list[bytes], rest: Iterator[bytes], name: str) -> mmap.mmap:
    """The pieces in a file that has no name and only its owner may read, mapped into memory."""
    with _writing(name), tempfile.TemporaryFile() as copy:
        for piece in itertools.chain(start, rest):
            if piece != bytes(len(piece)):
                copy.write(piece)
            else:  # no room on the disk for a hole
                copy.seek(len(piece), os.SEEK_CUR)
        copy.truncate()
        copy.flush()
        return mmap.mmap(copy.fileno(), 0, access=mmap.ACCESS_READ)


@contextlib.contextmanager
def _reading(name: str) -> Iterator[None]:
    """Say what is wrong with a file that cannot be read."""
    try:
        yield
    except FileNotFoundError:
        raise UnreadablePicture(f"{name} does not exist") from None
    except IsADirectoryError:
        raise UnreadablePicture(f"{name} is a folder; give a picture file") from None
    except (OSError, ValueError) as error:
        raise UnreadablePicture(f"{name} cannot be read ({getattr(error, 'strerror', error)})") from error


@contextlib.contextmanager
def _writing(name: str) -> Iterator[None]:
    """Say where room is missing for the temporary copy of a picture."""
    try:
        yield
    except OSError as error:
        raise no_room_for(name, error.strerror or str(error)) from error
