"""A picture becomes a file, or the bytes of one, in one step: what each format can hold, and how libvips writes it.

The whole file is there or none of it.
"""

from __future__ import annotations

import io
import mmap
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from cnlrn.errors import CannotWrite, CnlrnError, TooLarge
from cnlrn.files import check_place, replacing
from cnlrn.images import colour, metadata
from cnlrn.images.codecs import avif, jpeg_segments, png_texts, tiff, webp_exif
from cnlrn.images.picture import LazyPicture, Picture, bytes_of
from cnlrn.images.vips import pyvips


@dataclass(frozen=True)
class Format:
    """What a file format can hold, and how libvips is asked to write it."""

    kind: metadata.Kind
    saver: str
    samples: tuple[str, ...]  # libvips' sample formats, the richest last
    largest_side: int
    options: dict[str, Any]
    alpha: bool = True
    large: int = sys.maxsize  # bytes of samples beyond which large_options are needed, or tiles (AVIF)
    large_options: dict[str, Any] = field(default_factory=dict)
    gray_profiles: bool = True

    def check_size(self, width: int, height: int, pixel: int) -> None:
        """Find out before any work whether the format can hold so many pixels, of `pixel` bytes each, and whether its
        rows are short enough for libvips to write them in 1 GiB of memory; CnlrnError if not."""
        if max(width, height) > self.largest_side:
            raise TooLarge(
                f"the result would have {width}x{height} pixels and this format holds at most {self.largest_side} a "
                f"side; {'make it smaller' if self.largest_side == _LARGEST_SIDE else 'write a PNG or TIFF'}"
            )
        need = width * pixel * min(_ROWS, 5 * height // 2)
        if need > _ROWS_BYTES:
            raise TooLarge(
                f"the result would have {width}x{height} pixels, and writing rows so long would take {need / 1e9:.1f} "
                "GB of memory; make it smaller"
            )

    def is_large(self, image: Any) -> bool:
        """Whether `image` has more than `large` bytes of samples."""
        return bytes_of(image) > self.large

    def options_for(self, image: Any) -> dict[str, Any]:
        """`options`, and what large pictures need besides."""
        return self.options | (self.large_options if self.is_large(image) else {})


_LARGEST_SIDE = 100_000_000  # libvips' own limit
_ROWS = 800  # that libvips holds while it writes, or two and a half times all
_ROWS_BYTES = 2**30
_KEEP = "icc:xmp"
"""The rest is inserted: libvips cuts EXIF and IPTC, fails at EXIF that it does not understand, drops large XMP in JPEG,
and writes it as another kind of text in PNG."""
_PNG = Format(
    "png",
    "pngsave",
    ("uchar", "ushort"),
    _LARGEST_SIDE,
    {"compression": 3, "filter": "paeth", "keep": "icc"},
)
_JPEG = Format(
    "jpeg",
    "jpegsave",
    ("uchar",),
    65500,
    {"Q": 95, "subsample_mode": "off", "keep": "icc"},
    alpha=False,
)
_TIFF = Format(
    "tiff",
    "tiffsave",
    ("uchar", "ushort", "float"),
    _LARGEST_SIDE,
    {"compression": "deflate", "keep": _KEEP},
    large=2**32 - 2**24,  # classic offsets have 32 bits, and compression may not gain anything
    large_options={"bigtiff": True},
)
_WEBP = Format(
    "webp",
    "webpsave",
    ("uchar",),
    16383,
    {"Q": 95, "smart_subsample": True, "keep": _KEEP},
    large=2**26,  # or libwebp takes 20 bytes a pixel instead of 6
    large_options={"smart_subsample": False, "effort": 2},
    gray_profiles=False,
)
_AVIF = Format(
    "avif",
    "heifsave",
    ("uchar", "ushort"),
    16384,
    {"Q": 90, "compression": "av1", "effort": 2, "keep": _KEEP},
    large=2**25,  # or its encoder takes 35 bytes a pixel
    gray_profiles=False,
)
_FORMATS = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".avif": _AVIF,
}


def write(picture: Picture | LazyPicture, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a picture to a file, in the format that the extension names, replacing what was there if `overwrite`.

    An untouched picture becomes a copy of its file where the format stays (`LazyPicture.is_untouched`). Of others PNG
    keeps 8 or 16 bits a sample, TIFF also floating point, AVIF up to 12 bits, JPEG and WebP 8; what a format cannot
    hold is rounded to the nearest it can, and JPEG, which has no alpha, gets a white ground. The ICC profile, metadata
    and resolution go along, but for what `left_out` tells. The file appears whole or not at all: it is written beside
    its place and then renamed. Folders that are absent are made.

    Raises:
        CnlrnError: unknown extension, no permission, disk full, a folder that cannot be made, a picture too large for
            the format, or, without `overwrite`, a file that is there by the time the picture is written.
    """
    path = Path(path)
    file_format = check_target(path)
    picture = _lazy(picture)
    copied = _copied(picture, file_format)
    told = metadata.for_file(picture, file_format.kind)
    image = _to_vips(picture, file_format, told)
    try:
        with replacing(path, overwrite=overwrite) as temporary:
            try:
                with temporary.open("w+b") as file:
                    if copied is not None:
                        file.write(copied)
                    else:
                        _save(image, file_format, told, file)
            except pyvips.Error as error:
                error.__traceback__ = None  # its frames would keep the file open, and so on a full disk
                with temporary.open("ab") as file:  # libvips does not tell of a full disk, this does
                    file.write(bytes(2**16))
                    file.flush()
                    os.fsync(file.fileno())
                raise CannotWrite(f"cannot write {path}: the picture cannot be encoded in this format") from error
    except OSError as error:
        raise CannotWrite(f"cannot write {path} ({error.strerror})") from error


def encode(picture: Picture | LazyPicture, suffix: str = ".png") -> bytes:
    """The bytes of the file of the picture that `write` would make in the format of the extension `suffix`.

    Raises:
        CnlrnError: unknown extension, or a picture too large for the format.
    """
    file_format = format_of(suffix)
    picture = _lazy(picture)
    copied = _copied(picture, file_format)
    if copied is not None:
        return bytes(copied)
    told = metadata.for_file(picture, file_format.kind)
    image = _to_vips(picture, file_format, told)
    with io.BytesIO() as file:
        try:
            _save(image, file_format, told, file)
        except pyvips.Error as error:
            raise CnlrnError("the result cannot be encoded") from error
        return file.getvalue()


def _copied(picture: LazyPicture, file_format: Format) -> bytes | mmap.mmap | None:
    """The bytes of the file of an untouched picture, if it is of this format."""
    stays = picture.format is not None and _FORMATS.get(picture.format) is file_format
    return picture.content if picture.is_untouched and stays else None


def left_out(picture: Picture | LazyPicture, suffix: str) -> tuple[str, ...]:
    """Sentences on what of the picture's source a file of this extension will not hold."""
    picture, file_format = _lazy(picture), format_of(suffix)
    if _copied(picture, file_format) is not None:
        return ()
    return picture.notes + metadata.for_file(picture, file_format.kind).notes


def result_format(of: str | None) -> str:
    """The extension of the result of a picture of the format `of` (an extension): the same if written, else ".png"."""
    return of if of in _FORMATS else ".png"


def _save(image: Any, file_format: Format, told: metadata.Told, file: BinaryIO) -> None:
    """Write an image to an empty file, which is open for reading as well, with the metadata that libvips would not."""
    if file_format is _JPEG:
        segments = jpeg_segments.segments(told.resolution, told.exif_block, told.xmp, told.iptc, told.texts)
        _save_with(segments, jpeg_segments.HEAD, image, file_format, file)
    elif file_format is _PNG:
        chunks = png_texts.chunks_of(told.exif_block, told.xmp, told.texts)
        _save_with(chunks, png_texts.HEAD, image, file_format, file)
        if told.resolution is None:
            png_texts.remove_density(file)
    elif file_format is _AVIF:
        file.writelines(_avif(image, told.exif_block))
    else:
        _save_with(b"", 0, image, file_format, file)
        if file_format is _TIFF:
            tiff.add_metadata(file, told.exif, told.iptc, has_resolution=told.resolution is not None)
        elif told.exif_block is not None:
            webp_exif.add(file, told.exif_block)


def _save_with(added: bytes, place: int, image: Any, file_format: Format, file: BinaryIO) -> None:
    """Write an image by libvips, and `added` after its first `place` bytes."""
    file.seek(len(added))
    options = file_format.options_for(image)
    if isinstance(file, io.BytesIO):
        file.write(getattr(image, f"{file_format.saver}_buffer")(**options))
    else:
        target = pyvips.Target.new_to_descriptor(file.fileno())
        getattr(image, f"{file_format.saver}_target")(target, **options)
    file.seek(len(added))
    start = file.read(place)
    file.seek(0)
    file.write(start + added)


def _avif(image: Any, exif: bytes | None) -> list[bytes]:
    """The bytes of an AVIF file, in pieces; of a large image no more than a tile is in the encoder at a time."""

    def encoded(part: Any) -> bytes:
        return bytes(part.heifsave_buffer(**_AVIF.options))

    if _AVIF.is_large(image):
        return avif.grid(image, encoded, exif)
    return avif.with_exif(encoded(image), exif) if exif else [encoded(image)]


def check_target(path: Path) -> Format:
    """Find out before any work whether `path` can be written; returns the format that its extension names.

    Raises:
        CnlrnError: unknown extension, a folder, a place where no folder can be made, or no permission.
    """
    check_place(path)
    return format_of(path.suffix, f"{path}: ")


def format_of(suffix: str, context: str = "") -> Format:
    """The format that an extension names, such as ".png". CnlrnError, after the words of `context`, if none."""
    file_format = _FORMATS.get(suffix.lower())
    if file_format is None:
        raise CnlrnError(f"{context}pictures are written as {', '.join(_FORMATS)}; choose one of these")
    return file_format


def _lazy(picture: Picture | LazyPicture) -> LazyPicture:
    return picture.lazy() if isinstance(picture, Picture) else picture


def _to_vips(picture: LazyPicture, file_format: Format, told: metadata.Told) -> Any:
    """The libvips image that is handed to the saver: samples, channels, profile and metadata that it is to write."""
    image = picture.image
    file_format.check_size(image.width, image.height, bytes_of(image) // (image.width * image.height))
    gray = image.bands - picture.has_alpha == 1
    if image.format not in file_format.samples:
        image = colour.round_to(image, file_format.samples[-1])
    interpretation = {"uchar": ("srgb", "b-w"), "ushort": ("rgb16", "grey16"), "float": ("scrgb", "b-w")}
    xres, yres = picture.resolution
    image = image.copy(interpretation=interpretation[image.format][gray], xres=xres, yres=yres)
    if picture.has_alpha and not file_format.alpha:
        image = image.flatten(background=255)
    if picture.icc is not None:
        colour.set_profile(image, picture.icc)
        if gray and not file_format.gray_profiles:
            image = image.icc_transform("srgb", embedded=True, depth=16 if image.format == "ushort" else 8)
    metadata.attach(image, told)
    return image
