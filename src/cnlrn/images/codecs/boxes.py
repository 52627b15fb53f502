"""The boxes that AVIF and HEIF files are made of (ISO/IEC 14496-12, sec. 4.2), without looking into what they hold."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

_MOST = 10_000  # boxes beside each other: real files have a few dozen


def boxes(data: bytes | mmap.mmap, start: int, stop: int) -> Iterator[tuple[bytes, range]]:
    """Types of the boxes one after the other between two places, and where in `data` the content of each lies.

    Ends at the first box that does not end before `stop`, or after 10,000 of them.
    """
    for _ in range(_MOST):
        if start + 8 > stop:
            return
        size, kind, head = int.from_bytes(data[start : start + 4]), data[start + 4 : start + 8], 8
        if size == 1:  # 64 bits follow
            size, head = int.from_bytes(data[start + 8 : start + 16]), 16
        elif size == 0:  # up to the end
            size = stop - start
        if size < head or start + size > stop:
            return
        yield kind, range(start + head, start + size)
        start += size


def sizes(data: bytes | mmap.mmap) -> list[tuple[int, int]]:
    """Widths and heights in pixels that the image items of an AVIF or HEIF file name (their "ispe" properties)."""
    found = []
    for content in _inside(data, range(len(data)), (b"meta", b"iprp", b"ipco", b"ispe")):
        at = content.start + 4  # behind version and flags
        found.append((int.from_bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8])))
    return found


def _inside(data: bytes | mmap.mmap, place: range, path: tuple[bytes, ...]) -> Iterator[range]:
    """Contents of the boxes that are reached by `path`, a box in a box."""
    for kind, content in boxes(data, place.start, place.stop):
        if kind == path[0]:
            inner = range(content.start + 4, content.stop) if kind == b"meta" else content  # "meta" has version, flags
            if len(path) == 1:
                yield content
            else:
                yield from _inside(data, inner, path[1:])
