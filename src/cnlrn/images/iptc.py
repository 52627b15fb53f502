"""IPTC: records of datasets, bare as TIFF holds them or within Photoshop's image resources as JPEG does.

Sources: IPTC-NAA Information Interchange Model 4.2, and Adobe's Photoshop File Formats Specification. What describes
other pixels than those it goes with (thumbnails, sizes, slices) is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_PHOTOSHOP = b"Photoshop 3.0\0"
_RECORDS, _COPYRIGHT_FLAG, _URL, _DIGEST = 1028, 1034, 1035, 1061  # resources that tell about the photo
_PREVIEW = range(200, 203)  # datasets of record 2


def made_true(block: bytes) -> bytes | None:
    """A block of either kind without what is not true of other pixels; None if nothing can be read, or is left."""
    if not block.startswith(_PHOTOSHOP):
        return _true_records(block) or None
    kept: dict[int, bytes] = {}
    for number, data in _resources(block[len(_PHOTOSHOP) :]):
        if number in (_RECORDS, _COPYRIGHT_FLAG, _URL, _DIGEST):
            kept.setdefault(number, data)
    records = kept.get(_RECORDS)
    if records is not None:
        kept[_RECORDS] = _true_records(records)
        if kept[_RECORDS] != records:
            kept.pop(_DIGEST, None)  # of other bytes
    packed = b"".join(_resource(number, data) for number, data in kept.items() if data)
    return _PHOTOSHOP + packed if packed else None


def for_jpeg(block: bytes) -> bytes:
    """A block of either kind as JPEG holds it."""
    return block if block.startswith(_PHOTOSHOP) else _PHOTOSHOP + _resource(_RECORDS, block)


def for_tiff(block: bytes) -> bytes | None:
    """A block of either kind as TIFF holds it; None if it tells nothing in that form."""
    if not block.startswith(_PHOTOSHOP):
        return block
    return dict(_resources(block[len(_PHOTOSHOP) :])).get(_RECORDS)


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of image resources, as far as they can be read."""
    at = 0
    while data[at : at + 4] in (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR") and len(data) >= at + 12:
        number, name = struct.unpack_from(">HB", data, at + 4)
        at += 6 + (name + 2) // 2 * 2
        if len(data) < at + 4:
            return
        (size,) = struct.unpack_from(">I", data, at)
        at += 4
        if len(data) < at + size:
            return
        yield number, data[at : at + size]
        at += size + size % 2


def _resource(number: int, data: bytes) -> bytes:
    return struct.pack(">4sHHI", b"8BIM", number, 0, len(data)) + data + bytes(len(data) % 2)


def _true_records(data: bytes) -> bytes:
    """The datasets about the photo: those of records 1 and 2 that are no preview, as far as they can be read."""
    kept, at = [], 0
    while data[at : at + 1] == b"\x1c" and len(data) >= at + 5:
        record, dataset, size = struct.unpack_from(">BBH", data, at + 1)
        stop = at + 5 + size
        if size >= 2**15:  # the size of a size
            length = size - 2**15
            stop = at + 5 + length + int.from_bytes(data[at + 5 : at + 5 + length]) if length <= 4 else len(data) + 1
        if stop > len(data):
            break
        if record == 1 or (record == 2 and dataset not in _PREVIEW):
            kept.append(data[at:stop])
        at = stop
    return b"".join(kept)
