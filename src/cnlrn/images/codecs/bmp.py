"""Reading BMP files, for which libvips has no loader of its own. They are not written."""

from __future__ import annotations

import io
import mmap

import numpy as np

from cnlrn.errors import CnlrnError
from cnlrn.images.codecs import bmp_header
from cnlrn.images.limits import check_decoder
from cnlrn.images.metadata import plausible
from cnlrn.images.picture import LazyPicture, as_vips, check_size
from cnlrn.images.vips import Damaged

_PIXEL = 16  # bytes that Pillow and the copies take for each pixel


def open_bmp(content: bytes | mmap.mmap, name: str, max_pixels: int, keep: bool = False) -> LazyPicture:
    """The picture in a BMP file, by Pillow, which decodes at once; `keep`: missing samples are zeros.

    Raises:
        Damaged: damaged or cut short.
        CnlrnError: of more than `max_pixels` pixels.
    """
    from PIL import BmpImagePlugin

    try:
        width, height, length = bmp_header.picture_part(content)
        check_size(width, height, max_pixels, name)
        check_decoder(width, height, _PIXEL, max_pixels, name)
        part = content[:length].ljust(length if keep else 0, b"\0")
        with BmpImagePlugin.BmpImageFile(io.BytesIO(part)) as file:
            mode = {"1": "L", "L": "L", "RGBA": "RGBA"}.get(file.mode, "RGB")
            samples = np.atleast_3d(np.asarray(file if file.mode == mode else file.convert(mode)))
            across, down = (dots / 25.4 for dots in file.info.get("dpi", (0, 0)))
    except CnlrnError:
        raise
    except Exception as error:  # Pillow lets through whatever its parsers stumble over
        raise Damaged.named(name) from error
    return LazyPicture(as_vips(samples), mode == "RGBA", name, resolution=plausible(across, down))
