"""Picture files in and out, by libvips.

A file becomes a `Picture`: upright pixels with the alpha channel apart, and what the file said besides (ICC profile,
EXIF, XMP, resolution). A `Picture` becomes a file in one step: either the whole file is there or none of it. This room
does not compute on pixels beyond what a file format asks for (CMYK to RGB, fewer bits a sample, no alpha).
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from cnlrn.errors import CnlrnError

Pixels = NDArray[np.uint8 | np.uint16 | np.float32]


@dataclass(frozen=True, eq=False)
class Picture:
    """One still picture, upright.

    `pixels`: height x width x 1 (gray) or 3 (RGB); uint8, uint16, or float32 in [0, 1]; in the space of `icc`.
    `alpha`: height x width of the same dtype, not premultiplied, or None.
    `icc`: the ICC profile, or None (sRGB). `metadata`: raw EXIF, XMP and IPTC blocks under libvips' names.
    `resolution`: pixels per millimetre, horizontal and vertical.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    metadata: dict[str, bytes] = field(default_factory=dict)
    resolution: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class _Format:
    """What a file format can hold, and how libvips is asked to write it."""

    saver: str
    samples: tuple[str, ...]  # libvips' sample formats, the richest last
    largest_side: int
    options: dict[str, Any]
    alpha: bool = True


_JPEG = _Format("jpegsave", ("uchar",), 65500, {"Q": 95, "optimize_coding": True}, alpha=False)
_TIFF = _Format("tiffsave", ("uchar", "ushort", "float"), 2**31 - 1, {"compression": "deflate"})
_FORMATS = {
    ".png": _Format("pngsave", ("uchar", "ushort"), 2**31 - 1, {"compression": 6, "filter": "paeth"}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _Format("webpsave", ("uchar",), 16383, {"Q": 95, "smart_subsample": True}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".avif": _Format("heifsave", ("uchar", "ushort"), 16384, {"Q": 90, "compression": "av1", "effort": 2}),
}
_DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
_TIFF_PIECES = ((273, 324), (279, 325))  # StripOffsets or TileOffsets, StripByteCounts or TileByteCounts
_METADATA = ("exif-data", "xmp-data", "iptc-data")
_READABLE = "PNG, JPEG, WebP, TIFF or AVIF"


def read(source: str | os.PathLike[str] | bytes) -> Picture:
    """Read a picture from a file or from the bytes of one.

    PNG, JPEG, WebP, TIFF and AVIF, recognised by content, whatever the name says. The EXIF orientation is applied,
    palettes are expanded, CMYK is converted to sRGB through its profile; RGB and gray keep their own profile.

    Raises:
        CnlrnError: no such file, not readable, empty, cut short, not a picture, several frames, or a kind of sample
            other than 8-bit, 16-bit or floating point.
    """
    if isinstance(source, bytes):
        name, data = "the picture", source
    else:
        name, data = str(source), _file_bytes(Path(source))
    loader = _loader(data, name)
    if loader == "tiffload_buffer" and not _tiff_is_whole(data):
        raise CnlrnError(f"{name} is damaged or cut short")
    try:
        image = getattr(pyvips.Image, loader)(data, fail_on="truncated")
        if _is_animation(data) or (image.get_typeof("n-pages") and image.get("n-pages") > 1):
            raise CnlrnError(f"{name} holds several pictures or frames; give a file of one")
        return _from_vips(image.autorot(), name)
    except pyvips.Error as error:
        raise CnlrnError(f"{name} is damaged or cut short ({_reason(error)})") from error


def write(picture: Picture, path: str | os.PathLike[str]) -> None:
    """Write a picture to a file, in the format that the extension names, replacing what was there.

    PNG keeps 8 or 16 bits a sample, TIFF also floating point, AVIF up to 12 bits, JPEG and WebP 8; what a format cannot
    hold is rounded to the nearest it can, and JPEG, which has no alpha, gets a white ground. The ICC profile, metadata
    and resolution go along (not EXIF into TIFF, for which libvips has no place). The file appears whole or not at all:
    it is written beside its place and then renamed.

    Raises:
        CnlrnError: unknown extension, no such folder, no permission, disk full, or a picture too large for the format.
    """
    path = Path(path)
    file_format = check_target(path)
    image = _to_vips(picture, file_format)
    temporary = path.with_name(f".cnlrn-{secrets.token_hex(6)}{path.suffix}")
    try:
        getattr(image, file_format.saver)(os.fsencode(temporary), keep="all", **file_format.options)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except pyvips.Error as error:
        raise CnlrnError(f"cannot write {path} ({_reason(error)})") from error
    except OSError as error:
        raise CnlrnError(f"cannot write {path} ({error.strerror})") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def encode(picture: Picture) -> bytes:
    """The bytes of a PNG file of the picture, as `write` makes it."""
    data: bytes = _to_vips(picture, _FORMATS[".png"]).pngsave_buffer(keep="all", **_FORMATS[".png"].options)
    return data


def check_target(path: Path) -> _Format:
    """Find out before any work whether `path` can be written; returns the format that its extension names.

    Raises:
        CnlrnError: unknown extension, a folder, no such folder, or no permission.
    """
    file_format = _FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise CnlrnError(f"{path}: pictures are written as {', '.join(_FORMATS)}; end the name in one of these")
    if path.is_dir():
        raise CnlrnError(f"{path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise CnlrnError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise CnlrnError(f"{path}: no permission to write in the folder {path.parent}")
    return file_format


def as_vips(samples: Pixels) -> Any:
    """A libvips image over the memory of an array of height x width x channels."""
    height, width, channels = samples.shape
    formats = {np.dtype(dtype): name for name, dtype in _DTYPES.items()}
    data = np.ascontiguousarray(samples).data
    return pyvips.Image.new_from_memory(data, width, height, channels, formats[samples.dtype])


def as_array(image: Any) -> Pixels:
    """The samples of a libvips image (uchar, ushort or float), height x width x channels."""
    samples: Pixels = np.frombuffer(image.write_to_memory(), _DTYPES[image.format])
    return samples.reshape(image.height, image.width, image.bands)


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CnlrnError(f"{path} does not exist") from None
    except IsADirectoryError:
        raise CnlrnError(f"{path} is a folder; give a picture file") from None
    except OSError as error:
        raise CnlrnError(f"{path} cannot be read ({error.strerror})") from error


def _loader(data: bytes, name: str) -> str:
    """libvips' loader for the format that the first bytes tell."""
    if not data:
        raise CnlrnError(f"{name} is empty")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "pngload_buffer"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpegload_buffer"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webpload_buffer"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiffload_buffer"
    if data[4:8] == b"ftyp":
        brands = data[8 : int.from_bytes(data[:4])]
        if b"avif" in brands:
            return "heifload_buffer"
        raise CnlrnError(f"{name} is HEIC or a video, which cannot be read; convert it to {_READABLE}")
    for magic, kind in ((b"BM", "BMP"), (b"GIF8", "GIF"), (b"8BPS", "PSD"), (b"\xff\x0a", "JPEG XL")):
        if data.startswith(magic):
            raise CnlrnError(f"{name} is a {kind} file, which cannot be read; convert it to {_READABLE}")
    raise CnlrnError(f"{name} is not a {_READABLE} picture")


def _is_animation(data: bytes) -> bool:
    """Whether these are the bytes of an animated PNG or an AVIF sequence, of which libvips sees one frame."""
    return data.find(b"acTL", 0, data.find(b"IDAT") + 1) > 0 or data[4:12] == b"ftypavis"


def _tiff_is_whole(data: bytes) -> bool:
    """Whether the first picture's strips or tiles lie within the file; libtiff makes up what is missing of them."""
    order = "<" if data.startswith(b"II") else ">"
    big = 43 in data[2:4]
    number, entry_size = ("Q", 20) if big else ("I", 12)

    def unpack(form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(order + form, data, at)

    def values(entry: int) -> tuple[int, ...]:
        kind, count = unpack("H" + number, entry + 2)
        form = f"{count}{ {3: 'H', 4: 'I', 16: 'Q'}[kind] }"
        place = entry + 4 + struct.calcsize("=" + number)
        fits = struct.calcsize("=" + form) <= struct.calcsize("=" + number)
        return unpack(form, place if fits else unpack(number, place)[0])

    try:
        directory = unpack(number, 8 if big else 4)[0]
        entries = directory + (8 if big else 2)
        count = unpack("Q" if big else "H", directory)[0]
        tags = {unpack("H", at)[0]: at for at in range(entries, entries + count * entry_size, entry_size)}
        starts, sizes = (values(tags[strips] if strips in tags else tags[cells]) for strips, cells in _TIFF_PIECES)
    except (struct.error, OverflowError):  # beyond the end
        return False
    except KeyError:  # not told
        return True
    return all(start + size <= len(data) for start, size in zip(starts, sizes, strict=False))


def _from_vips(image: Any, name: str) -> Picture:
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

    samples = as_array(image)
    fields = {key: bytes(image.get(key)) for key in (*_METADATA, "icc-profile-data") if image.get_typeof(key)}
    icc = fields.pop("icc-profile-data", None)
    if icc is not None and icc[16:20] != (b"GRAY" if channels == 1 else b"RGB "):
        icc = None  # not a profile of these channels
    if "exif-data" in fields:
        fields["exif-data"] = _without_thumbnail(fields["exif-data"])
    if "xmp-data" in fields:  # the pixels are upright by now
        fields["xmp-data"] = re.sub(rb"(tiff:Orientation(?:=.|>))[2-8]", rb"\g<1>1", fields["xmp-data"])
    return Picture(
        pixels=samples[..., :channels],
        alpha=samples[..., channels] if has_alpha else None,
        icc=icc,
        metadata=fields,
        resolution=(image.xres, image.yres),
    )


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


def _to_vips(picture: Picture, file_format: _Format) -> Any:
    height, width = picture.pixels.shape[:2]
    if max(height, width) > file_format.largest_side:
        raise CnlrnError(
            f"the result is {width}x{height} pixels and this format holds at most {file_format.largest_side} a side; "
            "write a PNG or TIFF"
        )
    image = as_vips(picture.pixels)
    if picture.alpha is not None:
        image = image.bandjoin(as_vips(picture.alpha[..., None]))
    if image.format not in file_format.samples:
        image = _round(image, file_format.samples[-1])
    gray = picture.pixels.shape[2] == 1
    interpretation = {"uchar": ("srgb", "b-w"), "ushort": ("rgb16", "grey16"), "float": ("scrgb", "b-w")}
    xres, yres = picture.resolution
    image = image.copy(interpretation=interpretation[image.format][gray], xres=xres, yres=yres)
    if picture.alpha is not None and not file_format.alpha:
        image = image.flatten(background=255)
    for key, value in picture.metadata.items():
        image.set_type(pyvips.GValue.blob_type, key, value)
    if picture.icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", picture.icc)
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")
    return image


def _round(image: Any, target: str) -> Any:
    """Samples as `target` ("uchar" or "ushort"), full range to full range, rounded to the nearest and clipped."""
    full = {"uchar": 255.0, "ushort": 65535.0, "float": 1.0}
    return (image * (full[target] / full[image.format])).rint().cast(target)


def _reason(error: Exception) -> str:
    """The first line of libvips' message."""
    lines = [line.strip() for line in str(getattr(error, "detail", error)).splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"
