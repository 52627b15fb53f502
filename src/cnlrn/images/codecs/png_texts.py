"""The parts of a PNG file that libvips leaves out or changes: texts and EXIF, as they are.

Sources: Portable Network Graphics, third edition (W3C, 2025), and ImageMagick's raw profiles.
"""

from __future__ import annotations

import contextlib
import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from cnlrn.images.codecs import png_chunks

HEAD = 8 + 25
"""Bytes of the signature and the first chunk, after which others may follow."""

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_XMP = b"XML:com.adobe.xmp"
_PROFILE = b"Raw profile type "
_FALSE = re.compile(rb"(?i)Thumb::|(exif|tiff):.*(Width|Length|Dimension|Orientation|Thumbnail|JPEG|Compress)")
_MOST = 2**24  # bytes


def texts(data: bytes | mmap.mmap) -> bytes:
    """The chunks of text that tell about the picture, but for XMP and other profiles; at most 16 MB of them."""
    found, room = [], _MOST
    for kind, start, stop in _chunks(data):
        if kind not in _TEXTS or stop - start > room:
            continue
        content = data[start:stop]
        keyword = content.partition(b"\0")[0]
        if keyword == _XMP or keyword.startswith(_PROFILE) or _FALSE.match(keyword):
            continue
        found.append(_chunk(kind, content))
        room -= stop - start
    return b"".join(found)


def profiles(data: bytes | mmap.mmap) -> dict[str, bytes]:
    """EXIF, XMP and IPTC by libvips' names, which sees none behind the samples, and none kept as hexadecimal text.

    Such text is ImageMagick's, and older programs'; what is kept in its own way goes before it.
    """
    found: dict[str, bytes] = {}
    texts: dict[str, bytes] = {}
    for kind, start, stop in _chunks(data):
        content = data[start:stop]
        keyword, _, rest = content.partition(b"\0")
        with contextlib.suppress(ValueError, IndexError, zlib.error):
            if kind == b"eXIf":
                found.setdefault("exif-data", content)
            elif kind == b"iTXt" and keyword == _XMP:
                packet = rest[2:].split(b"\0", 2)[2]
                found.setdefault("xmp-data", _inflated(packet) if rest[0] else packet)
            elif kind in (b"tEXt", b"zTXt") and keyword.startswith(_PROFILE):
                name, profile = _profile(_inflated(rest[1:]) if kind == b"zTXt" else rest)
                texts.setdefault(name, profile)
    return texts | found


def _profile(text: bytes) -> tuple[str, bytes]:
    """Libvips' name of a profile in hexadecimal text, and its bytes. ValueError or IndexError if it is none."""
    name, _, rest = text.lstrip().partition(b"\n")
    profile = bytes.fromhex(b"".join(rest.split()[1:]).decode("ascii"))  # after their number
    if profile.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        return "xmp-data", profile.partition(b"\0")[2]
    if profile.startswith((b"Exif\0\0", b"II*\0", b"MM\0*")):
        return "exif-data", profile
    if name in (b"iptc", b"8bim"):
        return "iptc-data", profile if profile[:1] in (b"P", b"\x1c") else b"Photoshop 3.0\0" + profile
    if name == b"xmp":
        return "xmp-data", profile
    raise ValueError(name)


def _inflated(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, _MOST)


def has_density(data: bytes | mmap.mmap) -> bool:
    """Whether a PNG file tells its resolution without EXIF."""
    return any(kind == b"pHYs" and data[stop - 1 : stop] == b"\1" for kind, _, stop in _chunks(data))


def chunks_of(exif: bytes | None, xmp: bytes | None, texts: bytes | None) -> bytes:
    """What goes into a PNG file after its first `HEAD` bytes: a block of EXIF, a packet of XMP and chunks of text."""
    found = _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")) if exif else b""
    return found + (_chunk(b"iTXt", _XMP + bytes(5) + xmp) if xmp else b"") + (texts or b"")


def remove_density(file: BinaryIO) -> None:
    """Make the resolution that a PNG file tells, which is open for reading and writing, that of an unknown unit."""
    at = 8
    while True:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"pHYs":
            file.seek(at)
            file.write(_chunk(kind, struct.pack(">IIB", 1, 1, 0)))
        if kind in (b"pHYs", b"IDAT"):
            return
        at += 12 + size


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _chunks(data: bytes | mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the chunks of text, EXIF and resolution that are undamaged."""
    for kind, content in png_chunks.chunks(data):
        if kind in (*_TEXTS, b"eXIf", b"pHYs") and len(content) <= _MOST:
            (told,) = struct.unpack_from(">I", data, content.stop)
            if told == zlib.crc32(data[content.start : content.stop], zlib.crc32(kind)):
                yield kind, content.start, content.stop
