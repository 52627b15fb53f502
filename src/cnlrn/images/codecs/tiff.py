"""The little of the TIFF format that libvips leaves out: samples that are computed in any order, and EXIF.

Sources: TIFF 6.0 (Adobe, 1992), and BigTIFF, which has 64-bit offsets. Nothing here looks into samples.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import numpy as np

from cnlrn.images.exif import Directory, Exif, Layout, Value

_FORMS = {3: "H", 4: "I", 16: "Q"}  # types of numbers, as `struct` writes them
_IPTC, _UNDEFINED = 33723, 7  # a tag, and a type: any bytes
_MOST_STRIPS = 2**20
HEAD = 16
"""Bytes before the samples of a file that has the `ends`."""

_UNKNOWN_RESOLUTION: Directory = {
    282: Value(5, struct.pack("<II", 1, 1)),
    283: Value(5, struct.pack("<II", 1, 1)),
    296: Value(3, struct.pack("<H", 1)),
}


def ends(height: int, width: int, bands: int, dtype: np.dtype[Any]) -> tuple[bytes, bytes]:
    """What goes before and after the samples in an uncompressed BigTIFF (little-endian; TIFF 6.0).

    A row a strip, or in pictures of more than a million rows so many that there are no more strips than that: libvips
    holds a table of them.
    """
    short, long, long8 = _FORMS
    row = width * bands * dtype.itemsize
    rows = -(-height // _MOST_STRIPS)
    strips = -(-height // rows)
    sizes = np.full(strips, rows * row, "<u8")
    sizes[-1] = (height - rows * (strips - 1)) * row
    numbers: dict[int, tuple[int, list[int]]] = {
        256: (long, [width]),
        257: (long, [height]),
        258: (short, [8 * dtype.itemsize] * bands),
        259: (short, [1]),  # no compression
        262: (short, [1 if bands < 3 else 2]),  # gray or RGB
        277: (short, [bands]),
        278: (long, [rows]),
        284: (short, [1]),  # the bands of a pixel side by side
        338: (short, [2]),  # alpha, not premultiplied
        339: (short, [3 if dtype.kind == "f" else 1] * bands),
    }
    if bands in (1, 3):
        del numbers[338]
    tags = {
        tag: (kind, len(values), struct.pack(f"<{len(values)}{_FORMS[kind]}", *values))
        for tag, (kind, values) in numbers.items()
    }
    starts = HEAD + rows * row * np.arange(strips, dtype="<u8")
    tags[273] = (long8, strips, starts.tobytes())
    tags[279] = (long8, strips, sizes.tobytes())
    directory_at = HEAD + height * row
    values_at = directory_at + 8 + 20 * len(tags) + 8
    directory, values = struct.pack("<Q", len(tags)), b""
    for tag, (kind, count, packed) in sorted(tags.items()):
        directory += struct.pack("<HHQ", tag, kind, count)
        if len(packed) > 8:
            directory += struct.pack("<Q", values_at + len(values))
            values += packed
        else:
            directory += packed.ljust(8, b"\0")
    return struct.pack("<4sHHQ", b"II+\0", 8, 0, directory_at), directory + bytes(8) + values


def add_metadata(file: BinaryIO, exif: Exif | None, iptc: bytes | None, *, has_resolution: bool) -> None:
    """Add EXIF and IPTC to a TIFF file that has none, open for reading and writing.

    The entries that are there and these become a new first directory at the end of the file. `has_resolution`: that
    which the file tells is true; otherwise it becomes that of an unknown unit, as the format demands one.
    """
    added = exif.for_tiff() if exif is not None else {}
    if iptc is not None:
        added[_IPTC] = Value(_UNDEFINED, iptc)
    file.seek(0)
    start = file.read(16)
    order, big = "<" if start[:2] == b"II" else ">", 43 in start[2:4]
    number, count, size = ("Q", "Q", 20) if big else ("I", "H", 12)

    def append(content: bytes) -> int:
        end = file.seek(0, io.SEEK_END)
        file.write(bytes(end % 2) + content)
        return end + end % 2

    (first,) = struct.unpack_from(order + number, start, 8 if big else 4)
    file.seek(first)
    (length,) = struct.unpack(order + count, file.read(struct.calcsize("=" + count)))
    there = [file.read(size) for _ in range(length)]
    end = file.seek(0, io.SEEK_END)
    layout = Layout(order, end + end % 2, big=big)
    entries = layout.entries(added) | {struct.unpack_from(order + "H", entry)[0]: entry for entry in there}
    if not has_resolution:
        entries |= layout.entries(_UNKNOWN_RESOLUTION)
    append(layout.content())
    last = bytes(struct.calcsize("=" + number))
    packed = b"".join(entry for _, entry in sorted(entries.items()))
    at = append(struct.pack(order + count, len(entries)) + packed + last)
    file.seek(8 if big else 4)
    file.write(struct.pack(order + number, at))
