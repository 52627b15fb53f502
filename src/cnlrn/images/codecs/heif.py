"""Reading HEIF: AVIF by libvips, HEIC, of which libvips' wheel has no decoder, by pi-heif. HEIC is not written.

A file holds pictures as items; the primary one is the picture, as for every viewer. Turns and mirrors that the file
asks for are applied by libheif, which both libraries use, so that EXIF's orientation counts no more.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from cnlrn.errors import CnlrnError, UnsupportedPicture
from cnlrn.images import colour
from cnlrn.images.codec import PictureFile, several
from cnlrn.images.codecs.heif_items import Container, container
from cnlrn.images.codecs.jpeg import GAIN_MAP, VIDEO
from cnlrn.images.picture import LazyPicture, as_vips
from cnlrn.images.profiles import ColourSpace
from cnlrn.images.vips import Damaged, failure, pyvips

SUFFIXES = (".avif", ".heic", ".heif", ".hif")
_PIXEL = {"uchar": 18, "ushort": 25}  # bytes that libheif takes for each pixel, by libvips' sample formats
_BRANDS = {b"avif", b"avis", b"mif1", b"mif2", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"miaf"}


def matches(head: bytes) -> bool:
    """Whether this is the start of a HEIF file: by the brands, since videos begin alike."""
    size = min(int.from_bytes(head[:4]), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, size - 3, 4))}
    return head[4:8] == b"ftyp" and bool(brands & _BRANDS)


def open_file(file: PictureFile) -> LazyPicture:
    """The primary picture; of AVIF only the header is read. CnlrnError as a `Codec`'s, and of a sequence or HDR."""
    try:
        parts = container(file.content)
        if parts.is_sequence:
            raise several(file.name)
        coding, points = parts.coding(), parts.code_points()
        file.check_size(*parts.size())
    except (struct.error, KeyError, IndexError, ValueError) as error:
        raise Damaged.named(file.name) from error
    space = ColourSpace.of_code_points(*points, file.name) if points else None
    if coding == b"av01":
        image = _avif(file)
    elif coding == b"hvc1":
        image = _heic(file)
    else:
        name = coding.decode("ascii", "replace").strip()
        raise UnsupportedPicture(f"{file.name} is coded as {name!r}, which cannot be read; convert it to PNG or JPEG")
    if parts.is_premultiplied() and image.hasalpha():
        image = colour.unpremultiplied(image)
    image = image.copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)  # or EXIF's would turn it once more
    suffix = ".avif" if coding == b"av01" else ".heic"
    return file.picture(image, space, _notes(parts, file.name), suffix)


def _notes(parts: Container, name: str) -> tuple[str, ...]:
    notes = []
    if others := parts.others():
        notes.append(f"{name} holds {others + 1} pictures; the primary one is restored")
    if parts.has_gain_map():
        notes.append(f"{name}: {GAIN_MAP}")
    if parts.has_video:
        notes.append(f"{name}: {VIDEO}")
    return tuple(notes)


def _avif(file: PictureFile) -> Any:
    image = file.load("heifload")
    file.check_decoder(image.width, image.height, _PIXEL[image.format])
    bits = image.get("bits-per-sample") if image.get_typeof("bits-per-sample") else 8
    return _full_range(image, bits) if image.format == "ushort" else image


def _full_range(image: Any, bits: int) -> Any:
    """Samples of `bits` bits that stand at the upper end of 16 bits, so that white is white."""
    if bits >= 16:
        return image
    white = ((1 << bits) - 1) << (16 - bits)
    return (image * (65535 / white)).rint().cast("ushort").copy(interpretation=image.interpretation)


def _heic(file: PictureFile) -> Any:
    """The primary picture as a libvips image with its metadata, upright; pi-heif decodes it at once."""
    import pi_heif

    try:
        opened = pi_heif.open_heif(file.content[:], convert_hdr_to_8bit=False, hdr_to_16bit=True)
        primary = opened[opened.primary_index]
        file.check_size(*primary.size)
        samples = np.atleast_3d(np.array(primary))  # a copy: the memory behind it goes with `primary`
    except CnlrnError:
        raise
    except Exception as error:  # pi-heif names several, and lets through what NumPy stumbles over
        raise failure(file.name, error) from error
    gray = samples.shape[2] < 3
    deep = samples.dtype == np.uint16
    interpretation = ("grey16" if deep else "b-w") if gray else ("rgb16" if deep else "srgb")
    image = as_vips(samples).copy(interpretation=interpretation)
    if deep:
        image = _full_range(image, int(primary.info["bit_depth"]))
    for key, value in (("exif-data", "exif"), ("xmp-data", "xmp"), ("icc-profile-data", "icc_profile")):
        if primary.info.get(value):
            image.set_type(pyvips.GValue.blob_type, key, bytes(primary.info[value]))
    return image
