"""Reading PNG: what its chunks say of colours and frames, which libvips leaves out; samples are libvips' part.

Sources: PNG, third edition (W3C, 2025); the order in which colour chunks count is that of its section 4.3.
"""

from __future__ import annotations

import struct

from cnlrn.errors import UnsupportedPicture
from cnlrn.images import colour
from cnlrn.images.codec import PictureFile, several
from cnlrn.images.codecs import png_chunks
from cnlrn.images.picture import LazyPicture
from cnlrn.images.profiles import BT709, ColourSpace

SUFFIXES = (".png", ".apng")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TELLING = {b"IHDR": 8, b"acTL": 4, b"cICP": 4, b"iCCP": 0, b"sRGB": 0, b"gAMA": 4, b"cHRM": 32}  # and how much of each
_GAMMA_OF_SRGB = (0.45, 0.46)  # programs write 0.45455 beside samples that are sRGB


def matches(head: bytes) -> bool:
    """Whether this is the start of a PNG."""
    return head.startswith(_SIGNATURE)


def open_file(file: PictureFile) -> LazyPicture:
    """The picture in a PNG; only its header is read. CnlrnError as a `Codec`'s, and of an animation or HDR."""
    told: dict[bytes, bytes] = {}
    for kind, place in png_chunks.chunks(file.content):
        if kind == b"IDAT":  # what follows the samples tells nothing of colours
            break
        if kind in _TELLING:
            told.setdefault(kind, file.content[place.start : min(place.stop, place.start + _TELLING[kind])])
    if len(told.get(b"IHDR", b"")) >= 8:  # libvips prints complaints about impossible sizes
        file.check_size(*struct.unpack_from(">II", told[b"IHDR"]))
    if int.from_bytes(told.get(b"acTL", b"")[:4]) > 1:
        raise several(file.name)
    space, image = _space(told, file.name), file.load("pngload")
    is_lost = space is None and b"iCCP" in told and not image.get_typeof("icc-profile-data")
    return file.picture(image, space, (f"{file.name}: {colour.UNUSABLE}",) if is_lost else ())


def _space(told: dict[bytes, bytes], name: str) -> ColourSpace | None:
    """The colour space that chunks tell; None if that is an ICC profile, or nothing."""
    if len(told.get(b"cICP", b"")) == 4:
        primaries, transfer, matrix, full_range = told[b"cICP"]
        space = ColourSpace.of_code_points(primaries, transfer, name)
        if matrix or not full_range:
            raise UnsupportedPicture(f"{name} has samples of video (cICP), not of full-range RGB; convert it to sRGB")
        return space
    if b"iCCP" in told:
        return None
    if b"sRGB" in told:
        return ColourSpace()
    if b"gAMA" not in told and b"cHRM" not in told:
        return None
    points, curve = BT709, ColourSpace().curve
    if len(told.get(b"cHRM", b"")) == 32:
        numbers = [number / 100_000 for number in struct.unpack(">8I", told[b"cHRM"])]
        white, *colours = zip(numbers[::2], numbers[1::2], strict=True)
        points = (*colours, white)
    if len(told.get(b"gAMA", b"")) == 4:
        gamma = int.from_bytes(told[b"gAMA"]) / 100_000
        if not 0.1 <= gamma <= 10:  # means nothing
            return None
        if not _GAMMA_OF_SRGB[0] <= gamma <= _GAMMA_OF_SRGB[1]:
            curve = (1 / gamma,)
    space = ColourSpace(points, curve)
    return space if space.is_possible() else None
