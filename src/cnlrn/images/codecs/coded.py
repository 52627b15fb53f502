"""Coded samples of any file in a TIFF directory of ours, by which libtiff decodes them.

libtiff decodes LZW, PackBits and JPEG by themselves, and tells what it stumbled over, where other loaders pass over it.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cnlrn.images.codecs import tiff_directory as tags
from cnlrn.images.vips import load, pyvips

HEAD = 16
"""Bytes before the coded samples in `as_tiff`: what begins at `place` in them begins at `HEAD + place` in it."""

Numbers = Sequence[int] | NDArray[np.int64]
_LONG8 = 16  # a type: numbers of 64 bits


def as_tiff(data: bytes | mmap.mmap, entries: Mapping[int, Numbers]) -> bytes:
    """A little-endian BigTIFF of `data` and a directory of `entries`, numbers by tags, behind it."""
    values_at = HEAD + len(data) + 8 + 20 * len(entries) + 8
    table, values = struct.pack("<Q", len(entries)), b""
    for tag, numbers in sorted(entries.items()):
        packed = np.asarray(numbers, "<u8").tobytes()
        place = packed
        if len(packed) > 8:
            place = struct.pack("<Q", values_at + len(values))
            values += packed
        table += struct.pack("<HHQ", tag, _LONG8, len(packed) // 8) + place
    return b"".join([b"II+\0", struct.pack("<HHQ", 8, 0, HEAD + len(data)), data, table, bytes(8), values])


def one_strip(data: bytes, width: int, height: int, samples: int, compression: int) -> dict[int, Numbers]:
    """The entries of a picture of 8 bits whose only strip is `data`."""
    return {
        tags.WIDTH: [width],
        tags.HEIGHT: [height],
        tags.BITS: [8] * samples,
        tags.COMPRESSION: [compression],
        tags.PHOTOMETRIC: [1],
        tags.STRIPS: [HEAD],
        tags.SAMPLES: [samples],
        tags.ROWS: [height],
        tags.STRIP_SIZES: [len(data)],
    }


def decodes(data: bytes, entries: Mapping[int, Numbers]) -> bool:
    """Whether libtiff decodes `data`, as `entries` describe it, without any complaint."""
    try:
        load("tiffload", as_tiff(data, entries), fail_on="warning", access="sequential").avg()
    except pyvips.Error:
        return False
    return True
