"""Reading BMP files, for which libvips has no loader of its own. They are not written."""

from __future__ import annotations

import io
import struct

import numpy as np

from cnlrn.errors import CnlrnError
from cnlrn.images import colour
from cnlrn.images.codec import PictureFile
from cnlrn.images.codecs import bmp_header
from cnlrn.images.metadata import plausible
from cnlrn.images.picture import LazyPicture, as_vips
from cnlrn.images.profiles import D65, ColourSpace
from cnlrn.images.source import Content
from cnlrn.images.vips import failure

_PIXEL = 16  # bytes that Pillow and the copies take for each pixel

SUFFIXES = (".bmp", ".dib")
_HEADER = 14  # where the second header begins, whose size tells its version
_V4, _V5 = 108, 124
_CALIBRATED, _EMBEDDED, _LINKED = 0, int.from_bytes(b"MBED"), int.from_bytes(b"LINK")  # by numbers, or a profile


def matches(head: bytes) -> bool:
    """Whether this is the start of a BMP."""
    return head.startswith(b"BM")


def open_file(file: PictureFile) -> LazyPicture:
    """The picture in a BMP file, by Pillow, which decodes at once. CnlrnError as a `Codec`'s."""
    from PIL import BmpImagePlugin

    content = file.content
    try:
        width, height, length = bmp_header.picture_part(content)
        file.check_size(width, height)
        file.check_decoder(width, height, _PIXEL)
        part = content[:length].ljust(length if file.keep else 0, b"\0")
        with BmpImagePlugin.BmpImageFile(io.BytesIO(part)) as image:
            mode = {"1": "L", "L": "L", "RGBA": "RGBA"}.get(image.mode, "RGB")
            samples = np.atleast_3d(np.asarray(image if image.mode == mode else image.convert(mode)))
            across, down = (dots / 25.4 for dots in image.info.get("dpi", (0, 0)))
    except CnlrnError:
        raise
    except Exception as error:  # Pillow lets through whatever its parsers stumble over
        raise failure(file.name, error) from error
    interpretation = "b-w" if mode == "L" else "srgb"
    xres, yres = plausible(across, down)
    picture = as_vips(samples).copy(interpretation=interpretation, xres=xres, yres=yres)
    kind = _kind_of_space(content)
    notes: tuple[str, ...] = ()
    if kind == _EMBEDDED:
        start, length = struct.unpack_from("<II", content, _HEADER + 112)
        if icc := content[_HEADER + start : _HEADER + start + length]:
            colour.set_profile(picture, icc)
    elif kind == _LINKED:
        notes = (f"{file.name}: its colour profile is another file and is left out",)
    return file.picture(picture, _calibrated(content) if kind == _CALIBRATED else None, notes, suffix=".bmp")


def _kind_of_space(data: Content) -> int | None:
    """What the header says of colours; None in versions that say nothing."""
    (size,) = struct.unpack_from("<I", data, _HEADER)
    if size < _V4 or len(data) < _HEADER + size:
        return None
    (kind,) = struct.unpack_from("<I", data, _HEADER + 56)
    return int(kind) if kind == _CALIBRATED or size >= _V5 else None


def _calibrated(data: Content) -> ColourSpace | None:
    """The colour space that the header of a BMP tells by numbers, if they make sense."""
    ends = [number / 2**30 for number in struct.unpack_from("<9i", data, _HEADER + 60)]
    gammas = [number / 2**16 for number in struct.unpack_from("<3I", data, _HEADER + 96)]
    sums = [sum(ends[at : at + 3]) for at in (0, 3, 6)]
    if not all(0.1 < total < 10 for total in sums) or not all(0.1 < gamma < 10 for gamma in gammas):
        return None  # many programs leave them empty
    points = tuple((ends[at] / total, ends[at + 1] / total) for at, total in zip((0, 3, 6), sums, strict=True))
    white = D65
    if not all(abs(total - 1) < 0.01 for total in sums):  # colours of full strength, which add up to white
        whole = [sum(ends[part::3]) for part in range(3)]
        white = (whole[0] / sum(whole), whole[1] / sum(whole))
    space = ColourSpace((*points, white), (sum(gammas) / 3,))
    return space if space.is_possible() else None
