"""What a codec is: a module for one file format, which tells its files by their first bytes and opens them.

A format that is only read is one file in `cnlrn.images.codecs` and its name in the list of `cnlrn.images.reading`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from cnlrn.errors import CnlrnError, UnsupportedPicture
from cnlrn.images import colour, metadata
from cnlrn.images.limits import check_decoder
from cnlrn.images.picture import LazyPicture, check_size
from cnlrn.images.profiles import ADOBE_RGB, ColourSpace
from cnlrn.images.source import Content
from cnlrn.images.vips import damage, load


@dataclass(frozen=True)
class PictureFile:
    """The bytes of a file to be opened.

    `name`: for messages. `max_pixels`: the limit that a codec checks before it decodes. `keep`: what can be read of a
    damaged file is wanted.
    """

    content: Content
    name: str
    max_pixels: int
    keep: bool = False

    def check_size(self, width: int, height: int) -> None:
        """CnlrnError if so many pixels are beyond the limit."""
        check_size(width, height, self.max_pixels, self.name)

    def check_decoder(self, width: int, height: int, pixel: int) -> None:
        """CnlrnError if a decoder that takes `pixel` bytes a pixel would take too much memory."""
        check_decoder(width, height, pixel, self.max_pixels, self.name)

    def load(self, loader: str, **options: Any) -> Any:
        """The libvips image of the file, by one of libvips' loaders; CnlrnError if damaged or beyond the limit."""
        with damage(self.name):
            image = load(loader, self.content, keep=self.keep, **options)
        self.check_size(image.width, image.height)
        return image

    def picture(
        self,
        image: Any,
        space: ColourSpace | None = None,
        notes: tuple[str, ...] = (),
        suffix: str | None = None,
    ) -> LazyPicture:
        """The picture in an image that libvips has read of the file.

        `space`: the colour space that the file names otherwise than by an ICC profile, and before it; without either
        EXIF may name one. `notes`: sentences on what of the file is not in the picture. `suffix`: extension of its
        format, if libvips did not open it as such.
        """
        blocks = metadata.blocks(image, self.content)
        resolution = metadata.resolution(image, self.content, blocks)
        image = metadata.oriented(image, blocks)
        turned = metadata.is_turned(image)
        own_format = metadata.own_format(image) if suffix is None else suffix
        if space is None and colour.has_unusable_profile(image):
            notes += (f"{self.name}: {colour.UNUSABLE}",)
        with damage(self.name):
            image = colour.to_rgb_or_gray(image.autorot(), self.name)
        gray = colour.colours(image) == 1
        icc = colour.profile(image) if space is None else space.profile(gray)
        if space is None and icc is None and not gray and colour.is_adobe_rgb(blocks.get(metadata.EXIF, b"")):
            icc = ADOBE_RGB.profile(gray)
        told = metadata.extras(blocks, image.width, image.height, turned=turned, name=self.name)
        told["notes"] += notes
        return LazyPicture(
            image, bool(image.hasalpha()), self.name, icc=icc, resolution=resolution, format=own_format, **told
        )


def several(name: str) -> CnlrnError:
    """The error of an animation, or a sequence of pictures."""
    return UnsupportedPicture(f"{name} holds several pictures or frames; give a file of one")


class Codec(Protocol):
    """What a codec's module offers."""

    @property
    def SUFFIXES(self) -> tuple[str, ...]:
        """Extensions of its files, lower case."""

    def matches(self, head: bytes) -> bool:
        """Whether a file that begins with `head`, up to 64 bytes, is of this format."""

    def open_file(self, file: PictureFile) -> LazyPicture:
        """The picture in the file, of which as little is decoded as the format allows.

        Raises:
            CnlrnError: damaged, beyond the limit of pixels, or of a kind that cannot be read.
        """
