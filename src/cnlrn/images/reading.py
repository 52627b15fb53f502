"""A picture file, or the bytes of one, becomes a `LazyPicture`: what it is, whether it is let in, and opening it.

The content tells the format, whatever the name says.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnlrn.errors import CnlrnError
from cnlrn.images import colour, metadata
from cnlrn.images.codecs import boxes, png, tiff
from cnlrn.images.codecs.bmp import open_bmp
from cnlrn.images.picture import MAX_PIXELS, LazyPicture, Picture, check_size
from cnlrn.images.vips import damage, pyvips

_READABLE = "PNG, JPEG, WebP, TIFF, AVIF or BMP"


def read(source: str | os.PathLike[str] | bytes) -> Picture:
    """Read a whole picture from a file or from the bytes of one; errors as `open_picture`."""
    return open_picture(source).read()


def open_picture(source: str | os.PathLike[str] | bytes, max_pixels: int = MAX_PIXELS) -> LazyPicture:
    """Open a picture file, or the bytes of one.

    PNG, JPEG, WebP, TIFF, AVIF and BMP, recognised by content, whatever the name says. The EXIF orientation is applied,
    palettes are expanded, CMYK is converted to sRGB through its profile; RGB and gray keep their own profile. Only the
    header is read, so a file that is damaged further on says so when its samples are asked for.

    Raises:
        CnlrnError: no such file, not readable, empty, cut short, not a picture, of more than `max_pixels` pixels,
            several frames, or a kind of sample other than 8-bit, 16-bit or floating point.
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
    loader = _loader(content, name)
    if loader == "bmp":
        return open_bmp(content, name, max_pixels)
    if loader == "tiffload" and tiff.is_raw(content):
        raise CnlrnError(f"{name} is a camera's raw file, which cannot be read; convert it to {_READABLE}")
    if loader == "tiffload" and not tiff.is_whole(content):
        raise CnlrnError(f"{name} is damaged or cut short")
    for size in _claimed_sizes(loader, content):
        check_size(*size, max_pixels, name)
    with damage(name):
        if isinstance(source, bytes):
            image = getattr(pyvips.Image, f"{loader}_buffer")(source, fail_on="truncated")
        else:
            image = getattr(pyvips.Image, loader)(os.fsencode(source), fail_on="truncated")
        check_size(image.width, image.height, max_pixels, name)
        if _is_animation(loader, content) or (image.get_typeof("n-pages") and image.get("n-pages") > 1):
            raise CnlrnError(f"{name} holds several pictures or frames; give a file of one")
        picture = _picture(image.autorot(), name)
    told = tiff.exif(content) if loader == "tiffload" else None
    return picture if told is None else replace(picture, metadata=picture.metadata | {"exif-data": told})


def _loader(data: bytes | mmap.mmap, name: str) -> str:
    """libvips' loader for the format that the first bytes tell."""
    if not data:
        raise CnlrnError(f"{name} is empty")
    head = data[:12]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "pngload"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpegload"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webpload"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiffload"
    if head[4:8] == b"ftyp":
        brands = data[8 : int.from_bytes(head[:4])]
        if b"avif" in brands:
            return "heifload"
        raise CnlrnError(f"{name} is HEIC or a video, which cannot be read; convert it to {_READABLE}")
    if head.startswith(b"BM"):
        return "bmp"
    for magic, kind in ((b"GIF8", "GIF"), (b"8BPS", "PSD"), (b"\xff\x0a", "JPEG XL")):
        if head.startswith(magic):
            raise CnlrnError(f"{name} is a {kind} file, which cannot be read; convert it to {_READABLE}")
    raise CnlrnError(f"{name} is not a {_READABLE} picture")


def _claimed_sizes(loader: str, data: bytes | mmap.mmap) -> list[tuple[int, int]]:
    """Widths and heights that a PNG or AVIF names: libvips prints complaints about impossible ones."""
    if loader == "pngload":
        return [png.size(data)]
    return boxes.sizes(data) if loader == "heifload" else []


def _is_animation(loader: str, data: bytes | mmap.mmap) -> bool:
    """Whether these are the bytes of an animated PNG or an AVIF sequence, of which libvips sees one frame."""
    if loader == "pngload":
        return png.is_animated(data)
    return loader == "heifload" and data[4:12] == b"ftypavis"


def _picture(image: Any, name: str) -> LazyPicture:
    """The picture in an image that libvips has read and turned upright."""
    image = colour.to_rgb_or_gray(image, name)
    return LazyPicture(
        image,
        bool(image.hasalpha()),
        name,
        icc=colour.profile(image),
        metadata=metadata.blocks(image),
        resolution=metadata.plausible(image.xres, image.yres),
    )
