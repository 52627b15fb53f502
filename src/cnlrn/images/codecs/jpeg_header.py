"""Harmless faults of JPEG headers, mended so that every warning of the decoder means damage (ITU-T T.81, annex B).

Decoders warn of what does no harm, bytes between segments for one, in the same way as of samples that are lost.
"""

from __future__ import annotations

import mmap

_START, _SCAN, _BASELINE, _JFIF, _ADOBE = 0xD8, 0xDA, (0xC0, 0xC1), 0xE0, 0xEE
_ALONE = (0x01, *range(0xD0, 0xD8))  # markers without content
_MOST = 10_000  # segments before the first scan


def mended(data: bytes | mmap.mmap) -> bytes | mmap.mmap:
    """The file with a header that no decoder warns of, or `data` itself where there is nothing to mend.

    Left out are bytes between segments before the first scan. Set right are the version in a JFIF segment, the colour
    transform in Adobe's, and the parameters of progressive scans in the first scan of a file that is not progressive.
    """
    parts = [data[:2]]
    at, sequential, changed = 2, False, False
    for _ in range(_MOST):
        start = _marker(data, at)
        if start is None:
            return data
        changed |= start != at
        kind = data[start + 1]
        length = 0 if kind in _ALONE else int.from_bytes(data[start + 2 : start + 4])
        at = start + 2 + length
        if at > len(data) or (length < 2 and kind not in _ALONE):
            return data
        segment = data[start:at]
        sequential |= kind in _BASELINE
        right = _right(kind, segment, sequential)
        changed |= right != segment
        parts.append(right)
        if kind == _SCAN:
            return b"".join([*parts, data[at:]]) if changed else data
    return data


def _marker(data: bytes | mmap.mmap, at: int) -> int | None:
    """Where the next marker begins, from `at`; None if there is none."""
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        if data[at + 1] not in (0, 0xFF):
            return at
        at += 1
    return None


def _right(kind: int, segment: bytes, sequential: bool) -> bytes:
    """A segment, marker included, without what decoders warn of."""
    if kind == _JFIF and segment[4:9] == b"JFIF\0" and len(segment) >= 11 and segment[9] not in (1, 2):
        return segment[:9] + b"\1\2" + segment[11:]
    if kind == _ADOBE and segment[4:9] == b"Adobe" and len(segment) >= 16 and segment[15] > 2:
        return segment[:15] + b"\1" + segment[16:]
    if kind == _SCAN and sequential:
        return segment[:-3] + b"\0\x3f\0"  # all coefficients, at full precision
    return segment
