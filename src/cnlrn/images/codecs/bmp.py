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
_CALIBRATED, _EMBEDDED = 0, int.from_bytes(b"MBED")  # kinds of colour space: by numbers, by an ICC profile


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
    icc = _profile(content, gray=mode == "L")
    return LazyPicture(
        as_vips(samples), mode == "RGBA", file.name, icc=icc, resolution=plausible(across, down), format=".bmp"
    )


def _profile(data: Content, gray: bool) -> bytes | None:
    """The ICC profile in a BMP, or one of the colour space that its header tells by numbers."""
    (size,) = struct.unpack_from("<I", data, _HEADER)
    if size < _V4 or len(data) < _HEADER + size:
        return None
    (kind,) = struct.unpack_from("<I", data, _HEADER + 56)
    if kind == _EMBEDDED and size >= _V5:
        start, length = struct.unpack_from("<II", data, _HEADER + 112)
        return colour.fitting(data[_HEADER + start : _HEADER + start + length], 1 if gray else 3)
    if kind != _CALIBRATED:  # sRGB, or a file elsewhere
        return None
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
    return space.profile(gray) if space.is_possible() else None
