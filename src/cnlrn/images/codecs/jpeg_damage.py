"""Damage in the coded samples of a JPEG that libvips does not see: in the last rows, or too much or too little in all.

There are no checksums in JPEG, so this is what a decoder can notice: codes that do not exist, an end that comes too
early, and bytes that are left. libjpeg tells of the end only where it is asked to finish, which libvips does not do.
Source: ITU-T T.81.
"""

from __future__ import annotations

import mmap
import re

_START, _END = b"\xff\xd8", b"\xff\xd9"
_SEQUENTIAL, _FRAMES = (0xC0, 0xC1), (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
_SCAN = 0xDA
_MARKER = re.compile(rb"\xff[^\0\xd0-\xd7\xff]")  # what ends a scan: no byte of it, and no restart


def is_sound(data: bytes | mmap.mmap) -> bool:
    """Whether the samples of a JPEG file decode without any sign of damage.

    Only sequential JPEG of 8 bits in one scan is looked at, as cameras write it; of others libvips sees what there is.
    """
    scan = _only_scan(data)
    if scan is None:
        return True
    found = _MARKER.search(data, scan)
    if found is not None and found[0] != _END:
        return True
    if found is not None and _decodes(data):
        return True
    end = len(data) if found is None else found.start()
    without = data[:end].rstrip(b"\0")  # some programs fill up with zeros
    some = range(min(4, end - len(without) + 1))  # that may be of the samples
    return any(_decodes(without + bytes(zeros) + _END) for zeros in some)


def with_tables(tables: bytes, stream: bytes) -> bytes:
    """A JPEG file of the tables and one strip or tile of a TIFF."""
    if not tables.startswith(_START) or not stream.startswith(_START):
        return stream
    return tables.removesuffix(_END) + stream[len(_START) :]


def _decodes(jpeg: bytes | mmap.mmap) -> bool:
    """Whether libjpeg finishes without a warning; True of layouts that this binding does not know.

    All codes are decoded, but of their samples only one in 64 is made, so that it takes little time and memory.
    """
    import simplejpeg

    try:
        *_, space, _ = simplejpeg.decode_jpeg_header(jpeg, strict=False)
    except (ValueError, KeyError):
        return True
    wanted = "CMYK" if space in ("CMYK", "YCCK") else "GRAY"
    try:
        simplejpeg.decode_jpeg(jpeg, colorspace=wanted, min_height=1, min_width=1, min_factor=8)
    except ValueError:
        return False
    return True


def _only_scan(data: bytes | mmap.mmap) -> int | None:
    """Where the coded samples of the first scan begin; None if `is_sound` does not look at files of its kind."""
    at, samples = len(_START), 0
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4])
        content = data[at + 4 : at + 2 + size]
        at += 2 + size
        if kind in _FRAMES:
            if kind not in _SEQUENTIAL or len(content) < 6 or content[0] != 8:
                return None
            samples = content[5]
        elif kind == _SCAN:
            return at if content and content[0] == samples else None
    return None
