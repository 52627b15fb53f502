"""What users give as a picture besides a file's name, and the result as the same kind of thing.

Arrays, Pillow images, and the bytes of a file, in memory or to be read from an open one. What a picture is turned into
to be computed on is not here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from cnlrn import images
from cnlrn.errors import CnlrnError, UnreadablePicture
from cnlrn.files import result_suffix
from cnlrn.images import LazyPicture, Picture
from cnlrn.images.limits import check_bytes
from cnlrn.restoration.size import shown

_PIECE = 2**20
_LONGEST_NAME = 4096

FileBytes = bytes | bytearray | memoryview
Data = FileBytes | BinaryIO
"""A picture file's bytes, or a binary file open at their beginning."""


PathLike = str | os.PathLike[str]


class PillowImage(Protocol):
    """What this module needs of a Pillow image; Pillow itself is not needed unless one is given."""

    info: Any

    @property
    def mode(self) -> str:
        """Such as "RGB"."""
        ...

    def convert(self, mode: str) -> Any:
        """The image in another mode."""
        ...


Same = TypeVar("Same", bound=Picture | NDArray[Any] | PillowImage)
"""What is given as such comes back as such."""


def path_of(given: object, what: str) -> Path:
    """A path that was given as `what`; CnlrnError where it cannot be one."""
    try:
        path = Path(given)  # type: ignore[arg-type]
    except TypeError:
        path = Path()
    if not path.name or "\0" in str(path):
        raise CnlrnError(f"{shown(given)} is no name of {what} file")
    return path


def is_data(picture: Any) -> bool:
    """Whether it is a file's bytes or an open file."""
    return isinstance(picture, FileBytes) or (hasattr(picture, "read") and not _is_pillow(picture))


def open_given(picture: Any, max_pixels: int, damaged: Literal["refuse", "keep"] = "refuse") -> LazyPicture:
    """The picture in what was given: `Data`, an array, a Pillow image or a `Picture`.

    Raises:
        CnlrnError: it is none of these, cannot be read, or has more than `max_pixels` pixels.
    """
    if isinstance(picture, Picture):
        return _checked(picture).lazy()
    if isinstance(picture, np.ndarray):
        return _from_array(picture).lazy()
    if _is_pillow(picture):
        return _from_pillow(picture).lazy()
    if is_data(picture):
        return images.open_picture(_bytes_of(picture, max_pixels), max_pixels, damaged)
    raise CnlrnError(
        f"a picture is a path, the bytes of a file, an open file, an array or a Pillow image, not "
        f"{type(picture).__name__}"
    )


def like(given: Any, restored: LazyPicture, suffix: str) -> Any:
    """The restored picture as the kind of thing that was given; bytes are those of a file of the extension `suffix`."""
    if is_data(given):
        return images.encode(restored, suffix)
    picture = restored.read()
    if isinstance(given, Picture):
        return picture
    array = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    if isinstance(given, np.ndarray):
        return array[..., 0] if given.ndim == 2 else array
    from PIL import Image

    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    image.info = {key: value for key, value in given.info.items() if key != "transparency"}
    if given.mode == "CMYK":
        image.info["icc_profile"] = picture.icc
    return image


def format_suffix(name: object) -> str:
    """The extension of a format that a user names, "jpg" or ".JPG"; CnlrnError if pictures are not written in it."""
    if not isinstance(name, str):
        raise CnlrnError(f"format is a name such as 'png' or 'jpg', not {shown(name)}")
    suffix = f".{name.lower().removeprefix('.')}"
    images.format_of(suffix, f"format {shown(name)}: ")
    return suffix


def kept_suffix(source: Path | LazyPicture) -> str:
    """The extension of a result whose format nobody chose: the source's where that is written too, ".png" otherwise."""
    return images.result_format(source.format) if isinstance(source, LazyPicture) else result_suffix(source)


def _bytes_of(data: Any, max_pixels: int) -> bytes:
    if isinstance(data, FileBytes):
        try:
            content = bytes(data)
        except (ValueError, BufferError) as error:
            raise UnreadablePicture(f"the bytes of the picture cannot be read ({error})") from error
        if 0 < len(content) <= _LONGEST_NAME and os.path.exists(content):  # noqa: PTH110 - pathlib takes no bytes
            raise CnlrnError(f"{shown(content)} is the name of a file, as bytes; give names as str")
        return content
    size, pieces = 0, list[bytes]()
    while True:
        try:
            piece = data.read(_PIECE)
        except (OSError, ValueError, TypeError) as error:
            raise UnreadablePicture(
                f"the open file cannot be read ({getattr(error, 'strerror', None) or error})"
            ) from error
        if not isinstance(piece, FileBytes):
            raise UnreadablePicture('the open file gives no bytes; open it for reading bytes, open(name, "rb")')
        if not piece:
            return b"".join(pieces)
        pieces.append(bytes(piece))
        size += len(piece)
        check_bytes(size, max_pixels, "the open file")


def _checked(picture: Picture) -> Picture:
    """The same, whose arrays are as `Picture` says; CnlrnError if they are not."""
    pixels, alpha = picture.pixels, picture.alpha
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 3 or pixels.shape[2] not in (1, 3):
        raise CnlrnError("the pixels of a Picture are an array of height x width x 1 or 3")
    if alpha is not None and (
        not isinstance(alpha, np.ndarray) or (alpha.shape, alpha.dtype) != (pixels.shape[:2], pixels.dtype)
    ):
        raise CnlrnError("the alpha of a Picture is an array of height x width of the pixels' dtype")
    _from_array(pixels)
    return picture


def _from_array(array: NDArray[Any]) -> Picture:
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] > 4):
        raise CnlrnError(
            f"an array of shape {array.shape} is not a picture; height x width or height x width x 1 to 4 is"
        )
    if np.ma.is_masked(array):
        raise CnlrnError("an array with masked values is not a picture; fill them first (array.filled)")
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        raise CnlrnError(f"an array of {array.dtype} is not a picture; uint8, uint16 or float32 in [0, 1] is")
    samples = array.reshape(*array.shape[:2], -1)
    colours = 1 if samples.shape[2] < 3 else 3
    return Picture(samples[..., :colours], samples[..., colours] if samples.shape[2] > colours else None)


def _is_pillow(picture: Any) -> bool:
    return hasattr(picture, "mode") and hasattr(picture, "convert")


def _from_pillow(image: PillowImage) -> Picture:
    mode = image.mode
    if mode in ("I", "F"):
        raise CnlrnError(f'a Pillow image of mode "{mode}" has no fixed range; convert it to an array or to "I;16"')
    if mode == "LAB":
        raise CnlrnError('a Pillow image of mode "LAB" is not converted; convert it to "RGB" by PIL.ImageCms')
    alpha = "transparency" in image.info or getattr(image, "has_transparency_data", False)
    if mode.startswith("I;16") and alpha:
        raise CnlrnError("Pillow has no mode for the result of a 16-bit image with a transparent colour; give an array")
    kept = mode.startswith("I;16") or mode in ("LA", "RGBA", "CMYK") or (mode in ("L", "RGB") and not alpha)
    try:
        if not kept:
            gray = mode in ("1", "L", "La")
            image = image.convert(("LA" if gray else "RGBA") if alpha else ("L" if gray else "RGB"))
        samples = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadablePicture(f"the Pillow image cannot be read ({error})") from error
    if mode == "CMYK" and samples.size:
        return images.from_cmyk(samples, image.info.get("icc_profile"))
    return _from_array(samples)
