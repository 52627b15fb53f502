"""The picture types: `Picture` (arrays) and `LazyPicture` (a libvips image), and the way from one to the other.

Files are not known here: see `reading` and `writing`.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnlrn.errors import TooLarge, UnsupportedPicture
from cnlrn.images.vips import damage, pyvips

Pixels = NDArray[np.uint8 | np.uint16 | np.float32]

MAX_PIXELS = 100_000_000
"""Pictures of more pixels are refused unless the caller raises the limit: small files can claim to be huge."""

DTYPES = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32}
"""The dtypes of samples by libvips' names."""

_IN_MEMORY = 64 * 2**20  # bytes of rows that are not worth a temporary file


@dataclass(frozen=True, kw_only=True)
class _Extras:
    """What a file says besides its pixels.

    `icc`: the ICC profile, or None (sRGB). `metadata`: raw EXIF, XMP and IPTC blocks under libvips' names, and texts.
    `resolution`: pixels per millimetre, horizontal and vertical. `notes`: sentences on what of the file is not in the
    picture. `format`: the extension of the file's own format, such as ".jpg", None if there was no file. `is_result`:
    whether this package restored it, and so whether its file will be marked as a result.
    """

    icc: bytes | None = None
    metadata: dict[str, bytes] = field(default_factory=dict)
    resolution: tuple[float, float] = (1.0, 1.0)
    notes: tuple[str, ...] = ()
    format: str | None = None
    is_result: bool = False

    def extras(self) -> dict[str, Any]:
        """These fields by name, to be handed on to another picture."""
        return {key.name: getattr(self, key.name) for key in fields(_Extras)}


@dataclass(frozen=True, eq=False)
class Picture(_Extras):
    """One still picture, upright.

    `pixels`: height x width x 1 (gray) or 3 (RGB); uint8, uint16, or float32 in [0, 1]; in the space of `icc`.
    `alpha`: height x width of the same dtype, not premultiplied, or None.
    """

    pixels: Pixels
    alpha: Pixels | None = None

    def lazy(self) -> LazyPicture:
        """The same as a `LazyPicture`, over the memory of these arrays."""
        image = as_vips(self.pixels)
        if self.alpha is not None:
            image = image.bandjoin(as_vips(self.alpha[..., None]))
        return LazyPicture(image, self.alpha is not None, **self.extras())


@dataclass(frozen=True, eq=False)
class LazyPicture(_Extras):
    """One still picture, upright, whose samples are decoded or computed when they are asked for.

    `image`: a libvips image of 1 (gray) or 3 (RGB) bands, and one more if `has_alpha`; uchar, ushort or float.
    `name`: for error messages. `damage`: a sentence, if the file is damaged and what could be read of it was kept.
    `content`: the bytes of the file that it was read from. `is_untouched`: it is the result of leaving all as it was in
    that file, which is then copied where the format stays.
    """

    image: Any
    has_alpha: bool = False
    name: str = "the picture"
    damage: str | None = None
    content: bytes | mmap.mmap | None = None
    is_untouched: bool = False

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.image.width)

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.image.height)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the samples: uint8, uint16 or float32."""
        return np.dtype(DTYPES[self.image.format])

    @property
    def is_large(self) -> bool:
        """Whether it is better kept in a file than in memory while it waits."""
        return not fits_memory(bytes_of(self.image))

    def decode(self) -> None:
        """Decode a file now, to memory or, of more than 100 MB, to a temporary file; without it the first rows do.

        Raises:
            CnlrnError: the file is damaged or cut short.
        """
        with damage(self.name):
            self.image(0, 0)

    def samples(self) -> Pixels:
        """All samples, height x width x bands. CnlrnError as `decode`."""
        with damage(self.name):
            return as_array(self.image)

    def read(self) -> Picture:
        """The whole picture as arrays. CnlrnError as `decode`."""
        samples = self.samples()
        colours = samples.shape[2] - self.has_alpha
        alpha = samples[..., colours] if self.has_alpha else None
        return Picture(samples[..., :colours], alpha, **self.extras())


def as_vips(samples: Pixels) -> Any:
    """A libvips image over the memory of an array of height x width x channels."""
    height, width, channels = samples.shape
    data = np.ascontiguousarray(samples).data
    return pyvips.Image.new_from_memory(data, width, height, channels, _name_of(samples.dtype))


def as_array(image: Any) -> Pixels:
    """The samples of a libvips image (uchar, ushort or float), height x width x channels."""
    samples: Pixels = np.frombuffer(image.write_to_memory(), DTYPES[image.format])
    return samples.reshape(image.height, image.width, image.bands)


def check_range(samples: Pixels, name: str) -> None:
    """UnsupportedPicture where samples of floating point are not all in [0, 1]; `name` is the picture's."""
    if samples.dtype.kind == "f" and not (samples.min() >= 0 and samples.max() <= 1):
        raise UnsupportedPicture(f"{name} has floating point samples that are not in [0, 1]; scale or clip them first")


def _name_of(dtype: Any) -> str:
    """libvips' name of a dtype."""
    return {np.dtype(known): name for name, known in DTYPES.items()}[np.dtype(dtype)]


def bytes_of(image: Any) -> int:
    """The size in bytes of all samples of a libvips image."""
    return int(image.width * image.height * image.bands * np.dtype(DTYPES[image.format]).itemsize)


def fits_memory(size: int) -> bool:
    """Whether so many bytes of rows wait in memory; more are better kept in a file."""
    return size <= _IN_MEMORY


def check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    """CnlrnError if a picture has more than `max_pixels` pixels."""
    if width * height > max_pixels:
        raise TooLarge(
            f"{name} has {width}x{height} pixels, more than the limit of {max_pixels}; "
            "if it is what you want, raise the limit (--max-pixels)"
        )
