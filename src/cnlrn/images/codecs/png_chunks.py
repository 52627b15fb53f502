"""The chunks of a PNG file (W3C PNG, third edition, sec. 5), without looking into samples."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST = 100_000  # chunks looked at: a file of more has nothing behind them that is worth the time


def chunks(data: bytes | mmap.mmap) -> Iterator[tuple[bytes, range]]:
    """Types of the chunks of a PNG file in their order, and where in `data` the content of each lies.

    Ends at IEND, at the first chunk that is cut short, or after 100,000 chunks. Checksums are not looked at.
    """
    at = len(_SIGNATURE)
    for _ in range(_MOST):
        content = range(at + 8, at + 8 + int.from_bytes(data[at : at + 4]))
        kind = data[at + 4 : at + 8]
        at = content.stop + 4  # behind the checksum
        if len(kind) < 4 or at > len(data):
            return
        yield kind, content
        if kind == b"IEND":
            return
