"""What a file says besides its pixels, from one file to the next: EXIF, XMP, IPTC, texts, the resolution, and a mark.

Results of `cnlrn` are marked, so that a search of folders does not restore them again. The mark is the name of this
program at the beginning of XMP's `xmp:CreatorTool`: a property for just this, which every format written here can hold,
while EXIF's Software is the camera's, and a namespace of one's own needs an address that stays. What was told there
follows behind the mark.

What each standard says of which pixels is in `exif`, `xmp` and `iptc`; where files keep it, in `codecs`.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cnlrn.images import exif, iptc, xmp
from cnlrn.images.codecs import jpeg_segments, png_texts
from cnlrn.images.exif import Exif
from cnlrn.images.vips import pyvips

if TYPE_CHECKING:
    from cnlrn.images.picture import LazyPicture

Kind = Literal["jpeg", "png", "webp", "tiff", "avif"]
"""The formats that are written."""

EXIF, XMP, IPTC = "exif-data", "xmp-data", "iptc-data"
"""Keys of the metadata of a picture, libvips' names."""

_PNG_TEXTS, _JPEG_COMMENTS = "png-texts", "jpeg-comments"  # keys of what goes back into the same format only
_NO_RESOLUTION = (1.0, 1.0)  # libvips' way to say so
_PROGRAM = "cnlrn"
_NAMES: dict[Kind, str] = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "tiff": "TIFF", "avif": "AVIF"}
_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "tiff": ".tif", "heif": ".avif", "gif": ".gif"}
_UNREADABLE = "its {} data cannot be read and is left out"
_DAMAGED = "parts of its EXIF data are damaged and are left out"
_EXTENDED = "the extended part of its XMP data, which lies in segments of its own, is left out"


def blocks(image: Any, content: bytes | mmap.mmap) -> dict[str, bytes]:
    """What a file says, as it is there, by the keys of metadata: `image`, as libvips opened it, of `content`."""
    found = {key: bytes(image.get(key)) for key in (EXIF, XMP, IPTC) if image.get_typeof(key)}
    loader = _loader(image)
    if loader == "png":
        return png_texts.profiles(content) | found | {_PNG_TEXTS: png_texts.texts(content)}
    if loader == "jpeg":
        return found | {_JPEG_COMMENTS: jpeg_segments.comments(content)}
    if loader == "tiff":
        told = exif.of_tiff(content)
        return found | ({EXIF: told.block()[0]} if told else {})
    return found


def oriented(image: Any, found: Mapping[str, bytes]) -> Any:
    """The image with the orientation that EXIF tells, which libvips reads in the first 64 kB only, if at all.

    TIFF has an orientation of its own, and AVIF and HEIF are turned by their decoder.
    """
    told = exif.read(found.get(EXIF, b""))
    if told is None or _loader(image) not in ("jpeg", "png", "webp"):
        return image
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", told.orientation)
    return image


def is_turned(image: Any) -> bool:
    """Whether libvips is to turn or mirror an image."""
    return bool(image.get_typeof("orientation") and image.get("orientation") > 1)


def own_format(image: Any) -> str | None:
    """The extension of the file that libvips opened, None if it was none."""
    return _SUFFIXES.get(_loader(image))


def _loader(image: Any) -> str:
    """The format of the file that libvips opened, by the name of its loader; nothing if it was none."""
    return str(image.get("vips-loader")).partition("load")[0] if image.get_typeof("vips-loader") else ""


def extras(found: Mapping[str, bytes], width: int, height: int, *, turned: bool, name: str) -> dict[str, Any]:
    """The fields metadata, notes and is_result of a picture of these blocks, upright by now; `turned`: not in its file.

    What would be false of its pixels is taken out, and a note, about `name`, says what cannot be read.
    """
    kept = {key: block for key, block in found.items() if key in (_PNG_TEXTS, _JPEG_COMMENTS) and block}
    notes = []
    is_result = False
    if EXIF in found:
        photo = exif.read(found[EXIF])
        if photo is None or photo.damaged:
            notes.append(_UNREADABLE.format("EXIF") if photo is None else _DAMAGED)
        if photo is not None:
            turned |= photo.orientation > 1
            photo.make_true(width, height, srgb=False)
            if photo.directory:
                kept[EXIF], _ = photo.block()
    if XMP in found:
        packet = xmp.read(found[XMP])
        if packet is None or packet.has_extension:
            notes.append(_UNREADABLE.format("XMP") if packet is None else _EXTENDED)
        if packet is not None:
            is_result = _is_mark(packet.creator_tool)
            packet.make_true(width, height, turned=turned, srgb=False)
            kept[XMP], _ = packet.packet()
    records = iptc.made_true(found.get(IPTC, b""))
    if records:
        kept[IPTC] = records
    return {"metadata": kept, "notes": tuple(f"{name}: {note}" for note in notes), "is_result": is_result}


@dataclass(frozen=True)
class Told:
    """What a file of one format is going to say; `notes`: sentences on what of a picture's metadata it will not."""

    exif: Exif | None
    exif_block: bytes | None
    xmp: bytes | None
    iptc: bytes | None
    texts: bytes | None
    resolution: tuple[float, float] | None
    notes: tuple[str, ...]


def for_file(picture: LazyPicture, kind: Kind) -> Told:
    """What a file is going to say of a picture.

    Nothing in the metadata makes it fail: what cannot be read or held is left out, and said.
    """
    notes: list[str] = []
    photo = _exif_of(picture, kind, notes)
    block = None
    if photo.directory:
        block, tags = photo.block(jpeg_segments.LARGEST if kind == "jpeg" else None)
        if tags:
            notes.append(f"EXIF {_tag_names(tags)} is too large for JPEG and is left out")
    packet = _xmp_of(picture, kind, notes)
    if packet is None and block and kind == "webp":  # makes libvips write the kind of file that has room for EXIF
        packet, _ = xmp.empty().packet()
    records = _iptc_of(picture, kind, notes)
    texts = _texts_of(picture, kind, notes)
    density = None if picture.resolution == _NO_RESOLUTION else picture.resolution
    sentences = tuple(f"{picture.name}: {note}" for note in notes)
    return Told(photo if block else None, block, packet, records, texts, density, sentences)


def attach(image: Any, told: Told) -> None:
    """Put into a libvips image that is a copy what libvips may write of it."""
    if told.xmp is not None:
        image.set_type(pyvips.GValue.blob_type, XMP, told.xmp)
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")


def _exif_of(picture: LazyPicture, kind: Kind, notes: list[str]) -> Exif:
    """What EXIF is going to say, perhaps nothing."""
    photo = None
    if EXIF in picture.metadata:
        photo = exif.read(picture.metadata[EXIF])
        if photo is None:
            notes.append(_UNREADABLE.format("EXIF"))
    photo = photo or Exif({})
    photo.make_true(picture.width, picture.height, srgb=picture.icc is None)
    known = photo.resolution
    same = known is not None and np.allclose(known, picture.resolution, rtol=1e-3)
    if picture.resolution != _NO_RESOLUTION and not same and (known or kind in ("webp", "avif")):  # no other place
        photo.resolution = picture.resolution
    return photo


def _xmp_of(picture: LazyPicture, kind: Kind, notes: list[str]) -> bytes | None:
    """What XMP is going to say, None if nothing."""
    packet = None
    if XMP in picture.metadata:
        packet = xmp.read(picture.metadata[XMP])
        if packet is None:
            notes.append(_UNREADABLE.format("XMP"))
        else:
            packet.make_true(picture.width, picture.height, turned=False, srgb=picture.icc is None)
    if picture.is_result:
        packet = packet or xmp.empty()
        packet.creator_tool = _mark(packet.creator_tool)
    if packet is None:
        return None
    packed, names = packet.packet(jpeg_segments.LARGEST_XMP if kind == "jpeg" else None)
    if names:
        notes.append(f"XMP {', '.join(names)} is too large for JPEG and is left out")
    return packed


def _iptc_of(picture: LazyPicture, kind: Kind, notes: list[str]) -> bytes | None:
    """What IPTC is going to say in the form of the format, None if nothing."""
    records = iptc.made_true(picture.metadata.get(IPTC, b""))
    if records is None:
        return None
    form = {"jpeg": iptc.for_jpeg, "tiff": iptc.for_tiff}.get(kind)
    records = form(records) if form else None
    if records is None or (kind == "jpeg" and len(records) > jpeg_segments.LARGEST):
        notes.append(f"its IPTC data does not go into {_NAMES[kind]} and is left out")
        return None
    return records


def _texts_of(picture: LazyPicture, kind: Kind, notes: list[str]) -> bytes | None:
    """The texts of PNG into PNG, the comments of JPEG into JPEG."""
    for key, own, name in ((_PNG_TEXTS, "png", "PNG texts"), (_JPEG_COMMENTS, "jpeg", "JPEG comments")):
        if key in picture.metadata and kind != own:
            notes.append(f"its {name} do not go into {_NAMES[kind]} and are left out")
    if kind == "png":
        return png_texts.texts(bytes(8) + picture.metadata.get(_PNG_TEXTS, b""))
    return jpeg_segments.comments(bytes(2) + picture.metadata.get(_JPEG_COMMENTS, b"")) if kind == "jpeg" else None


def _is_mark(tool: str | None) -> bool:
    """Whether a picture of this CreatorTool is a result."""
    return tool is not None and tool.partition(";")[0].split(" ")[0] == _PROGRAM


def _mark(tool: str | None) -> str:
    """The CreatorTool of a result of a picture that had this one."""
    before = tool.partition("; ")[2] if _is_mark(tool) and tool else tool
    return f"{_program()}; {before}" if before else _program()


@cache
def _program() -> str:
    """This program and its version, which is not known where it is not installed."""
    with contextlib.suppress(PackageNotFoundError):
        return f"{_PROGRAM} {version(_PROGRAM)}"
    return _PROGRAM


def _tag_names(tags: Iterable[int]) -> str:
    from PIL.ExifTags import TAGS

    return ", ".join(TAGS.get(tag, str(tag)) for tag in tags)


def plausible(across: float, down: float) -> tuple[float, float]:
    """A resolution, pixels per millimetre, or what libvips takes for none where a file says nothing or nonsense."""
    return across if 0 < across < 1e6 else 1.0, down if 0 < down < 1e6 else 1.0


def resolution(image: Any, content: bytes | mmap.mmap, found: Mapping[str, bytes]) -> tuple[float, float]:
    """The resolution of an image of these blocks: libvips looks into the EXIF of some formats, and makes one up."""
    known = plausible(image.xres, image.yres)
    has_density = {"jpeg": jpeg_segments.has_density, "png": png_texts.has_density}.get(_loader(image))
    if has_density is not None and not has_density(content):
        known = _NO_RESOLUTION
    told = exif.read(found.get(EXIF, b"")) if known == _NO_RESOLUTION else None
    return plausible(*told.resolution) if told and told.resolution else known
