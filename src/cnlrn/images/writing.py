"""A picture becomes a file, or the bytes of one, in one step: what each format can hold, and how libvips writes it.

The whole file is there or none of it.
"""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnlrn.errors import CnlrnError
from cnlrn.files import check_place, replacing
from cnlrn.images import colour, metadata
from cnlrn.images.codecs import avif, tiff
from cnlrn.images.picture import LazyPicture, Picture, bytes_of
from cnlrn.images.vips import pyvips


@dataclass(frozen=True)
class Format:
    """What a file format can hold, and how libvips is asked to write it."""

    saver: str
    samples: tuple[str, ...]  # libvips' sample formats, the richest last
    largest_side: int
    options: dict[str, Any]
    alpha: bool = True
    large: int = sys.maxsize  # bytes of samples beyond which large_options are needed, or tiles (AVIF)
    large_options: dict[str, Any] = field(default_factory=dict)
    gray_profiles: bool = True

    def check_size(self, width: int, height: int) -> None:
        """Find out before any work whether the format can hold so many pixels; CnlrnError if not."""
        if max(width, height) > self.largest_side:
            raise CnlrnError(
                f"the result would have {width}x{height} pixels and this format holds at most {self.largest_side} a "
                f"side; {'make it smaller' if self.largest_side == _LARGEST_SIDE else 'write a PNG or TIFF'}"
            )

    def is_large(self, image: Any) -> bool:
        """Whether `image` has more than `large` bytes of samples."""
        return bytes_of(image) > self.large

    def options_for(self, image: Any) -> dict[str, Any]:
        """`options`, and what large pictures need besides."""
        return self.options | (self.large_options if self.is_large(image) else {})


_LARGEST_SIDE = 100_000_000  # libvips' own limit
_JPEG = Format("jpegsave", ("uchar",), 65500, {"Q": 95}, alpha=False)
_TIFF = Format(
    "tiffsave",
    ("uchar", "ushort", "float"),
    _LARGEST_SIDE,
    {"compression": "deflate"},
    large=2**32 - 2**24,  # classic offsets have 32 bits, and compression may not gain anything
    large_options={"bigtiff": True},
)
_WEBP = Format(
    "webpsave",
    ("uchar",),
    16383,
    {"Q": 95, "smart_subsample": True},
    large=2**26,  # or libwebp takes 20 bytes a pixel instead of 6
    large_options={"smart_subsample": False, "effort": 2},
    gray_profiles=False,
)
_AVIF = Format(
    "heifsave",
    ("uchar", "ushort"),
    16384,
    {"Q": 90, "compression": "av1", "effort": 2},
    large=2**25,  # or its encoder takes 35 bytes a pixel
    gray_profiles=False,
)
_FORMATS = {
    ".png": Format("pngsave", ("uchar", "ushort"), _LARGEST_SIDE, {"compression": 3, "filter": "paeth"}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".avif": _AVIF,
}
SUFFIXES = frozenset((*_FORMATS, ".bmp"))
"""Extensions of the files that are taken for pictures when a folder is searched, lower case."""


def write(picture: Picture | LazyPicture, path: str | os.PathLike[str]) -> None:
    """Write a picture to a file, in the format that the extension names, replacing what was there.

    PNG keeps 8 or 16 bits a sample, TIFF also floating point, AVIF up to 12 bits, JPEG and WebP 8; what a format cannot
    hold is rounded to the nearest it can, and JPEG, which has no alpha, gets a white ground. The ICC profile, metadata
    and resolution go along. The file appears whole or not at all: it is written beside its place and then renamed.

    Raises:
        CnlrnError: unknown extension, no such folder, no permission, disk full, or a picture too large for the format.
    """
    path = Path(path)
    file_format = check_target(path)
    image = _to_vips(picture, file_format)
    try:
        with replacing(path) as temporary:
            try:
                if file_format is _AVIF and file_format.is_large(image):
                    with temporary.open("wb") as file:
                        file.writelines(_avif_of_tiles(image))
                else:
                    save = getattr(image, file_format.saver)
                    save(os.fsencode(temporary), keep="all", **file_format.options_for(image))
            except pyvips.Error as error:
                error.__traceback__ = None  # its frames would keep the file open, and so on a full disk
                with temporary.open("ab") as file:  # libvips does not tell of a full disk, this does
                    file.write(bytes(2**16))
                    file.flush()
                    os.fsync(file.fileno())
                raise CnlrnError(f"cannot write {path}: the picture cannot be encoded in this format") from error
            if file_format is _TIFF and "exif-data" in picture.metadata:
                with temporary.open("rb+") as file:
                    tiff.add_exif(file, picture.metadata["exif-data"], image.width, image.height)
    except OSError as error:
        raise CnlrnError(f"cannot write {path} ({error.strerror})") from error


def encode(picture: Picture | LazyPicture, suffix: str = ".png") -> bytes:
    """The bytes of the file of the picture that `write` would make in the format of the extension `suffix`.

    Raises:
        CnlrnError: unknown extension, or a picture too large for the format.
    """
    file_format = format_of(suffix)
    image = _to_vips(picture, file_format)
    saver = getattr(image, f"{file_format.saver}_buffer")
    try:
        if file_format is _AVIF and file_format.is_large(image):
            return b"".join(_avif_of_tiles(image))
        data: bytes = saver(keep="all", **file_format.options_for(image))
    except pyvips.Error as error:
        raise CnlrnError("the result cannot be encoded") from error
    if file_format is _TIFF and "exif-data" in picture.metadata:
        with io.BytesIO(data) as file:
            tiff.add_exif(file, picture.metadata["exif-data"], image.width, image.height)
            return file.getvalue()
    return data


def _avif_of_tiles(image: Any) -> list[bytes]:
    """The bytes of an AVIF file of `image`, in pieces, with no more than a tile in the encoder at a time."""
    return avif.grid(image, lambda tile: bytes(tile.heifsave_buffer(keep="all", **_AVIF.options)))


def check_target(path: Path) -> Format:
    """Find out before any work whether `path` can be written; returns the format that its extension names.

    Raises:
        CnlrnError: unknown extension, a folder, no such folder, or no permission.
    """
    check_place(path)
    return format_of(path.suffix, f"{path}: ")


def format_of(suffix: str, context: str = "") -> Format:
    """The format that an extension names, such as ".png". CnlrnError, after the words of `context`, if none."""
    file_format = _FORMATS.get(suffix.lower())
    if file_format is None:
        raise CnlrnError(f"{context}pictures are written as {', '.join(_FORMATS)}; choose one of these")
    return file_format


def _to_vips(picture: Picture | LazyPicture, file_format: Format) -> Any:
    """The libvips image that is handed to the saver: samples, channels, profile and metadata that the format holds."""
    if isinstance(picture, Picture):
        picture = picture.lazy()
    image = picture.image
    file_format.check_size(image.width, image.height)
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
    metadata.attach(image, picture.metadata, jpeg=file_format is _JPEG)
    return image
