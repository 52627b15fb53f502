"""The parts of a JPEG file that libvips leaves out or changes: comments, EXIF and XMP as they are, and the density.

Sources: ITU-T T.81 (segments), JFIF 1.02, Exif 3.0 and ISO 16684-3 (XMP).
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterator

HEAD = 2
"""Bytes in front of the first segment."""

LARGEST = 65533
"""Bytes that a segment holds at most, its length aside."""

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
LARGEST_XMP = LARGEST - len(_XMP)

_COMMENT, _JFIF, _APP1, _APP13 = 0xFE, 0xE0, 0xE1, 0xED
_OF_ENCODER = re.compile(rb"gd-jpeg|Lavc\d|JPEGmini|(?i:quality) ?= ?\d")
_MOST_COMMENTS = 2**20  # bytes


def comments(data: bytes | mmap.mmap) -> bytes:
    """The comments of a JPEG file before its samples, as segments, one after the other; at most 1 MB.

    Those in which an encoder tells its name and quality are left out: another one writes the result.
    """
    found, room = [], _MOST_COMMENTS
    for kind, start, stop in _segments(data):
        if kind == _COMMENT and stop - start <= room and not _OF_ENCODER.search(data[start:stop]):
            found.append(_segment(_COMMENT, data[start:stop]))
            room -= stop - start
    return b"".join(found)


def has_density(data: bytes | mmap.mmap) -> bool:
    """Whether a JPEG file tells its resolution by itself, without EXIF."""
    for kind, start, _ in _segments(data):
        if kind == _JFIF and data[start : start + 5] == b"JFIF\0":
            return data[start + 7 : start + 8] in (b"\1", b"\2")
    return False


def segments(
    resolution: tuple[float, float] | None,
    exif: bytes | None,
    xmp: bytes | None,
    iptc: bytes | None,
    comments: bytes | None,
) -> bytes:
    """What goes into a JPEG file after its first `HEAD` bytes: segments of at most `LARGEST` bytes each.

    `resolution`: pixels per millimetre, None if unknown.
    """
    dots = [round(per_millimetre * 25.4) for per_millimetre in resolution or ()]
    density = (1, *dots) if dots and all(0 < number < 2**16 for number in dots) else (0, 1, 1)
    packed = [_segment(_JFIF, struct.pack(">5sHBHHBB", b"JFIF\0", 0x102, *density, 0, 0))]
    for kind, content in ((_APP1, exif), (_APP1, xmp and _XMP + xmp), (_APP13, iptc)):
        if content:
            packed.append(_segment(kind, content))
    return b"".join(packed) + (comments or b"")


def _segment(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, 2 + len(content)) + content


def _segments(data: bytes | mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """Kind, begin and end of the segments before the samples, as far as they can be read."""
    at = HEAD
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # filling
            at += 1
            continue
        (size,) = struct.unpack_from(">H", data, at + 2)
        if kind == 0xDA or size < 2 or at + 2 + size > len(data):
            return
        yield kind, at + 4, at + 2 + size
        at += 2 + size
