"""The part of a WebP file that libvips changes: EXIF, as it is.

Source: RFC 9649 (WebP). Nothing here looks into samples.
"""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

_FEATURES_AT = 20  # after the head of the file and that of the first chunk, VP8X
_HAS_EXIF = 8


def add(file: BinaryIO, block: bytes) -> None:
    """Add a block of EXIF to a WebP file of the extended kind that has none, open for reading and writing."""
    content = block.removeprefix(b"Exif\0\0")
    file.seek(0, io.SEEK_END)
    file.write(struct.pack("<4sI", b"EXIF", len(content)) + content + bytes(len(content) % 2))
    size = file.tell()
    file.seek(4)
    file.write(struct.pack("<I", size - 8))
    file.seek(_FEATURES_AT)
    features = file.read(1)[0]
    file.seek(_FEATURES_AT)
    file.write(bytes([features | _HAS_EXIF]))
