"""Reading WebP: libvips does it; here is the refusal of animations."""

from __future__ import annotations

from cnlrn.images.codec import PictureFile, several
from cnlrn.images.picture import LazyPicture

SUFFIXES = (".webp",)


def matches(head: bytes) -> bool:
    """Whether this is the start of a WebP."""
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def open_file(file: PictureFile) -> LazyPicture:
    """The picture in a WebP; only its header is read. CnlrnError as a `Codec`'s, and of an animation."""
    image = file.load("webpload")
    if image.get_typeof("n-pages") and image.get("n-pages") > 1:
        raise several(file.name)
    return file.picture(image)
