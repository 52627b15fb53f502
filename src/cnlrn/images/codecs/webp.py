"""Reading WebP: libvips does it; here are the refusal of animations and what tells damage, as there are no checksums.

Source: RFC 9649 (WebP) and RFC 6386 (VP8).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from cnlrn.images.codec import PictureFile, several
from cnlrn.images.picture import LazyPicture
from cnlrn.images.source import Content
from cnlrn.images.vips import Damaged, load, pyvips

SUFFIXES = (".webp",)
_HEAD = 12  # bytes before the first chunk
_SPARE = {b"VP8 ": 8, b"VP8L": 4}  # bytes at the end of the samples that a decoder may do without, by kinds of chunks
_LEAST = 64  # bytes of samples that are looked at
_MOST_MISSING = 16  # times as long a file may have been, of which something is kept


def matches(head: bytes) -> bool:
    """Whether this is the start of a WebP."""
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def open_file(file: PictureFile) -> LazyPicture:
    """The picture in a WebP. CnlrnError as a `Codec`'s, and of an animation."""
    if file.keep:
        file = replace(file, content=_filled_up(file.content))
    image = file.load("webpload")
    if image.get_typeof("n-pages") and image.get("n-pages") > 1:
        raise several(file.name)
    if not file.keep and _has_spare_samples(file.content):
        raise Damaged.named(file.name)
    return file.picture(image)


def _filled_up(content: Content) -> Content:
    """The file as long as it says that it is: of what follows what is there a decoder makes one colour or another."""
    size = 8 + int.from_bytes(content[4:8], "little")
    return content[:].ljust(size, b"\0") if len(content) < size <= _MOST_MISSING * len(content) else content


def _has_spare_samples(content: Content) -> bool:
    """Whether the picture can be decoded without the end of its samples, since a decoder lost its way before."""
    for kind, place in _chunks(content):
        if kind not in _SPARE:
            continue
        first = int.from_bytes(content[place.start : place.start + 3], "little") >> 5 if kind == b"VP8 " else 0
        if len(place) - first < _LEAST:  # what is before the samples, in VP8
            return False
        samples = content[place.start : place.stop - _SPARE[kind]]
        chunk = struct.pack("<4sI", kind, len(samples)) + samples + bytes(len(samples) % 2)
        try:
            load("webpload", struct.pack("<4sI4s", b"RIFF", 4 + len(chunk), b"WEBP") + chunk).avg()
        except pyvips.Error:
            return False
        return True
    return False


def _chunks(content: Content) -> Iterator[tuple[bytes, range]]:
    """Types of the chunks, and where the content of each lies; no more once one is cut short."""
    at = _HEAD
    while at + 8 <= len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        if at + 8 + size > len(content):
            return
        yield content[at : at + 4], range(at + 8, at + 8 + size)
        at += 8 + size + size % 2
