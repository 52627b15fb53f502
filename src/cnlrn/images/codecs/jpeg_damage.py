"""Damage in the coded samples of a JPEG that libvips does not see: in the last rows, or too much or too little in all.

There are no checksums in JPEG, so this is what a decoder can notice: codes that do not exist, an end that comes too
early, and bytes that are left. Source: ITU-T T.81.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass

from cnlrn.images.codecs import coded
from cnlrn.images.codecs import tiff_directory as tags

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SEQUENTIAL, _FRAMES = (0xC0, 0xC1), (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_SCAN = 0xDA
_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")  # what ends a scan: no byte of it, and no restart
_PHOTOMETRICS = {1: 1, 3: 6, 4: 5}  # gray, YCbCr and inks, as TIFF numbers them


@dataclass(frozen=True)
class _Frame:
    width: int
    height: int
    samples: int
    sampling: tuple[int, int]
    scan: int  # where its coded samples begin


def is_sound(data: bytes | mmap.mmap) -> bool:
    """Whether the samples of a JPEG file decode without any sign of damage.

    Only sequential JPEG of 8 bits in one scan is looked at, as cameras write it; of others libvips sees what there is.
    """
    frame = _frame(data)
    if frame is None:
        return True
    found = _MARKER.search(data, frame.scan)
    end = len(data) if found is None else found.start()
    if found is not None and found[0] != _END:
        return True
    if _decodes(data[:end] + _END, frame):
        return True
    without = data[:end].rstrip(b"\0")  # some programs fill up with zeros
    some = range(min(4, end - len(without)))  # that may be of the samples
    return any(_decodes(without + bytes(zeros) + _END, frame) for zeros in some)


def with_tables(tables: bytes, stream: bytes) -> bytes:
    """A JPEG file of the tables and one strip or tile of a TIFF."""
    if not tables.startswith(_START) or not stream.startswith(_START):
        return stream
    return tables.removesuffix(_END) + stream[len(_START) :]


def _decodes(jpeg: bytes, frame: _Frame) -> bool:
    entries = coded.one_strip(jpeg, frame.width, frame.height, frame.samples, tags.JPEG)
    entries[tags.PHOTOMETRIC] = [_PHOTOMETRICS[frame.samples]]
    if frame.samples == 3:
        entries[tags.SUBSAMPLING] = frame.sampling
    return coded.decodes(jpeg, entries)


def _frame(data: bytes | mmap.mmap) -> _Frame | None:
    """What the header says of the picture; None if it is of a kind that `is_sound` does not look at."""
    at, frame = len(_START), None
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, (size,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        content = data[at + 4 : at + 2 + size]
        at += 2 + size
        if kind in _FRAMES:
            if kind not in _SEQUENTIAL or len(content) < 6 or len(content) != 6 + 3 * content[5]:
                return None
            bits, height, width, samples = struct.unpack_from(">BHHB", content)
            sampling = [(part >> 4, part & 15) for part in content[7::3]]
            usual = sampling[0][0] in (1, 2, 4) and sampling[0][1] in (1, 2) and set(sampling[1:]) <= {(1, 1)}
            if bits != 8 or samples not in _PHOTOMETRICS or not (width and height and usual):
                return None
            if samples != 3 and sampling[0] != (1, 1):
                return None
            frame = _Frame(width, height, samples, sampling[0], 0)
        elif kind == _SCAN:
            if frame is None or not content or content[0] != frame.samples:
                return None
            return _Frame(frame.width, frame.height, frame.samples, frame.sampling, at)
    return None
