"""What a file says besides its pixels: EXIF, XMP and IPTC blocks and the resolution, from and into libvips images.

Blocks are bytes that go along as they are, but for what is no longer true of upright pixels.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from cnlrn.images.vips import pyvips

_EXIF, _XMP, _IPTC = "exif-data", "xmp-data", "iptc-data"  # libvips' names


def blocks(image: Any) -> dict[str, bytes]:
    """The EXIF, XMP and IPTC blocks of a libvips image that is upright by now, by libvips' names."""
    found = {key: bytes(image.get(key)) for key in (_EXIF, _XMP, _IPTC) if image.get_typeof(key)}
    if _EXIF in found:
        found[_EXIF] = _without_thumbnail(found[_EXIF])
    if _XMP in found:
        found[_XMP] = re.sub(rb"(tiff:Orientation(?:=.|>))[2-8]", rb"\g<1>1", found[_XMP])
    return found


def attach(image: Any, found: dict[str, bytes], jpeg: bool) -> None:
    """Put blocks into a libvips image that is a copy; `jpeg`: it is written as one, which alone takes IPTC."""
    for key, value in found.items():
        if key != _IPTC or (jpeg and value.startswith(b"Photoshop")):  # others hold it otherwise
            image.set_type(pyvips.GValue.blob_type, key, value)
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    image.set_type(pyvips.GValue.gstr_type, "resolution-unit", "in")


def plausible(across: float, down: float) -> tuple[float, float]:
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
