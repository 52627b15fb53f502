"""A picture file, or the bytes of one, becomes a `LazyPicture`: what it is, whether it is let in, and opening it.

The content tells the format, whatever the name says.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from cnlrn.errors import CnlrnError
from cnlrn.images.codec import Codec, PictureFile
from cnlrn.images.codecs import bmp, gif, heif, jpeg, png, tiff_pictures, webp
from cnlrn.images.picture import MAX_PIXELS, LazyPicture, Picture

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


def open_picture(source: str | os.PathLike[str] | bytes, max_pixels: int = MAX_PIXELS) -> LazyPicture:
    """Open a picture file, or the bytes of one.

    PNG, JPEG, WebP, TIFF, AVIF, HEIC, BMP and GIF, recognised by content, whatever the name says. The EXIF orientation
    is applied, palettes are expanded, CMYK and Lab are converted to sRGB; RGB and gray keep their own profile, and get
    one where the file names their colour space in another way. Of most formats only the header is read, so a file that
    is damaged further on says so when its samples are asked for.

    Raises:
        CnlrnError: no such file, not readable, empty, cut short, not a picture, of more than `max_pixels` pixels,
            several frames, or of a kind that cannot be read rightly.
    """
    if isinstance(source, bytes):
        return _opened(source, source, "the picture", max_pixels)
    with _content(Path(source)) as content:
        return _opened(source if isinstance(content, mmap.mmap) else content, content, str(source), max_pixels)


@contextlib.contextmanager
def _content(path: Path) -> Iterator[bytes | mmap.mmap]:
    """The bytes of a file, mapped into memory rather than read if it is a regular one."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):  # a pipe, say
                yield file.read()
            elif facts.st_size == 0:
                yield b""
            else:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    yield mapped
    except FileNotFoundError:
        raise CnlrnError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise CnlrnError(f"{path} is a folder; give a picture file") from None
    except (OSError, ValueError) as error:
        raise CnlrnError(f"{path} cannot be read ({getattr(error, 'strerror', error)})") from error


def _opened(
    source: str | os.PathLike[str] | bytes, content: bytes | mmap.mmap, name: str, max_pixels: int
) -> LazyPicture:
    """The picture in a file or in bytes (`source`), whose `content` tells the format."""
    if not content:
        raise CnlrnError(f"{name} is empty")
    head = content[:_HEAD]
    for codec in _CODECS:
        if codec.matches(head):
            return codec.open_file(PictureFile(source, content, name, max_pixels))
    for magic, kind in _KNOWN.items():
        if head.startswith(magic):
            raise CnlrnError(f"{name} is a {kind} file, which cannot be read; convert it to {READABLE}")
    if head[4:8] == b"ftyp":
        raise CnlrnError(f"{name} is a video, which cannot be read; give a still picture of it")
    raise CnlrnError(f"{name} is not a {READABLE} picture")
