"""Picture in, picture out: the one way in which files, arrays and Pillow images are restored.

Here a picture is turned into what a network computes on and back: alpha is taken apart and enlarged beside the colour,
gray is repeated to three channels and averaged, samples become floats and are rounded to their depth again. Files,
tiles and engines are rooms of their own.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from cnlrn import pictures, tiles
from cnlrn.engines import Engine, OnnxEngine
from cnlrn.errors import CnlrnError
from cnlrn.models import DEFAULT, find
from cnlrn.pictures import Picture, Pixels

DEFAULT_TILE = 384  # LR pixels; needs about 0.6 GB


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


_Path = str | os.PathLike[str]
_Same = TypeVar("_Same", bound=Picture | bytes | NDArray[Any] | PillowImage)


class Restorer:
    """A model, loaded once, that restores any number of pictures, from several threads if need be."""

    def __init__(
        self,
        model: _Path = DEFAULT,
        *,
        device: str = "cpu",
        threads: int | None = None,
        tile: int | None = None,
    ) -> None:
        """Load a model.

        Args:
            model: a name that `cnlrn.models()` lists, or the path of an ONNX file made by `cnlrn export`.
            device: "cpu" or "cuda".
            threads: CPU threads that compute; all cores when None.
            tile: largest side of what is computed at once, in LR pixels; smaller needs less memory and more time, and
                gives the same picture. A model that looks at the whole picture computes it at once all the same.

        Raises:
            CnlrnError: unknown model or device, damaged model file, or a number below 1.
        """
        for option, value in (("threads", threads), ("tile", tile)):
            if value is not None and value < 1:
                raise CnlrnError(f"{option} must be at least 1, not {value}")
        path, sha256 = find(model)
        self.engine: Engine = OnnxEngine(path, sha256=sha256, device=device, threads=threads)
        self.tile = tile or DEFAULT_TILE

    @overload
    def restore(self, picture: _Path, scale: int = ..., *, output: _Path | None = ...) -> NDArray[Any]: ...
    @overload
    def restore(self, picture: _Same, scale: int = ..., *, output: _Path | None = ...) -> _Same: ...

    def restore(self, picture: Any, scale: int = 4, *, output: _Path | None = None) -> Any:
        """Restore a picture: sharper, and `scale` times as wide and high.

        Args:
            picture: one of
                a path: the result is an array;
                the bytes of a picture file: the result is the bytes of a PNG file;
                a Pillow image (any mode but "I" and "F"): the result is one, with the same `info`;
                an array, height x width or height x width x channels (1 gray, 2 gray and alpha, 3 RGB, 4 RGBA), uint8,
                uint16 or float32 in [0, 1]: the result is one of the same kind;
                a `cnlrn.pictures.Picture`: the result is one.
            scale: 1 (sharper only), 2 or 4, if the model has that exit.
            output: a file to write the result to as well, in the format of its extension; it is replaced if it exists.

        Raises:
            CnlrnError: the picture cannot be read or is of another kind, the model lacks the scale, or the output
                cannot be written.
        """
        if output is not None:
            pictures.check_target(Path(output))
        restored = self._restore(_open(picture), scale)
        if output is not None:
            pictures.write(restored, output)
        return _like(picture, restored)

    def _restore(self, picture: Picture, scale: int) -> Picture:
        engine = self.engine
        if scale not in engine.scales:
            raise CnlrnError(f"{engine.name} restores at scale {_listed(engine.scales)}, not {scale}")
        dtype, full = picture.pixels.dtype, _full(picture.pixels)
        pixels = picture.pixels if picture.alpha is None else _bleed(picture.pixels, picture.alpha)
        height, width, channels = pixels.shape

        def infer(piece: NDArray[Any]) -> NDArray[np.float32]:
            lr = np.broadcast_to(piece, (*piece.shape[:2], 3)).transpose(2, 0, 1)[None]
            hr = engine.run(np.ascontiguousarray(lr, np.float32) / np.float32(full), scale)[0]
            return (hr if channels == 3 else np.asarray(hr.mean(axis=0, keepdims=True))).transpose(1, 2, 0)

        restored: Pixels = np.empty((height * scale, width * scale, channels), dtype)
        for place, piece in tiles.run(
            infer, pixels, scale=scale, tile=self.tile, context=engine.context, multiple=engine.multiple
        ):
            piece = np.clip(piece, 0, 1) * np.float32(full)
            restored[place] = piece if dtype == np.float32 else np.rint(piece)
        return replace(
            picture, pixels=restored, alpha=None if picture.alpha is None else _enlarge(picture.alpha, scale)
        )


@overload
def restore(picture: _Path, *, scale: int = ..., model: _Path = ..., output: _Path | None = ...) -> NDArray[Any]: ...
@overload
def restore(picture: _Same, *, scale: int = ..., model: _Path = ..., output: _Path | None = ...) -> _Same: ...


def restore(picture: Any, *, scale: int = 4, model: _Path = DEFAULT, output: _Path | None = None) -> Any:
    """Restore one picture; arguments, result and errors are those of `Restorer` and `Restorer.restore`.

    The model is loaded anew each time: for more than a few pictures keep a `Restorer`.
    """
    return Restorer(model).restore(picture, scale, output=output)


def _open(picture: Any) -> Picture:
    if isinstance(picture, Picture):
        opened = picture
    elif isinstance(picture, str | os.PathLike | bytes):
        opened = pictures.read(picture)
    elif isinstance(picture, np.ndarray):
        opened = _from_array(picture)
    elif hasattr(picture, "mode") and hasattr(picture, "convert"):
        opened = _from_pillow(picture)
    else:
        raise CnlrnError(f"a picture is a path, bytes, an array or a Pillow image, not {type(picture).__name__}")
    for samples in (opened.pixels, opened.alpha):
        if samples is not None and samples.dtype == np.float32 and not (samples.min() >= 0 and samples.max() <= 1):
            raise CnlrnError("the picture's floating point samples are not all in [0, 1]; scale or clip them first")
    return opened


def _from_array(array: NDArray[Any]) -> Picture:
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] > 4):
        raise CnlrnError(
            f"an array of shape {array.shape} is not a picture; height x width or height x width x 1 to 4 is"
        )
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        raise CnlrnError(f"an array of {array.dtype} is not a picture; uint8, uint16 or float32 in [0, 1] is")
    samples = array.reshape(*array.shape[:2], -1)
    colours = 1 if samples.shape[2] < 3 else 3
    return Picture(samples[..., :colours], samples[..., colours] if samples.shape[2] > colours else None)


def _to_array(picture: Picture) -> NDArray[Any]:
    """Height x width x channels, alpha last."""
    return picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])


def _from_pillow(image: PillowImage) -> Picture:
    mode = image.mode
    if mode in ("I", "F"):
        raise CnlrnError(f'a Pillow image of mode "{mode}" has no fixed range; convert it to an array or to "I;16"')
    if mode not in ("L", "LA", "RGB", "RGBA") and not mode.startswith("I;16"):
        alpha = "transparency" in image.info or mode.lower().endswith("a")
        image = image.convert("L" if mode == "1" else "RGBA" if alpha else "RGB")
    return _from_array(np.asarray(image))


def _like(given: Any, restored: Picture) -> Any:
    """The restored picture as the kind of thing that was given."""
    if isinstance(given, Picture):
        return restored
    if isinstance(given, bytes):
        return pictures.encode(restored)
    array = _to_array(restored)
    if isinstance(given, str | os.PathLike):
        return array[..., 0] if array.shape[2] == 1 else array
    if isinstance(given, np.ndarray):
        return array[..., 0] if given.ndim == 2 else array
    from PIL import Image

    image = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    image.info = {key: value for key, value in given.info.items() if key != "transparency"}
    return image


def _full(samples: Pixels) -> float:
    """The sample value that means white or opaque."""
    return {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}[samples.dtype.name]


def _bleed(pixels: Pixels, alpha: Pixels) -> Pixels:
    """Give pixels of alpha 0 the colour of the visible ones near them.

    What a file stores there is arbitrary, often black, and a network would draw it into the visible rim. The colours
    spread through a pyramid of 2x2 means of premultiplied colours: each hidden pixel takes the mean of the smallest
    cell around it that shows anything.
    """
    if alpha.min() > 0 or alpha.max() == 0:
        return pixels
    weight = alpha[..., None].astype(np.float32) / np.float32(_full(alpha))
    levels = [(pixels * weight, weight)]
    while max(levels[-1][0].shape[:2]) > 1:
        colour, weight = levels[-1]
        levels.append((_sum_2x2(colour), _sum_2x2(weight)))
    filled = np.zeros((1, 1, pixels.shape[2]), np.float32)
    for colour, weight in reversed(levels):
        height, width = weight.shape[:2]
        coarse = filled.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
        filled = np.where(weight > 0, colour / np.maximum(weight, np.finfo(np.float32).tiny), coarse)
    filled = filled if pixels.dtype == np.float32 else np.rint(filled)
    return np.where(alpha[..., None] > 0, pixels, filled.astype(pixels.dtype))


def _sum_2x2(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums of 2x2 cells; odd sides are lengthened by zeros."""
    height, width, channels = samples.shape
    even = np.pad(samples, ((0, height % 2), (0, width % 2), (0, 0)))
    cells = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, channels)
    return np.asarray(cells.sum(axis=(1, 3)), np.float32)


def _enlarge(alpha: Pixels, scale: int) -> Pixels:
    """Alpha, height x width, `scale` times as large, by bicubic interpolation."""
    if scale == 1:
        return alpha
    image = pictures.as_vips(alpha[..., None]).resize(scale, kernel="cubic")
    enlarged = pictures.as_array(image)[..., 0]
    return np.clip(enlarged, 0, 1) if alpha.dtype == np.float32 else enlarged


def _listed(scales: tuple[int, ...]) -> str:
    """The scales as words: "1", "1 or 2", "1, 2 or 4"."""
    *first, last = map(str, scales)
    return f"{', '.join(first)} or {last}" if first else last
