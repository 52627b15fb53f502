"""Picture files in and out, by libvips.

A file is opened as a `LazyPicture`, whose samples are decoded when they are asked for, and read whole as a `Picture`:
upright pixels with the alpha channel apart, and what the file said besides (ICC profile, EXIF, XMP, resolution). Either
becomes a file in one step: the whole file is there or none of it. A `Spool` holds rows that are being computed. This
room does not compute on pixels beyond what a file format asks for (CMYK to RGB, fewer bits a sample, no alpha).
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import re
import stat
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

os.environ.setdefault("VIPS_WARNING", "0")  # libvips shall print no warnings
import pyvips
from numpy.typing import NDArray

from cnlrn import avif, tiff
from cnlrn.errors import CnlrnError
from cnlrn.files import beside, check_place, replacing

Pixels = NDArray[np.uint8 | np.uint16 | np.float32]

MAX_PIXELS = 100_000_000
"""Pictures of more pixels are refused unless the caller raises the limit: small files can claim to be huge."""

_IN_MEMORY = 64 * 2**20  # bytes of rows that are not worth a temporary file
pyvips.cache_set_max(0)  # a file may change between two readings of it


def _text(message: Any) -> str:
    """A message of libvips. It may quote bytes of a file or its name that are no UTF-8, at which pyvips' own fails."""
    return "" if message == pyvips.ffi.NULL else str(pyvips.ffi.string(message).decode(errors="replace"))


pyvips._remove_log_handler()  # Python called back from C swallows the exception of a signal that comes then
pyvips.error._to_string = _text  # or libvips would keep the message, and every later call would fail at it


@dataclass(frozen=True, kw_only=True)
class _Extras:
    """What a file says besides its pixels.

    `icc`: the ICC profile, or None (sRGB). `metadata`: raw EXIF, XMP and IPTC blocks under libvips' names.
    `resolution`: pixels per millimetre, horizontal and vertical.
    """

    icc: bytes | None = None
    metadata: dict[str, bytes] = field(default_factory=dict)
    resolution: tuple[float, float] = (1.0, 1.0)

    def extras(self) -> dict[str, Any]:
        """These fields by name, to be handed on to another picture."""
        return {key.name: getattr(self, key.name) for key in fields(_Extras)}


@dataclass(frozen=True, eq=False)
class Picture(_Extras):
    """One still picture, upright.

    `pixels`: height x width x 1 (gray) or 3 (RGB); uint8, uint16, or float32 in [0, 1]; in the space of `icc`.
    `alpha`: height x width of the same dtype, not premultiplied, or None.
    """

    pixels: Pixels
    alpha: Pixels | None = None

    def lazy(self) -> LazyPicture:
        """The same as a `LazyPicture`, over the memory of these arrays."""
        image = as_vips(self.pixels)
        if self.alpha is not None:
            image = image.bandjoin(as_vips(self.alpha[..., None]))
        return LazyPicture(image, self.alpha is not None, **self.extras())


@dataclass(frozen=True, eq=False)
class LazyPicture(_Extras):
    """One still picture, upright, whose samples are decoded or computed when they are asked for.

    `image`: a libvips image of 1 (gray) or 3 (RGB) bands, and one more if `has_alpha`; uchar, ushort or float.
    `name`: for error messages.
    """

    image: Any
    has_alpha: bool = False
    name: str = "the picture"

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.image.width)

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.image.height)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples: uint8, uint16 or float32."""
        return np.dtype(_DTYPES[self.image.format])

    @property
    def is_large(self) -> bool:
        """Whether it is better kept in a file than in memory while it waits."""
        return _bytes_of(self.image) > _IN_MEMORY

    def decode(self) -> None:
        """Decode a file now, to memory or, of more than 100 MB, to a temporary file; without it the first rows do.

        Raises:
            CnlrnError: the file is damaged or cut short.
        """
        with _damage(self.name):
            self.image(0, 0)

    def samples(self) -> Pixels:
        """All samples, height x width x bands. CnlrnError as `decode`."""
        with _damage(self.name):
            return as_array(self.image)

    def read(self) -> Picture:
        """The whole picture as arrays. CnlrnError as `decode`."""
        samples = self.samples()
        colours = samples.shape[2] - self.has_alpha
        alpha = samples[..., colours] if self.has_alpha else None
        return Picture(samples[..., :colours], alpha, **self.extras())


@dataclass(frozen=True)
class _Format:
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
        return _bytes_of(image) > self.large

    def options_for(self, image: Any) -> dict[str, Any]:
        """`options`, and what large pictures need besides."""
        return self.options | (self.large_options if self.is_large(image) else {})


_LARGEST_SIDE = 100_000_000  # libvips' own limit
_JPEG = _Format("jpegsave", ("uchar",), 65500, {"Q": 95}, alpha=False)
_TIFF = _Format(
    "tiffsave",
    ("uchar", "ushort", "float"),
    _LARGEST_SIDE,
    {"compression": "deflate"},
    large=2**32 - 2**24,  # classic offsets have 32 bits, and compression may not gain anything
    large_options={"bigtiff": True},
)
_WEBP = _Format(
    "webpsave",
    ("uchar",),
    16383,
    {"Q": 95, "smart_subsample": True},
    large=2**26,  # or libwebp takes 20 bytes a pixel instead of 6
    large_options={"smart_subsample": False, "effort": 2},
    gray_profiles=False,
)
_AVIF = _Format(
    "heifsave",
    ("uchar", "ushort"),
    16384,
    {"Q": 90, "compression": "av1", "effort": 2},
    large=2**25,  # or its encoder takes 35 bytes a pixel
    gray_profiles=False,
)
_FORMATS = {
    ".png": _Format("pngsave", ("uchar", "ushort"), _LARGEST_SIDE, {"compression": 3, "filter": "paeth"}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".avif": _AVIF,
}
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
_METADATA = ("exif-data", "xmp-data", "iptc-data")
_READABLE = "PNG, JPEG, WebP, TIFF, AVIF or BMP"
SUFFIXES = frozenset((*_FORMATS, ".bmp"))
"""Extensions of the files that are taken for pictures when a folder is searched, lower case."""


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
                raise CnlrnError(f"cannot write {path}{_because(error)}") from error
            if file_format is _TIFF and "exif-data" in picture.metadata:
                with temporary.open("rb+") as file:
                    tiff.add_exif(file, picture.metadata["exif-data"], image.width, image.height)
    except OSError as error:
        raise CnlrnError(f"cannot write {path} ({error.strerror})") from error


def _bytes_of(image: Any) -> int:
    """Of all samples of a libvips image."""
    return int(image.width * image.height * image.bands * np.dtype(_DTYPES[image.format]).itemsize)


class Spool:
    """Rows of a picture that are being computed, from top to bottom: in memory, or in a file when they are many.

    The file is an uncompressed TIFF, which libvips reads piece by piece, where it would map raw samples into memory. It
    lies in the folder where the picture will be written and is gone when the spool is closed.
    """

    def __init__(self, height: int, width: int, bands: int, dtype: Any, target: Path | None) -> None:
        """`target`: the file that will be written; None keeps everything in memory.

        Raises:
            CnlrnError: no file can be made in the folder of `target`.
        """
        self._shape, self._dtype, self._filled = (height, width, bands), np.dtype(dtype), 0
        self._rows: Pixels | None = None
        self._file: io.BufferedWriter | None = None
        self._target = target
        if target is None or height * width * bands * self._dtype.itemsize <= _IN_MEMORY:
            self._rows = np.empty(self._shape, dtype)
        else:
            with _disk(target):
                self._path = beside(target, ".rows")
                self._file = self._path.open("xb")

    def __enter__(self) -> Self:
        """Nothing but itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `close`."""
        self.close()

    @property
    def on_disk(self) -> bool:
        """Whether the rows are too many for the memory."""
        return self._file is not None

    def append(self, rows: Pixels) -> None:
        """Add rows (rows x width x bands) below those that are there.

        Raises:
            CnlrnError: the disk is full.
        """
        if self._rows is not None:
            self._rows[self._filled : self._filled + len(rows)] = rows
        elif self._file is not None and self._target is not None:
            with _disk(self._target):
                if not self._filled:
                    self._file.write(tiff.header(*self._shape, self._dtype))
                self._file.write(np.ascontiguousarray(rows).data)
        self._filled += len(rows)

    def image(self) -> Any:
        """A libvips image of the rows, to be read once from top to bottom while the spool is open."""
        if self._rows is not None:
            return as_vips(self._rows)
        assert self._file is not None
        assert self._target is not None
        with _disk(self._target):
            self._file.flush()
        return pyvips.Image.tiffload(os.fsencode(self._path), access="sequential")

    def close(self) -> None:
        """Remove the file, if there is one."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be flushed is not wanted any more
                self._file.close()
            self._path.unlink(missing_ok=True)


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
        raise CnlrnError(f"the result cannot be encoded{_because(error)}") from error
    if file_format is _TIFF and "exif-data" in picture.metadata:
        with io.BytesIO(data) as file:
            tiff.add_exif(file, picture.metadata["exif-data"], image.width, image.height)
            return file.getvalue()
    return data


def _avif_of_tiles(image: Any) -> list[bytes]:
    """The bytes of an AVIF file of `image`, in pieces, with no more than a tile in the encoder at a time."""
    return avif.grid(image, lambda tile: bytes(tile.heifsave_buffer(keep="all", **_AVIF.options)))


def check_target(path: Path) -> _Format:
    """Find out before any work whether `path` can be written; returns the format that its extension names.

    Raises:
        CnlrnError: unknown extension, a folder, no such folder, or no permission.
    """
    check_place(path)
    return format_of(path.suffix, f"{path}: ")


def format_of(suffix: str, context: str = "") -> _Format:
    """The format that an extension names, such as ".png". CnlrnError, after the words of `context`, if none."""
    file_format = _FORMATS.get(suffix.lower())
    if file_format is None:
        raise CnlrnError(f"{context}pictures are written as {', '.join(_FORMATS)}; choose one of these")
    return file_format


def as_vips(samples: Pixels) -> Any:
    """A libvips image over the memory of an array of height x width x channels."""
    height, width, channels = samples.shape
    data = np.ascontiguousarray(samples).data
    return pyvips.Image.new_from_memory(data, width, height, channels, _name_of(samples.dtype))


def as_array(image: Any) -> Pixels:
    """The samples of a libvips image (uchar, ushort or float), height x width x channels."""
    samples: Pixels = np.frombuffer(image.write_to_memory(), _DTYPES[image.format])
    return samples.reshape(image.height, image.width, image.bands)


def _name_of(dtype: Any) -> str:
    """libvips' name of a dtype."""
    return {np.dtype(known): name for name, known in _DTYPES.items()}[np.dtype(dtype)]


@contextlib.contextmanager
def _disk(target: Path) -> Iterator[None]:
    """Name the picture that could not be written."""
    try:
        yield
    except OSError as error:
        raise CnlrnError(f"cannot write {target} ({error.strerror})") from error


@contextlib.contextmanager
def _damage(name: str) -> Iterator[None]:
    """Name the picture that libvips could not decode."""
    try:
        yield
    except pyvips.Error as error:
        raise CnlrnError(f"{name} is damaged or cut short{_because(error)}") from error


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
        return _open_bmp(content, name, max_pixels)
    if loader == "tiffload" and tiff.is_raw(content):
        raise CnlrnError(f"{name} is a camera's raw file, which cannot be read; convert it to {_READABLE}")
    if loader == "tiffload" and not tiff.is_whole(content):
        raise CnlrnError(f"{name} is damaged or cut short")
    _check_size(*_claimed_size(loader, content), max_pixels, name)
    with _damage(name):
        if isinstance(source, bytes):
            image = getattr(pyvips.Image, f"{loader}_buffer")(source, fail_on="truncated")
        else:
            image = getattr(pyvips.Image, loader)(os.fsencode(source), fail_on="truncated")
        _check_size(image.width, image.height, max_pixels, name)
        if _is_animation(loader, content) or (image.get_typeof("n-pages") and image.get("n-pages") > 1):
            raise CnlrnError(f"{name} holds several pictures or frames; give a file of one")
        picture = _from_vips(image.autorot(), name)
    told = tiff.exif(content) if loader == "tiffload" else None
    return picture if told is None else replace(picture, metadata=picture.metadata | {"exif-data": told})


def _open_bmp(content: bytes | mmap.mmap, name: str, max_pixels: int) -> LazyPicture:
    """By Pillow, which decodes at once."""
    from PIL import BmpImagePlugin

    try:
        with BmpImagePlugin.BmpImageFile(io.BytesIO(content[:])) as file:
            _check_size(*file.size, max_pixels, name)
            mode = {"1": "L", "L": "L", "RGBA": "RGBA"}.get(file.mode, "RGB")
            samples = np.atleast_3d(np.asarray(file.convert(mode)))
            across, down = (dots / 25.4 for dots in file.info.get("dpi", (0, 0)))
    except CnlrnError:
        raise
    except Exception as error:  # Pillow lets through whatever its parsers stumble over
        raise CnlrnError(f"{name} is damaged or cut short{_because(error)}") from error
    return LazyPicture(as_vips(samples), mode == "RGBA", name, resolution=_plausible(across, down))


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width * height > max_pixels:
        raise CnlrnError(
            f"{name} has {width}x{height} pixels, more than the limit of {max_pixels}; "
            "if it is what you want, raise the limit (--max-pixels)"
        )


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


def _claimed_size(loader: str, data: bytes | mmap.mmap) -> tuple[int, int]:
    """Width and height that a PNG or AVIF names, 0x0 if not found: libvips prints complaints about impossible ones."""
    mark, skip = {"pngload": (b"IHDR", 4), "heifload": (b"ispe", 8)}.get(loader, (b"", 0))
    at = data.find(mark, 0, 2**14) + skip
    if at <= skip:
        return 0, 0
    return int.from_bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8])


def _is_animation(loader: str, data: bytes | mmap.mmap) -> bool:
    """Whether these are the bytes of an animated PNG or an AVIF sequence, of which libvips sees one frame."""
    if loader == "pngload":
        return data.find(b"acTL", 0, data.find(b"IDAT") + 1) > 0
    return loader == "heifload" and data[4:12] == b"ftypavis"


def from_cmyk(samples: Pixels, icc: bytes | None) -> Picture:
    """A picture of CMYK samples, height x width x 4 (0 is no ink), converted to sRGB through their profile."""
    image = as_vips(samples).copy(interpretation="cmyk")
    if icc:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return _from_vips(image, "the picture").read()


def _from_vips(image: Any, name: str) -> LazyPicture:
    if image.interpretation == "cmyk":
        depth = 16 if image.format == "ushort" else 8
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
    elif image.interpretation not in ("b-w", "grey16", "rgb", "srgb", "rgb16", "scrgb", "multiband"):
        image = image.colourspace("srgb")
    if image.format == "double":
        image = image.cast("float")
    if image.format not in _DTYPES:
        raise CnlrnError(f"{name} holds samples of type {image.format}; 8-bit, 16-bit or float is needed")
    has_alpha = bool(image.hasalpha())
    channels = image.bands - has_alpha
    if channels not in (1, 3):
        raise CnlrnError(f"{name} has {image.bands} channels; gray or RGB is needed, with or without alpha")

    blocks = {key: bytes(image.get(key)) for key in (*_METADATA, "icc-profile-data") if image.get_typeof(key)}
    icc = blocks.pop("icc-profile-data", None)
    if icc is not None and icc[16:20] != (b"GRAY" if channels == 1 else b"RGB "):
        icc = None  # not a profile of these channels
    if "exif-data" in blocks:
        blocks["exif-data"] = _without_thumbnail(blocks["exif-data"])
    if "xmp-data" in blocks:  # the pixels are upright by now
        blocks["xmp-data"] = re.sub(rb"(tiff:Orientation(?:=.|>))[2-8]", rb"\g<1>1", blocks["xmp-data"])
    resolution = _plausible(image.xres, image.yres)
    return LazyPicture(image, has_alpha, name, icc=icc, metadata=blocks, resolution=resolution)


def _plausible(across: float, down: float) -> tuple[float, float]:
    """A resolution, pixels per millimetre, or what libvips takes for none where a file says nothing or nonsense."""
    return across if 0 < across < 1e6 else 1.0, down if 0 < down < 1e6 else 1.0


def _without_thumbnail(exif: bytes) -> bytes:
    """An EXIF block that ends after its first directory; the second holds a thumbnail of the picture as it was."""
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = "<" if exif[start:].startswith(b"II") else ">"
    try:
        directory = start + struct.unpack_from(order + "I", exif, start + 4)[0]
        link = directory + 2 + 12 * struct.unpack_from(order + "H", exif, directory)[0]
    except struct.error:  # not EXIF at all
        return exif
    return exif[:link] + bytes(4) + exif[link + 4 :]


def _to_vips(picture: Picture | LazyPicture, file_format: _Format) -> Any:
    if isinstance(picture, Picture):
        picture = picture.lazy()
    image = picture.image
    file_format.check_size(image.width, image.height)
    gray = image.bands - picture.has_alpha == 1
    if image.format not in file_format.samples:
        image = _round(image, file_format.samples[-1])
    interpretation = {"uchar": ("srgb", "b-w"), "ushort": ("rgb16", "grey16"), "float": ("scrgb", "b-w")}
    xres, yres = picture.resolution
    image = image.copy(interpretation=interpretation[image.format][gray], xres=xres, yres=yres)
    if picture.has_alpha and not file_format.alpha:
        image = image.flatten(background=255)
    if picture.icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", picture.icc)
        if gray and not file_format.gray_profiles:
            image = image.icc_transform("srgb", embedded=True, depth=16 if image.format == "ushort" else 8)
    for key, value in picture.metadata.items():
        if key != "iptc-data" or (file_format is _JPEG and value.startswith(b"Photoshop")):  # others hold it otherwise
            image.set_type(pyvips.GValue.blob_type, key, value)
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    return image


def _round(image: Any, target: str) -> Any:
    """Samples as `target` ("uchar" or "ushort"), full range to full range, rounded to the nearest and clipped."""
    full = {"uchar": 255.0, "ushort": 65535.0, "float": 1.0}
    return (image * (full[target] / full[image.format])).rint().cast(target)


def _because(error: Exception) -> str:
    """The first line of libvips' message, or of another's, in brackets; nothing if it has none."""
    lines = [line.strip() for line in str(getattr(error, "detail", error)).splitlines() if line.strip()]
    return f" ({lines[0]})" if lines else ""
