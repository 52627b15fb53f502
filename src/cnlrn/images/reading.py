"""A picture file, or the bytes of one, becomes a `LazyPicture`: what it is, whether it is let in, and opening it.

The content tells the format, whatever the name says.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from cnlrn.errors import CnlrnError
from cnlrn.images import colour, metadata
from cnlrn.images.codecs import boxes, jpeg_header, png_chunks, tiff
from cnlrn.images.codecs.bmp import open_bmp
from cnlrn.images.limits import check_decoder
from cnlrn.images.picture import MAX_PIXELS, LazyPicture, Picture, check_size
from cnlrn.images.source import Content, content_of, read_stream
from cnlrn.images.vips import Damaged, damage, load

_AVIF_PIXEL = {"uchar": 18, "ushort": 25}  # bytes that libheif takes for each pixel, by libvips' sample formats
_READABLE = "PNG, JPEG, WebP, TIFF, AVIF or BMP"


def read(source: str | os.PathLike[str] | bytes) -> Picture:
    """Read a whole picture from a file or from the bytes of one; errors as `open_picture`."""
    return open_picture(source).read()


def open_picture(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    max_pixels: int = MAX_PIXELS,
    damaged: Literal["refuse", "keep"] = "refuse",
) -> LazyPicture:
    """Open a picture file, the bytes of one, or what an open file or pipe holds from where it is.

    PNG, JPEG, WebP, TIFF, AVIF and BMP, recognised by content, whatever the name says. The EXIF orientation is applied,
    palettes are expanded, CMYK is converted to sRGB through its profile; RGB and gray keep their own profile. The file
    is read at once, so what happens to it afterwards changes nothing; only its header is decoded, so one that is
    damaged further on says so when its samples are asked for.

    `damaged`: "refuse", or "keep" what can be read, which decodes the file at once; the picture's `damage` tells of it.

    Raises:
        CnlrnError: no such file, not readable, empty, cut short, not a picture, changed while it was read, of more than
            `max_pixels` pixels or `limits.max_bytes` bytes, several frames, or a kind of sample other than 8-bit,
            16-bit or floating point.
    """
    if isinstance(source, bytes):
        content: Content = source
        name = "the picture"
    elif isinstance(source, str | os.PathLike):
        content, name = content_of(Path(source), max_pixels), str(source)
    else:
        content, name = read_stream(source, max_pixels, "the picture"), "the picture"
    if damaged == "refuse":
        return _opened(content, name, max_pixels)
    try:
        picture = _opened(content, name, max_pixels)
        picture.decode()
        return picture
    except Damaged:
        picture = _opened(content, name, max_pixels, keep=True)
        picture.decode()
        return replace(picture, damage=f"{name} is damaged or cut short; what can be read of it is kept")


def _opened(content: Content, name: str, max_pixels: int, keep: bool = False) -> LazyPicture:
    """The picture in the bytes of a file; `keep`: what can be read of it if it is damaged."""
    loader = _loader(content, name)
    if loader == "bmp":
        return open_bmp(content, name, max_pixels, keep)
    if loader == "tiffload" and tiff.is_raw(content):
        raise CnlrnError(f"{name} is a camera's raw file, which cannot be read; convert it to {_READABLE}")
    if loader == "tiffload" and not (keep or tiff.is_whole(content)):
        raise Damaged.named(name)
    for size in _claimed_sizes(loader, content):
        check_size(*size, max_pixels, name)
    with damage(name):
        image = load(loader, jpeg_header.mended(content) if loader == "jpegload" else content, keep=keep)
        check_size(image.width, image.height, max_pixels, name)
        if loader == "heifload":
            check_decoder(image.width, image.height, _AVIF_PIXEL[image.format], max_pixels, name)
        if _is_animation(loader, content) or (image.get_typeof("n-pages") and image.get("n-pages") > 1):
            raise CnlrnError(f"{name} holds several pictures or frames; give a file of one")
        picture = _picture(image.autorot(), name)
    told = tiff.exif(content) if loader == "tiffload" else None
    return picture if told is None else replace(picture, metadata=picture.metadata | {"exif-data": told})


def _loader(data: Content, name: str) -> str:
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


def _claimed_sizes(loader: str, data: Content) -> list[tuple[int, int]]:
    """Widths and heights that a PNG or AVIF names: libvips prints complaints about impossible ones."""
    if loader == "pngload":
        return [png_chunks.size(data)]
    return boxes.sizes(data) if loader == "heifload" else []


def _is_animation(loader: str, data: Content) -> bool:
    """Whether these are the bytes of an animated PNG or an AVIF sequence, of which libvips sees one frame."""
    if loader == "pngload":
        return png_chunks.is_animated(data)
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
