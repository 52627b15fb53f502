"""Picture in, picture out: the one way in which files, arrays and Pillow images are restored.

Here a picture is turned into what a network computes on and back: alpha is taken apart and enlarged beside the colour,
gray is repeated to three channels and averaged, samples become floats and are rounded to their depth again, and a size
that no exit of the network gives is resized from one that does. Files, tiles and engines are rooms of their own.
"""

from __future__ import annotations

import numbers
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from cnlrn import blur, forks, given, images, tiles
from cnlrn.engines import Engine, OnnxEngine
from cnlrn.errors import CnlrnError, OutputExists, TooLarge
from cnlrn.given import Data, PillowImage
from cnlrn.images import LazyPicture, Picture, Pixels, Spool
from cnlrn.models import DEFAULT, OWN_SIZE, find
from cnlrn.plan import Plan
from cnlrn.plan import action as planned
from cnlrn.size import AUTOMATIC, shown, whole
from cnlrn.size import Size as Size

_LARGEST_RESIZED = 10_000_000  # width or height that libvips resizes to, at least
_ENLARGEMENT = 16  # output pixels for each of the most input pixels that are let in
_STRIP = 64 * 2**20  # bytes of one strip of the result, alpha counted twice: it is joined to a copy
_SURVEYED = 512**2  # LR pixels that a survey looks at: larger pictures are surveyed by windows of _WINDOW a side
_WINDOW = 64
_TRIAL = 96  # LR pixels a side that are restored to see how fast the machine is
_BLEED = 6.0  # LR pixels, sigma: how far visible colours spread under what alpha hides


_Path = str | os.PathLike[str]
_Same = TypeVar("_Same", bound=Picture | NDArray[Any] | PillowImage)
Progress = Callable[[float], None]


class Restorer:
    """A model, loaded once, that restores any number of pictures, from several threads if need be."""

    def __init__(
        self,
        model: _Path | None = None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        tile: int | None = None,
        ensemble: bool = False,
        max_pixels: int = images.MAX_PIXELS,
        damaged: Literal["refuse", "keep"] = "refuse",
    ) -> None:
        """Load a model.

        Args:
            model: a name that `cnlrn.models()` lists, or the path of an ONNX file made by `cnlrn export`. None is
                cnlrn-s for results that are larger than their picture, and cnlrn-own for others, of which sharp
                pictures are left as they are.
            device: "cpu" or "cuda".
            threads: CPU threads that compute; all cores when None.
            tile: side of what is computed at once, in LR pixels, the context around it not counted; chosen from the
                free memory when None. Smaller needs less memory and more time, and gives the same picture. Only the
                tiles of a model that looks at the whole picture are blended and differ a little.
            ensemble: average the results of the eight flips and rotations of the input (x8 self-ensemble, Lim et al.,
                EDSR, CVPRW 2017, sec. 3.4): a little better, eight times slower.
            max_pixels: files of larger pictures are refused, and so are results of more than 16 times as many pixels.
            damaged: "refuse" files that are damaged or cut short, or "keep" what can be read of them, with a warning.

        Raises:
            CnlrnError: unknown model or device, damaged model file, a number below 1 or not whole, or this process was
                forked from one that had loaded a model.
        """
        forks.check()
        threads, tile, max_pixels = (
            _count(option, value)
            for option, value in (("threads", threads), ("tile", tile), ("max_pixels", max_pixels))
        )
        if damaged not in ("refuse", "keep"):
            raise CnlrnError(f"damaged must be 'refuse' or 'keep', not {shown(damaged)}")
        named = DEFAULT if model is None else model
        path, sha256 = find(named if isinstance(named, str) else _path(named, "a model"))
        self.engine: Engine = OnnxEngine(path, sha256=sha256, device=device, threads=threads)
        self.tile, self.ensemble, self.max_pixels = tile, ensemble, max_pixels
        self.damaged: Literal["refuse", "keep"] = damaged
        self._own_size: Callable[[], Restorer] | None = None
        self._estimator: Callable[[], blur.BlurEstimator] | None = None
        if model is None:
            options: dict[str, Any] = {"device": device, "threads": threads, "tile": tile, "ensemble": ensemble}
            self._own_size = cache(partial(Restorer, OWN_SIZE, **options, max_pixels=max_pixels))
            self._estimator = cache(partial(blur.BlurEstimator, threads=threads))

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
        strength: float = ...,
        force: bool = ...,
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
        strength: float = ...,
        force: bool = ...,
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
        strength: float = ...,
        force: bool = ...,
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
        strength: float = 1.0,
        force: bool = False,
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
            scale: when neither scale nor width nor height is given, 4 if the result has at most 36 megapixels then,
                else 2 if it has, else 1. The exits of the network give 1 (sharper only), 2 and 4; anything else is
                resized (Lanczos) from the next larger exit, or from the largest (bicubic).
            width, height: size of the result in pixels instead of a scale; one is enough, the other follows.
            output: of a path, the file to write, in the format of its extension; when None NAME_x4 (after its scale)
                beside the picture.
            overwrite: replace the file if it exists.
            format: of the result of bytes, or of a path without `output`: "png", "jpg", "webp", "tif" or "avif". When
                None that of the picture where it is one of these, PNG otherwise.
            strip: leave out EXIF, XMP and IPTC metadata; the colour profile and the resolution stay.
            strength: 0 to 1: how much of the restored picture there is in the result; the rest is the picture as it
                was, enlarged.
            force: restore pictures that are sharp, too, where the restorer chooses the model.
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
        if isinstance(strength, bool) or not isinstance(strength, numbers.Real) or not 0 <= strength <= 1:
            raise CnlrnError(f"strength must be a number from 0 to 1, not {shown(strength)}")
        options: dict[str, Any] = {"strip": strip, "strength": float(strength), "progress": progress}
        if isinstance(picture, str | os.PathLike):
            source = _path(picture, "a picture")
            if output is not None and suffix is not None:
                raise CnlrnError("the extension of the output names the format; leave out one of them")
            target = None if output is None else _checked(_path(output, "an output"), overwrite)
            opened = self._warned(images.open_picture(source, self.max_pixels, self.damaged))
            if target is None:
                name = f"{source.stem}_{self.settled(size, opened).tag}{suffix or given.kept_suffix(source)}"
                target = _checked(source.with_name(name), overwrite)
            plan = self.plan(opened, size, force=force)
            with self.compute(opened, plan, target=target, **options) as restored:
                images.write(restored, target)
            return target
        if output is not None:
            raise CnlrnError("an output file goes with the path of a picture; write this result yourself")
        if suffix is not None and not given.is_data(picture):
            raise CnlrnError("a format goes with the path or the bytes of a picture; this result is no file")
        opened = self._warned(given.open_given(picture, self.max_pixels, self.damaged))
        suffix = suffix or given.kept_suffix(opened)
        with self.compute(opened, self.plan(opened, size, force=force), suffix=suffix, **options) as restored:
            return given.like(picture, restored, suffix)

    def inspect(
        self,
        picture: Any,
        scale: float | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        force: bool = False,
    ) -> Plan:
        """Tell how a picture is blurred, what `restore` with the same arguments does with it, and what that takes.

        `seconds` in what is returned come from a short trial on this machine, and leave out reading and writing.

        Raises:
            CnlrnError: as `restore` does for the picture and its size.
        """
        if isinstance(picture, str | os.PathLike):
            opened = images.open_picture(_path(picture, "a picture"), self.max_pixels, self.damaged)
        else:
            opened = given.open_given(picture, self.max_pixels, self.damaged)
        plan = self.plan(opened, Size(scale, width, height), force=force)
        return replace(plan, seconds=self._expected_seconds(plan))

    def _expected_seconds(self, plan: Plan) -> float:
        if plan.action == "leave":
            return 0.0
        if self._own_size is not None and plan.action == "deblur":
            return self._own_size()._expected_seconds(plan)
        exit_ = self._exit(max(plan.result_width / plan.width, plan.result_height / plan.height))
        return plan.width * plan.height * self._pace(exit_)

    @cache  # noqa: B019 - as many values as the network has exits, for as long as the restorer lives
    def _pace(self, exit_: int) -> float:
        """Seconds that this machine takes for a pixel of the picture: the better of two tries."""
        side = _TRIAL * self._unit
        side += -side % self.engine.multiple
        lr = np.full((1, 3, side, side), 0.5, np.float32)
        seconds = []
        for _ in range(3):  # the first one is slower
            start = time.perf_counter()
            self._infer(lr, exit_, self._surveys(lr), None)
            seconds.append(time.perf_counter() - start)
        return min(seconds) / side**2

    def _warned(self, opened: LazyPicture) -> LazyPicture:
        """The picture, with a warning if it is damaged."""
        if opened.damage is not None:
            warnings.warn(opened.damage, stacklevel=3)
        return opened

    def settled(self, size: Size, picture: LazyPicture) -> Size:
        """What an automatic size comes to for a picture: see `Size.settled`."""
        scales = self.engine.scales if self._own_size is None else AUTOMATIC
        return size.settled(picture.width, picture.height, scales)

    def plan(self, picture: LazyPicture, size: Size, *, force: bool = False) -> Plan:
        """Decide what to do with an open picture; errors are those of `restore`.

        Where the restorer chooses the model, the picture's blur is estimated, and one that is sharp already and shall
        not become larger is left as it is, but with `force`.
        """
        forks.check()
        asked, size = size, self.settled(size, picture)
        width, height = size.of(picture.width, picture.height)
        if width * height > _ENLARGEMENT * self.max_pixels:
            raise TooLarge(
                f"the result would have {width}x{height} pixels, more than {_ENLARGEMENT} times the limit of "
                f"{self.max_pixels}; if it is what you want, raise the limit (--max-pixels)"
            )
        told = None if self._estimator is None else blur.of_picture(self._estimator(), picture)
        action = planned(told, grows=size.enlarges(picture.width, picture.height), force=force)
        model = self.engine.name if self._own_size is None or action == "enlarge" else OWN_SIZE
        model_used = None if action == "leave" else model
        return Plan(picture.width, picture.height, told, action, model_used, asked, width, height)

    @contextmanager
    def compute(
        self,
        picture: LazyPicture,
        plan: Plan,
        *,
        target: Path | None = None,
        suffix: str = ".png",
        strip: bool = False,
        strength: float = 1.0,
        progress: Progress | None = None,
    ) -> Iterator[LazyPicture]:
        """Do what was planned for an open picture, and hold the result for as long as the context lasts.

        `target`: the file that it will be written to; a large result waits on disk beside it, and without it in memory.
        `suffix`: without a target, the extension of the format that it will be encoded in. The other arguments and
        errors are those of `restore`.
        """
        forks.check()
        width, height = plan.result_width, plan.result_height
        images.format_of(target.suffix if target else suffix).check_size(width, height)
        if self._own_size is not None and plan.action == "deblur":
            options: dict[str, Any] = {"target": target, "suffix": suffix, "strip": strip, "strength": strength}
            with self._own_size().compute(picture, plan, **options, progress=progress) as restored:
                yield restored
            return
        exit_ = 1 if plan.action == "leave" else self._exit(max(width / picture.width, height / picture.height))
        exit_height, exit_width = picture.height * exit_, picture.width * exit_
        if max(width, height) > _LARGEST_RESIZED and (width, height) != (exit_width, exit_height):
            raise TooLarge(
                f"the result would have {width}x{height} pixels, and a picture can be resized to at most "
                f"{_LARGEST_RESIZED} a side; make it smaller"
            )
        with ExitStack() as held:
            image = picture.image
            if plan.action != "leave":
                image = held.enter_context(self._network_result(picture, exit_, target, progress))
            if (width, height) != (exit_width, exit_height):
                image = _resized(image, width, height)
            if strength < 1 and image is not picture.image:
                image = _mixed(image, _resized(picture.image, width, height), strength)
            extras = picture.extras() | ({"metadata": {}} if strip else {}) | {"is_result": True}
            untouched = image is picture.image and not strip and picture.damage is None
            result = replace(picture, image=image, damage=None, is_untouched=untouched, **extras)
            yield replace(result, notes=images.left_out(result, target.suffix if target else suffix))

    @contextmanager
    def _network_result(
        self, picture: LazyPicture, exit_: int, target: Path | None, progress: Progress | None
    ) -> Iterator[Any]:
        """What an exit of the network makes of a picture, alpha last: a libvips image."""
        height = picture.height * exit_
        with Spool(height, picture.width * exit_, picture.image.bands, picture.dtype, target) as spool:
            done = 0
            for rows in self._strips(picture, exit_):
                spool.append(rows)
                done += len(rows)
                if progress is not None:
                    progress(done / height)
            if spool.on_disk:  # an encoder of large pictures needs the room
                self.engine.release()
            yield spool.image()

    def _exit(self, factor: float) -> int:
        """The smallest exit that enlarges at least `factor` times, or else the largest."""
        enough = [scale for scale in self.engine.scales if scale >= factor * (1 - 1e-6)]
        return min(enough) if enough else max(self.engine.scales)

    def _strips(self, picture: LazyPicture, scale: int) -> Iterator[Pixels]:
        """The restored picture, alpha last, from top to bottom."""
        engine, dtype, full = self.engine, picture.dtype, _full(picture.dtype)
        bands = picture.image.bands
        channels = bands - picture.has_alpha
        colour, alpha = picture.image, None
        if picture.has_alpha:
            alpha = _enlarged(picture.image[channels], scale)
            colour = _bleed(picture.image.extract_band(0, n=channels), picture.image[channels], full)

        def read(top: int, bottom: int) -> Pixels:
            if dtype == np.float32:
                samples = _rows(picture.image, top, bottom, picture.name)
                if not (samples.min() >= 0 and samples.max() <= 1):
                    raise CnlrnError(
                        f"{picture.name} has floating point samples that are not in [0, 1]; scale or clip them first"
                    )
            return _rows(colour, top, bottom, picture.name)

        def batch(*pieces: Pixels) -> NDArray[np.float32]:
            """Pieces of one size as n x 3 x height x width in [0, 1]."""
            lr = np.broadcast_to(np.stack(pieces), (len(pieces), *pieces[0].shape[:2], 3)).transpose(0, 3, 1, 2)
            return np.ascontiguousarray(lr, np.float32) / np.float32(full)

        windows = _windows(colour, engine.multiple, self._unit, picture.name)
        with np.errstate(invalid="ignore"):  # samples that are no numbers are refused when they are read below
            surveys = self._surveys(batch(*windows))

        grid = {
            "height": picture.height,
            "width": picture.width,
            "multiple": engine.multiple,
            "border": 0 if engine.context is None else min(tiles.BORDER, engine.context),
        }
        features: tuple[tiles.ReadRows, int] | None = None
        for index, level in enumerate(engine.levels):

            def make(
                piece: Pixels, before: NDArray[np.float32] | None = None, index: int = index
            ) -> NDArray[np.float32]:
                return self._level(index, batch(piece), surveys, before)

            area = self._area(level.context, level=True)
            made = tiles.strips(
                make,
                read,
                **grid,
                scale=1,
                reduction=level.reduction,
                area=area,
                most_rows=max(area // picture.width, 1),
                context=level.context,
                features=features,
            )
            features = tiles.Rows(made).read, level.reduction

        def restore(piece: Pixels, told: NDArray[np.float32] | None = None) -> Pixels:
            hr = self._infer(batch(piece), scale, surveys, told)[0]
            hr = (hr if channels == 3 else hr.mean(axis=0, keepdims=True)).transpose(1, 2, 0)
            np.clip(hr, 0, 1, out=hr)
            hr *= np.float32(full)
            return np.asarray(hr if dtype == np.float32 else np.rint(hr, out=hr), dtype)

        top = 0
        for strip in tiles.strips(
            restore,
            read,
            **grid,
            scale=scale,
            area=self._area(engine.context),
            features=features,
            most_rows=_STRIP // (picture.width * scale * scale * (bands + picture.has_alpha) * dtype.itemsize),
            context=engine.context,
        ):
            if alpha is not None:
                strip_alpha = np.clip(_rows(alpha, top, top + len(strip), picture.name), 0, full)
                strip = np.concatenate([strip, strip_alpha.astype(dtype)], axis=2)
            top += len(strip)
            yield strip

    def _area(self, context: int | None, *, level: bool = False) -> int:
        """LR pixels, context included, of the picture or of a level to compute at once."""
        margin = tiles.BLEND if context is None else context
        if self.tile is None:
            within = partial(self.engine.pixels_within, level=level)
            return tiles.area_for(within, margin, unit=self._unit)
        return (self.tile + 2 * margin) ** 2

    @property
    def _unit(self) -> int:
        """How many pixels of the picture a pixel of the network's finest level is wide and high."""
        return min((level.reduction for level in self.engine.levels), default=1)

    def _surveys(self, parts: NDArray[np.float32]) -> list[NDArray[np.float32] | None]:
        """The engine's survey of a picture from parts (n, 3, h, w) of it, for each turn of `_turns`."""
        return [self.engine.survey(_turned(parts, *turn)) for turn in self._turns]

    def _infer(
        self,
        lr: NDArray[np.float32],
        scale: int,
        surveys: list[NDArray[np.float32] | None],
        features: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """The engine's result (n, 3, scale*h, scale*w), the mean over `_turns`, in each of which it has its survey and
        its part of `features`, as `_level` gives them."""
        total: NDArray[np.float32] | None = None

        def compute(lr: NDArray[np.float32], survey: Any, told: NDArray[np.float32] | None) -> NDArray[np.float32]:
            return self.engine.run(lr, scale, survey, told)

        for restored in self._in_each_turn(lr, surveys, features, compute):
            total = restored if total is None else total + restored
        assert total is not None
        return total / np.float32(len(surveys))

    def _level(
        self,
        index: int,
        lr: NDArray[np.float32],
        surveys: list[NDArray[np.float32] | None],
        before: NDArray[np.float32] | None,
    ) -> NDArray[np.float32]:
        """A level's features of one part `lr` (1, 3, h, w), rows x columns x channels, those of all `_turns` side by
        side; `before` are those of the level before."""

        def compute(lr: NDArray[np.float32], survey: Any, before: NDArray[np.float32] | None) -> NDArray[np.float32]:
            return self.engine.level(index, lr, survey, before)

        made = np.concatenate(list(self._in_each_turn(lr, surveys, before, compute)), axis=1)
        features: NDArray[np.float32] = made[0].transpose(1, 2, 0)
        return features

    def _in_each_turn(
        self,
        lr: NDArray[np.float32],
        surveys: list[NDArray[np.float32] | None],
        features: NDArray[np.float32] | None,
        compute: Callable[[NDArray[np.float32], Any, NDArray[np.float32] | None], NDArray[np.float32]],
    ) -> Iterator[NDArray[np.float32]]:
        """What is computed in each of `_turns`, turned back."""
        given: list[NDArray[np.float32] | None] = [None] * len(surveys)
        if features is not None:
            given = [
                np.ascontiguousarray(part) for part in np.split(features.transpose(2, 0, 1)[None], len(surveys), 1)
            ]
        for (turns, flip), survey, part in zip(self._turns, surveys, given, strict=True):
            made = compute(_turned(lr, turns, flip), survey, None if part is None else _turned(part, turns, flip))
            yield np.rot90(made[..., ::-1] if flip else made, -turns, axes=(2, 3))

    @property
    def _turns(self) -> list[tuple[int, bool]]:
        """Quarter turns, and whether flipped then, in which a picture is seen: one, or in an ensemble eight."""
        return [(turns, flip) for turns in range(4) for flip in (False, True)] if self.ensemble else [(0, False)]


class _InspectOptions(TypedDict, total=False):
    """Keywords of `Restorer.inspect`."""

    scale: float | None
    width: int | None
    height: int | None
    force: bool


class _Options(_InspectOptions, total=False):
    """Keywords of `Restorer.restore`."""

    strip: bool
    strength: float
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


def inspect(picture: Any, *, model: _Path | None = None, **options: Unpack[_InspectOptions]) -> Plan:
    """Tell how a picture is blurred and what would be done with it; arguments, result and errors are those of
    `Restorer.inspect`."""
    return Restorer(model).inspect(picture, **options)


def _checked(target: Path, overwrite: bool) -> Path:
    """A file that is about to be written; CnlrnError where it may not or cannot be."""
    images.check_target(target)
    if target.exists() and not overwrite:
        raise OutputExists(f"{target} exists; say overwrite to replace it, or give another name")
    return target


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


def _full(dtype: np.dtype[Any]) -> float:
    """The sample value that means white or opaque."""
    return {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}[dtype.name]


def _rows(image: Any, top: int, bottom: int, name: str) -> Pixels:
    return LazyPicture(image.crop(0, top, image.width, bottom - top), name=name).samples()


def _windows(image: Any, multiple: int, unit: int, name: str) -> list[Pixels]:
    """What a survey looks at: a libvips image, padded as for restoring, or evenly spread windows of a large one.

    `unit`: by how much sizes are larger for a network whose finest level is reduced.
    """
    surveyed, window = _SURVEYED * unit**2, _WINDOW * unit
    if image.width * image.height <= surveyed:
        return [tiles.pad(_rows(image, 0, image.height, name), multiple)]
    height, width = min(window, image.height), min(window, image.width)
    most = surveyed // (height * width)
    down = min(-(-image.height // height), most, max(1, round((most * image.height / image.width) ** 0.5)))
    across = min(-(-image.width // width), most // down)
    places = [
        (top, left) for top in _spread(image.height, height, down) for left in _spread(image.width, width, across)
    ]
    windows = [image.crop(left, top, width, height) for top, left in places]
    return [tiles.pad(_rows(window, 0, height, name), multiple) for window in windows]


def _spread(size: int, window: int, count: int) -> list[int]:
    """Where `count` windows along a side begin, so that each has its share of the side."""
    return [min(max(0, (2 * i + 1) * size // (2 * count) - window // 2), size - window) for i in range(count)]


def _turned(lr: NDArray[np.float32], turns: int, flip: bool) -> NDArray[np.float32]:
    """n x 3 x h x w turned by quarters, and flipped then."""
    turned = np.rot90(lr, turns, axes=(2, 3))
    return np.ascontiguousarray(turned[..., ::-1] if flip else turned)


def _bleed(colour: Any, alpha: Any, full: float) -> Any:
    """Give pixels of alpha 0 the colour of visible ones, if any are near (libvips images; `full` means opaque).

    What a file stores there is arbitrary, often black, and a network would draw it into the visible rim. They take the
    mean of the premultiplied colours around them under a gaussian, divided by the mean of alpha there.
    """
    weight = alpha / full
    blur = {"min_ampl": 0.01, "precision": "float"}
    visible = weight.gaussblur(_BLEED, **blur)
    near = (colour * weight).gaussblur(_BLEED, **blur) / visible
    if colour.format != "float":
        near = near.rint()
    return ((alpha > 0) | (visible == 0)).ifthenelse(colour, near.cast(colour.format))


def _enlarged(alpha: Any, scale: int) -> Any:
    """Alpha `scale` times as large, by bicubic interpolation (libvips images)."""
    return alpha if scale == 1 else alpha.resize(scale, kernel="cubic")


def _mixed(restored: Any, before: Any, strength: float) -> Any:
    """Two libvips images of one size and format, the second with a weight of 1 - `strength`."""
    mixed = restored.cast("float") * strength + before.cast("float") * (1 - strength)
    return mixed if restored.format == "float" else mixed.rint().cast(restored.format)


def _resized(image: Any, width: int, height: int) -> Any:
    """A libvips image at another size, by Lanczos' kernel, antialiased; what grows is interpolated bicubically.

    In floating point, because libvips' integer kernels sum to a little less than one.
    """
    resized = image.cast("float").resize(width / image.width, vscale=height / image.height, kernel="lanczos3")
    return resized.clamp() if image.format == "float" else resized.rint().cast(image.format)
