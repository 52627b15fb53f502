"""How much of a BMP file is the picture: a file may be far longer than what its header tells of."""

from __future__ import annotations

import mmap
import struct

_HEADER = 14  # where the second header begins
_OLD = 12  # its size in OS/2's first version
_RUNS = (1, 2)  # compressions without a fixed size: run lengths
_MORE = 2**16  # bytes behind the samples of a file of run lengths


class TooShort(Exception):
    """The file ends before its samples do."""


def picture_part(data: bytes | mmap.mmap) -> tuple[int, int, int]:
    """Width and height in pixels, and how many bytes from the beginning of the file hold the picture.

    Raises:
        TooShort: there is no whole header, or no samples.
    """
    try:
        (start,) = struct.unpack_from("<I", data, 10)
        (size,) = struct.unpack_from("<I", data, _HEADER)
        compression = 0
        if size == _OLD:
            width, height, _, bits = struct.unpack_from("<4H", data, _HEADER + 4)
        else:
            width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, _HEADER + 4)
    except struct.error as error:
        raise TooShort from error
    if start > len(data):
        raise TooShort
    width, height = abs(width), abs(height)
    row = (width * bits + 31) // 32 * 4
    if compression in _RUNS:  # at worst a run for each pixel and an end for each row
        return width, height, min(len(data), start + 2 * (width + 1) * height + _MORE)
    return width, height, start + row * height
