"""Reading BMP files, for which libvips has no loader of its own. They are not written."""

from __future__ import annotations

import io
import mmap

import numpy as np

from cnlrn.errors import CnlrnError
from cnlrn.images.metadata import plausible
from cnlrn.images.picture import LazyPicture, as_vips, check_size
from cnlrn.images.vips import because


def open_bmp(content: bytes | mmap.mmap, name: str, max_pixels: int) -> LazyPicture:
    """The picture in a BMP file, by Pillow, which decodes at once.

    Raises:
        CnlrnError: damaged or cut short, or of more than `max_pixels` pixels.
    """
    from PIL import BmpImagePlugin

    try:
        with BmpImagePlugin.BmpImageFile(io.BytesIO(content[:])) as file:
            check_size(*file.size, max_pixels, name)
            mode = {"1": "L", "L": "L", "RGBA": "RGBA"}.get(file.mode, "RGB")
            samples = np.atleast_3d(np.asarray(file.convert(mode)))
            across, down = (dots / 25.4 for dots in file.info.get("dpi", (0, 0)))
    except CnlrnError:
        raise
    except Exception as error:  # Pillow lets through whatever its parsers stumble over
        raise CnlrnError(f"{name} is damaged or cut short{because(error)}") from error
    return LazyPicture(as_vips(samples), mode == "RGBA", name, resolution=plausible(across, down), format=".bmp")
