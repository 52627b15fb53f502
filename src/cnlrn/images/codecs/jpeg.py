"""Reading JPEG: libvips does it; here is whether a gain map for HDR screens, or a video, lies behind the picture.

Sources: JPEG (ITU-T T.81), Ultra HDR and Motion Photo (Android), ISO 21496-1 (gain maps), Apple's auxiliary pictures.
"""

from __future__ import annotations

import re
from dataclasses import replace

from cnlrn.images.codec import PictureFile
from cnlrn.images.codecs import jpeg_damage, jpeg_header
from cnlrn.images.picture import LazyPicture
from cnlrn.images.vips import Damaged

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")
GAIN_MAP = "its gain map for HDR screens is left out; the picture for usual screens is restored"
VIDEO = "the video that moves it is left out; the still picture is restored"
_VIDEO = re.compile(rb"\0\0\0[\x08-\x80]ftyp|(?:MicroVideo|MotionPhoto)(?:=[\"']|>)1[\"'<]")  # in whatever namespace
_MARKS = (b"hdrgm:Version", b"urn:iso:std:iso:ts:21496:-1", b"urn:com:apple:photo:2020:aux:hdrgainmap")


def matches(head: bytes) -> bool:
    """Whether this is the start of a JPEG."""
    return head.startswith(b"\xff\xd8\xff")


def open_file(file: PictureFile) -> LazyPicture:
    """The picture in a JPEG; only its header is read. CnlrnError as a `Codec`'s."""
    file = replace(file, content=jpeg_header.mended(file.content))
    image = file.load("jpegload")
    if not file.keep and not jpeg_damage.is_sound(file.content):
        raise Damaged.named(file.name)
    has_map = any(file.content.find(mark) >= 0 for mark in _MARKS)
    has_video = _VIDEO.search(file.content) is not None
    notes = (note for note, is_due in ((GAIN_MAP, has_map), (VIDEO, has_video)) if is_due)
    return file.picture(image, notes=tuple(f"{file.name}: {note}" for note in notes))
