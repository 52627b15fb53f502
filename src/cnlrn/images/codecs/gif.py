"""Reading GIF of one frame, by libvips. It is not written."""

from __future__ import annotations

import io
import warnings

from cnlrn.images.codec import PictureFile, several
from cnlrn.images.picture import LazyPicture
from cnlrn.images.vips import Damaged

SUFFIXES = (".gif",)


def matches(head: bytes) -> bool:
    """Whether this is the start of a GIF."""
    return head.startswith((b"GIF87a", b"GIF89a"))


def open_file(file: PictureFile) -> LazyPicture:
    """The picture in a GIF. CnlrnError as a `Codec`'s, and of an animation."""
    if len(file.content) >= 10:
        file.check_size(*(int.from_bytes(file.content[at : at + 2], "little") for at in (6, 8)))
    image = file.load("gifload")
    if image.get_typeof("n-pages") and image.get("n-pages") > 1:
        raise several(file.name)
    if not file.keep and not _is_sound(file.content[:]):
        raise Damaged.named(file.name)
    return file.picture(image)


def _is_sound(content: bytes) -> bool:
    """Whether Pillow decodes it, which minds codes that do not exist and samples that are missing."""
    from PIL import GifImagePlugin

    try:
        with warnings.catch_warnings(), GifImagePlugin.GifImageFile(io.BytesIO(content)) as image:
            warnings.simplefilter("ignore")
            image.load()
    except Exception:  # Pillow lets through whatever its parsers stumble over
        return False
    return True
