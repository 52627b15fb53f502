"""A picture file, or the bytes of one, becomes a `LazyPicture`: what it is, whether it is let in, and opening it.

The content tells the format, whatever the name says.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Literal

from cnlrn import forks
from cnlrn.errors import UnreadablePicture, UnsupportedPicture
from cnlrn.images.codec import Codec, PictureFile
from cnlrn.images.codecs import bmp, gif, heif, jpeg, png, tiff_pictures, webp
from cnlrn.images.picture import MAX_PIXELS, LazyPicture, Picture
from cnlrn.images.source import Content, content_of, read_stream
from cnlrn.images.vips import Damaged

_CODECS: tuple[Codec, ...] = (png, jpeg, webp, tiff_pictures, heif, bmp, gif)
_HEAD = 64  # bytes that tell a format
_KNOWN = {b"8BPS": "PSD", b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000"}
"""Formats that are named though they cannot be read."""

READABLE = "PNG, JPEG, WebP, TIFF, AVIF, HEIC, BMP or GIF"
"""For messages."""

SUFFIXES = frozenset(suffix for codec in _CODECS for suffix in codec.SUFFIXES)
"""Extensions of the files that are taken for pictures when a folder is searched, lower case."""


def read(source: str | os.PathLike[str] | bytes) -> Picture:
    """Read a whole picture from a file or from the bytes of one; errors as `open_picture`."""
    return open_picture(source).read()


def open_picture(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    max_pixels: int = MAX_PIXELS,
    damaged: Literal["refuse", "keep"] = "refuse",
) -> LazyPicture:
    """Open a picture file, the bytes of one, or what an open file or pipe holds from where it is.

    PNG, JPEG, WebP, TIFF, AVIF, HEIC, BMP and GIF, recognised by content, whatever the name says. The EXIF orientation
    is applied, palettes are expanded, CMYK and Lab are converted to sRGB; RGB and gray keep their own profile, and get
    one where the file names their colour space in another way. The file is read at once, so what happens to it
    afterwards changes nothing; of most formats only the header is decoded, so a file that is damaged further on says so
    when its samples are asked for.

    `damaged`: "refuse", or "keep" what can be read, which decodes the file at once; the picture's `damage` tells of it.

    Raises:
        CnlrnError: no such file, not readable, empty, cut short, not a picture, changed while it was read, of more than
            `max_pixels` pixels or `limits.max_bytes` bytes, several frames, or of a kind that cannot be read rightly;
            or this process was forked from one that had restored pictures.
    """
    forks.check()
    if isinstance(source, bytes):
        content: Content = source
        name = "the picture"
    elif isinstance(source, str | os.PathLike):
        content, name = content_of(Path(source), max_pixels), str(source)
    else:
        content, name = read_stream(source, max_pixels, "the picture"), "the picture"
    file = PictureFile(content, name, max_pixels)
    if damaged == "refuse":
        return replace(_opened(file), content=content)
    try:
        picture = _opened(file)
        picture.decode()
    except Damaged:
        try:
            picture = _opened(replace(file, keep=True))
            picture.decode()
        except Damaged as error:
            raise Damaged(f"{name} is damaged or cut short; {_nothing_of(file)} can be kept") from error
        return replace(picture, damage=f"{name} is damaged or cut short; what can be read of it is kept")
    return replace(picture, content=content)


def _nothing_of(file: PictureFile) -> str:
    return "nothing of AVIF and HEIC" if heif.matches(file.content[:_HEAD]) else "nothing of it"


def _opened(file: PictureFile) -> LazyPicture:
    """The picture in a file, whose first bytes tell its format."""
    if not file.content:
        raise UnreadablePicture(f"{file.name} is empty")
    head = file.content[:_HEAD]
    for codec in _CODECS:
        if codec.matches(head):
            return codec.open_file(file)
    for magic, kind in _KNOWN.items():
        if head.startswith(magic):
            raise UnsupportedPicture(f"{file.name} is a {kind} file, which cannot be read; convert it to {READABLE}")
    if head[4:8] == b"ftyp":
        raise UnsupportedPicture(f"{file.name} is a video, which cannot be read; give a still picture of it")
    raise UnreadablePicture(f"{file.name} is not a {READABLE} picture")
