"""Reading GIF of one frame, by libvips. It is not written."""

from __future__ import annotations

from cnlrn.images.codec import PictureFile, several
from cnlrn.images.picture import LazyPicture

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
    return file.picture(image)
