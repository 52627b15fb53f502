"""Picture in, picture out: the one way in which files, arrays and Pillow images are restored.

Here what is given is opened, the exit of the network is chosen, and a size that no exit gives is resized from one that
does. What a network computes on, files and engines are rooms of their own.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

from numpy.typing import NDArray

from cnlrn import forks, given, images
from cnlrn.computing import Computing
from cnlrn.computing import Progress as Progress
from cnlrn.engines import Engine, OnnxEngine
from cnlrn.errors import CnlrnError
from cnlrn.given import Data, PillowImage
from cnlrn.images import LazyPicture, Picture, Spool
from cnlrn.models import DEFAULT, OWN_SIZE, find
from cnlrn.size import Size as Size
from cnlrn.size import shown, whole

_LARGEST_RESIZED = 10_000_000  # width or height that libvips resizes to, at least
_ENLARGEMENT = 16  # output pixels for each of the most input pixels that are let in


_Path = str | os.PathLike[str]
_Same = TypeVar("_Same", bound=Picture | NDArray[Any] | PillowImage)


class Restorer:
    """A model, loaded once, that restores any number of pictures, from several threads if need be."""

    def __init__(
        self,
        model: _Path | None = None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        tile: int | None = None,
        memory: int | None = None,
        ensemble: bool = False,
        max_pixels: int = images.MAX_PIXELS,
        damaged: Literal["refuse", "keep"] = "refuse",
    ) -> None:
        """Load a model.

        Args:
            model: a name that `cnlrn.models()` lists, or the path of an ONNX file made by `cnlrn export`. None is
                cnlrn-s for results that are larger than their picture, and cnlrn-own for others.
            device: "cpu" or "cuda".
            threads: CPU threads that compute; all cores when None.
            tile: side of what is computed at once, in LR pixels, the context around it not counted; chosen by `memory`
                when None. Smaller needs less memory and more time, and gives the same picture. Only the tiles of a
                model that looks at the whole picture are blended and differ a little.
            memory: bytes that computing may take beside Python, the model and the picture, by what the shipped models
                were seen to take; 400 MB, or a quarter of the free memory if that is less, when None.
            ensemble: average the results of the eight flips and rotations of the input (x8 self-ensemble, Lim et al.,
                EDSR, CVPRW 2017, sec. 3.4): a little better, eight times slower.
            max_pixels: files of larger pictures are refused, and so are results of more than 16 times as many pixels.
            damaged: "refuse" files that are damaged or cut short, or "keep" what can be read of them, with a warning.

        Raises:
            CnlrnError: unknown model or device, damaged model file, a number below 1 or not whole, or this process was
                forked from one that had loaded a model.
        """
        forks.check()
        counts = {"threads": threads, "tile": tile, "memory": memory, "max_pixels": max_pixels}
        threads, tile, memory, max_pixels = (_count(option, value) for option, value in counts.items())
        if damaged not in ("refuse", "keep"):
            raise CnlrnError(f"damaged must be 'refuse' or 'keep', not {shown(damaged)}")
        named = DEFAULT if model is None else model
        path, sha256 = find(named if isinstance(named, str) else _path(named, "a model"))
        self.engine: Engine = OnnxEngine(path, sha256=sha256, device=device, threads=threads)
        self.tile, self.memory, self.ensemble, self.max_pixels = tile, memory, ensemble, max_pixels
        self.damaged: Literal["refuse", "keep"] = damaged
        self._own_size: Callable[[], Restorer] | None = None
        if model is None:
            options: dict[str, Any] = {"device": device, "threads": threads, "tile": tile, "memory": memory}
            options |= {"ensemble": ensemble, "max_pixels": max_pixels}
            self._own_size = cache(partial(Restorer, OWN_SIZE, **options))

    @overload
    def restore(
        self,
        picture: _Path,
        scale: float | None = ...,
        *,
        width: int | None = ...,
        height: int | None = ...,
        output: _Path | None = ...,
        overwrite: bool = ...,
        format: str | None = ...,
        strip: bool = ...,
        progress: Progress | None = ...,
    ) -> Path: ...
    @overload
    def restore(
        self,
        picture: Data,
        scale: float | None = ...,
        *,
        width: int | None = ...,
        height: int | None = ...,
        format: str | None = ...,
        strip: bool = ...,
        progress: Progress | None = ...,
    ) -> bytes: ...
    @overload
    def restore(
        self,
        picture: _Same,
        scale: float | None = ...,
        *,
        width: int | None = ...,
        height: int | None = ...,
        strip: bool = ...,
        progress: Progress | None = ...,
    ) -> _Same: ...

    def restore(
        self,
        picture: Any,
        scale: float | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        output: _Path | None = None,
        overwrite: bool = False,
        format: str | None = None,
        strip: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Restore a picture: sharper, and `scale` times as wide and high.

        Args:
            picture: one of
                a path: the result is written to a file, and its path returned; large ones wait on disk;
                the bytes of a picture file (bytes, bytearray, memoryview), or a binary file that is open at them, such
                as a BytesIO, which is read to its end: the result is the bytes of a file;
                a Pillow image (any mode but "I" and "F"): the result is one, with the same `info`;
                an array, height x width or height x width x channels (1 gray, 2 gray and alpha, 3 RGB, 4 RGBA), uint8,
                uint16 or float32 in [0, 1]: the result is one of the same kind;
                a `cnlrn.images.Picture`: the result is one.
            scale: 4 when neither scale nor width nor height is given. The exits of the network give 1 (sharper only), 2
                and 4; anything else is resized (Lanczos) from the next larger exit, or from the largest (bicubic).
            width, height: size of the result in pixels instead of a scale; one is enough, the other follows.
            output: of a path, the file to write, in the format of its extension; when None NAME_x4 (after its scale)
                beside the picture.
            overwrite: replace the file if it exists.
            format: of the result of bytes, or of a path without `output`: "png", "jpg", "webp", "tif" or "avif". When
                None that of the picture where it is one of these, PNG otherwise.
            strip: leave out EXIF, XMP and IPTC metadata; the colour profile and the resolution stay.
            progress: called with the part that is computed, from 0 to 1, a few times.

        Raises:
            CnlrnError: the picture cannot be read or is of another kind or too large, a size that makes no sense, or
                the output exists or cannot be written.
        """
        forks.check()
        size = Size(scale, width, height)
        if progress is not None and not callable(progress):
            raise CnlrnError(f"progress is a function that is called with a number, not {shown(progress)}")
        suffix = None if format is None else given.format_suffix(format)
        if isinstance(picture, str | os.PathLike):
            source = _path(picture, "a picture")
            if output is None:
                target = source.with_name(f"{source.stem}_{size.tag}{suffix or given.kept_suffix(source)}")
            elif suffix is None:
                target = _path(output, "an output")
            else:
                raise CnlrnError("the extension of the output names the format; leave out one of them")
            images.check_target(target)
            if target.exists() and not overwrite:
                raise CnlrnError(f"{target} exists; say overwrite to replace it, or give another name")
            opened = self._warned(images.open_picture(source, self.max_pixels, self.damaged))
            with self.compute(opened, size, target=target, strip=strip, progress=progress) as restored:
                images.write(restored, target)
            return target
        if output is not None:
            raise CnlrnError("an output file goes with the path of a picture; write this result yourself")
        if suffix is not None and not given.is_data(picture):
            raise CnlrnError("a format goes with the path or the bytes of a picture; this result is no file")
        opened = self._warned(given.open_given(picture, self.max_pixels, self.damaged))
        suffix = suffix or given.kept_suffix(opened)
        with self.compute(opened, size, suffix=suffix, strip=strip, progress=progress) as restored:
            return given.like(picture, restored, suffix)

    def _warned(self, opened: LazyPicture) -> LazyPicture:
        """The picture, with a warning if it is damaged."""
        if opened.damage is not None:
            warnings.warn(opened.damage, stacklevel=3)
        return opened

    @contextmanager
    def compute(
        self,
        picture: LazyPicture,
        size: Size,
        *,
        target: Path | None = None,
        suffix: str = ".png",
        strip: bool = False,
        progress: Progress | None = None,
    ) -> Iterator[LazyPicture]:
        """Restore an open picture, and hold the result for as long as the context lasts.

        `target`: the file that it will be written to; a large result waits on disk beside it, and without it in memory.
        `suffix`: without a target, the extension of the format that it will be encoded in. The other arguments and
        errors are those of `restore`.
        """
        forks.check()
        width, height = size.of(picture.width, picture.height)
        if width * height > _ENLARGEMENT * self.max_pixels:
            raise CnlrnError(
                f"the result would have {width}x{height} pixels, more than {_ENLARGEMENT} times the limit of "
                f"{self.max_pixels}; if it is what you want, raise the limit (--max-pixels)"
            )
        images.format_of(target.suffix if target else suffix).check_size(width, height)
        factor = max(width / picture.width, height / picture.height)
        if self._own_size is not None and factor <= 1:
            options: dict[str, Any] = {"target": target, "suffix": suffix, "strip": strip, "progress": progress}
            with self._own_size().compute(picture, size, **options) as restored:
                yield restored
            return
        exit_ = self._exit(factor)
        exit_height, exit_width = picture.height * exit_, picture.width * exit_
        if max(width, height) > _LARGEST_RESIZED and (width, height) != (exit_width, exit_height):
            raise CnlrnError(
                f"the result would have {width}x{height} pixels, and a picture can be resized to at most "
                f"{_LARGEST_RESIZED} a side; make it smaller"
            )
        with Spool(exit_height, exit_width, picture.image.bands, picture.dtype, target) as spool:
            computing = Computing(self.engine, self.tile, self.memory, self.ensemble)
            computing.fill(spool, picture, exit_, target, progress)
            if spool.on_disk:  # an encoder of large pictures needs the room
                self.engine.release()
            image = spool.image()
            if (width, height) != (exit_width, exit_height):
                image = _resized(image, width, height)
            extras = picture.extras() | ({"metadata": {}} if strip else {}) | {"is_result": True}
            result = LazyPicture(image, picture.has_alpha, picture.name, **extras)
            left_out = images.left_out(result, target.suffix if target else ".png")
            yield replace(result, notes=result.notes + left_out)

    def _exit(self, factor: float) -> int:
        """The smallest exit that enlarges at least `factor` times, or else the largest."""
        enough = [scale for scale in self.engine.scales if scale >= factor * (1 - 1e-6)]
        return min(enough) if enough else max(self.engine.scales)


class _Options(TypedDict, total=False):
    """Keywords of `Restorer.restore`."""

    scale: float | None
    width: int | None
    height: int | None
    strip: bool
    progress: Progress | None


class _DataOptions(_Options, total=False):
    """More of them, for bytes."""

    format: str | None


class _FileOptions(_DataOptions, total=False):
    """More of them, for paths."""

    output: _Path | None
    overwrite: bool


@overload
def restore(picture: _Path, *, model: _Path | None = ..., **options: Unpack[_FileOptions]) -> Path: ...
@overload
def restore(picture: Data, *, model: _Path | None = ..., **options: Unpack[_DataOptions]) -> bytes: ...
@overload
def restore(picture: _Same, *, model: _Path | None = ..., **options: Unpack[_Options]) -> _Same: ...


def restore(picture: Any, *, model: _Path | None = None, **options: Unpack[_FileOptions]) -> Any:
    """Restore one picture; arguments, result and errors are those of `Restorer.restore`.

    The model is loaded anew each time: for more than a few pictures keep a `Restorer`.

    >>> import numpy as np
    >>> restore(np.zeros((30, 40, 3), np.uint8), scale=2).shape
    (60, 80, 3)
    """
    return Restorer(model).restore(picture, **options)


def _path(given: object, what: str) -> Path:
    """A path that was given as `what`; CnlrnError where it cannot be one."""
    try:
        path = Path(given)  # type: ignore[arg-type]
    except TypeError:
        path = Path()
    if not path.name or "\0" in str(path):
        raise CnlrnError(f"{shown(given)} is no name of {what} file")
    return path


def _count(option: str, value: object) -> Any:
    """A number of at least 1 that was given as `option`, or None; CnlrnError where it is neither."""
    if value is None:
        return None
    number = whole(option, value)
    if number < 1:
        raise CnlrnError(f"{option} must be at least 1, not {shown(value)}")
    return number


def _resized(image: Any, width: int, height: int) -> Any:
    """A libvips image at another size, by Lanczos' kernel, antialiased; what grows is interpolated bicubically.

    In floating point, because libvips' integer kernels sum to a little less than one.
    """
    resized = image.cast("float").resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    return resized.clamp() if image.format == "float" else resized.rint().cast(image.format)
