"""Restores one picture: the one way in which files, arrays and Pillow images are restored.

This module opens what is given, chooses the exit of the network, and resizes a result to a size that no exit gives.
Other modules compute tiles, read and write files, and run the engine.
"""

from __future__ import annotations

import numbers
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, overload

from cnlrn import forks, images
from cnlrn.engine.onnx import Engine, OnnxEngine
from cnlrn.engine.precision import settled
from cnlrn.errors import CnlrnError, OutputExists, TooLarge
from cnlrn.images import LazyPicture, Spool
from cnlrn.models import DEFAULT, OWN_SIZE, Precision, find, fitting
from cnlrn.restoration import blur, given
from cnlrn.restoration.computing import Computing, Progress
from cnlrn.restoration.given import Data, PathLike, Same, path_of
from cnlrn.restoration.plan import Action, Plan, working_scale_for
from cnlrn.restoration.plan import action as planned
from cnlrn.restoration.resizing import mixed, resized, rounded
from cnlrn.restoration.size import AUTOMATIC, Size, count, shown

_WAITING = 100_000_000  # bytes of a picture or result that wait in memory; of a larger one they wait on disk
_LARGEST_RESIZED = 10_000_000  # width or height that libvips resizes to, at least
_ENLARGEMENT = 16  # output pixels for each of the most input pixels that are let in


class Restorer:
    """A model, loaded once, that restores any number of pictures. Several threads may share it."""

    def __init__(
        self,
        model: PathLike | None = None,
        *,
        device: str = "cpu",
        precision: Precision = "float32",
        threads: int | None = None,
        tile: int | None = None,
        memory: int | None = None,
        ensemble: bool = False,
        max_pixels: int = images.MAX_PIXELS,
        damaged: Literal["refuse", "keep"] = "refuse",
    ) -> None:
        """Load a model.

        Args:
            model: a name that `cnlrn.models()` lists, or the path of an ONNX file made by `cnlrn export`. With None,
                the restorer chooses: cnlrn-s if the result is larger than the picture, otherwise cnlrn-own. It then
                leaves sharp pictures as they are.
            device: "cpu" or "cuda".
            precision: "float32", "int8" (faster), or "auto": int8 where the model has it and the processor gains by it.
            threads: number of CPU threads that compute. None uses all cores.
            tile: side of the square that is computed at once, in LR pixels, without the context around it. With None,
                `memory` decides. A smaller tile needs less memory and more time, and gives the same picture. Only a
                model that looks at the whole picture has its tiles blended, so that they differ a little.
            memory: bytes that computing may take besides Python, the model and the picture, as measured for the shipped
                models. With None, 400 MB, or a quarter of the free memory if that is less.
            ensemble: average the results of the eight flips and rotations of the input (x8 self-ensemble, Lim et al.,
                EDSR, CVPRW 2017, sec. 3.4). A little better, eight times slower.
            max_pixels: refuse larger pictures, and results of more than 16 times as many pixels.
            damaged: "refuse" files that are damaged or cut short, or "keep" what can be read of them, with a warning.

        Raises:
            CnlrnError: the model or device is unknown, the model file is damaged, a number is below 1 or not whole, or
                this process was forked from one that had loaded a model.
        """
        forks.check()
        counts = {"threads": threads, "tile": tile, "memory": memory, "max_pixels": max_pixels}
        threads, tile, memory, max_pixels = (count(option, value) for option, value in counts.items())
        if damaged not in ("refuse", "keep"):
            raise CnlrnError(f"damaged must be 'refuse' or 'keep', not {shown(damaged)}")
        named = model if isinstance(model, str) else DEFAULT if model is None else path_of(model, "a model")
        path, sha256 = find(named, settled(precision, device))
        self.engine: Engine = OnnxEngine(path, sha256=sha256, device=device, threads=threads)
        self.tile, self.memory, self.ensemble, self.max_pixels = tile, memory, ensemble, max_pixels
        self.damaged: Literal["refuse", "keep"] = damaged
        self._own_size: Callable[[], Restorer] | None = None
        self._estimator: Callable[[], blur.BlurEstimator] | None = None
        if model is None:
            options: dict[str, Any] = {"device": device, "ensemble": ensemble, **counts}
            options["precision"] = fitting(OWN_SIZE, precision)
            self._own_size = cache(partial(Restorer, OWN_SIZE, **options))
            self._estimator = cache(partial(blur.BlurEstimator, threads=threads))

    @overload
    def restore(
        self,
        picture: PathLike,
        scale: float | None = ...,
        *,
        width: int | None = ...,
        height: int | None = ...,
        output: PathLike | None = ...,
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
        picture: Same,
        scale: float | None = ...,
        *,
        width: int | None = ...,
        height: int | None = ...,
        strip: bool = ...,
        strength: float = ...,
        force: bool = ...,
        progress: Progress | None = ...,
    ) -> Same: ...

    def restore(
        self,
        picture: Any,
        scale: float | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        output: PathLike | None = None,
        overwrite: bool = False,
        format: str | None = None,
        strip: bool = False,
        strength: float = 1.0,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Any:
        """Restore a picture: sharper, and `scale` times as wide and high. The result is of the same kind.

        Args:
            picture: one of

                * a path. The result is written to a file, and its path is returned. Large results wait on disk.
                * the bytes of a picture file (bytes, bytearray, memoryview), or an open binary file, such as a BytesIO,
                  which is read to its end. Returns the bytes of a file.
                * a Pillow image of any mode but "I" and "F". Returns an image with the same `info`.
                * an array (height, width) or (height, width, channels) of uint8, uint16, or float32 in [0, 1], with 1
                  channel (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGBA). Returns an array of the same dtype.
                * a `cnlrn.images.Picture`. Returns one.
            scale: how many times as wide and high the result is. The exits of the network give 1 (only sharper), 2 and
                4. Any other scale is resized from the next larger exit (Lanczos), or from the largest (bicubic).
                Without any size, the scale is 4, or 2 or 1 if the result would have more than 36 megapixels.
            width: width of the result in pixels, instead of a scale. The height follows if it is not given.
            height: height of the result in pixels, likewise.
            output: for a path, the file to write, in the format of its extension. With None, NAME_x4 (with the scale in
                place of 4) beside the picture. Missing folders are created.
            overwrite: replace the output if it exists.
            format: for bytes, or for a path without `output`: "png", "jpg", "webp", "tif" or "avif". With None, the
                format of the picture if it is one of these, otherwise PNG.
            strip: drop EXIF, XMP and IPTC metadata. The colour profile and the resolution stay.
            strength: share of the restored picture in the result, from 0 to 1. The rest is the original, enlarged.
            force: restore sharp pictures too, if the restorer chooses the model.
            progress: a function that is called a few times with the share that is computed, from 0 to 1.

        Raises:
            CnlrnError: the picture cannot be read, is of an unsupported kind or too large; the size makes no sense; or
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
            source = path_of(picture, "a picture")
            if output is not None and suffix is not None:
                raise CnlrnError("the extension of the output names the format; leave out one of them")
            target = None if output is None else _checked(path_of(output, "an output"), overwrite)
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
        """Show how a picture is blurred, what `restore` does with the same arguments, and what that costs.

        In the plan, `seconds` come from a short trial on this machine, without reading and writing. `memory` is that
        of the whole process.

        Raises:
            CnlrnError: as `restore` for the picture and its size.
        """
        if isinstance(picture, str | os.PathLike):
            opened = images.open_picture(path_of(picture, "a picture"), self.max_pixels, self.damaged)
        else:
            opened = given.open_given(picture, self.max_pixels, self.damaged)
        plan = self.plan(opened, Size(scale, width, height), force=force)
        seconds = self._expected_seconds(plan)
        return replace(plan, seconds=seconds, memory=self._expected_memory(plan, opened))

    def _expected_seconds(self, plan: Plan) -> float:
        if plan.action == "leave":
            return 0.0
        model = self._model_for(plan.action)
        pace = model._pace(model._exit(max(plan.result_width / plan.width, plan.result_height / plan.height)))
        if plan.action == "enlarge" and plan.working_scale is not None:
            pace += self._model_for("deblur")._pace(1) / plan.working_scale**2
        return plan.width * plan.height * pace

    def _expected_memory(self, plan: Plan, picture: LazyPicture) -> int:
        import psutil

        computing = 0 if plan.action == "leave" else self._model_for(plan.action)._computing.expected_memory(picture)
        pixel = picture.image.bands * picture.dtype.itemsize
        sides = (picture.width, picture.height), (plan.result_width, plan.result_height)
        waiting: int = sum(min(width * height * pixel, _WAITING) for width, height in sides)
        taken: int = psutil.Process().memory_info().rss
        return taken + waiting + computing

    @cache  # noqa: B019 - as many values as the network has exits, for as long as the restorer lives
    def _pace(self, exit_: int) -> float:
        return self._computing.pace(exit_)

    def _warned(self, opened: LazyPicture) -> LazyPicture:
        """The picture, with a warning if it is damaged."""
        if opened.damage is not None:
            warnings.warn(opened.damage, stacklevel=3)
        return opened

    def settled(self, size: Size, picture: LazyPicture) -> Size:
        """The size that an automatic size becomes for a picture: see `Size.settled`."""
        scales = self.engine.scales if self._own_size is None else AUTOMATIC
        return size.settled(picture.width, picture.height, scales)

    def plan(self, picture: LazyPicture, size: Size, *, force: bool = False) -> Plan:
        """Decide what to do with an open picture. Errors are those of `restore`.

        If the restorer chooses the model, it estimates the blur. A sharp picture whose result is not larger then stays
        as it is, unless `force` is given.
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
        model = None if action == "leave" else self._model_for(action).engine.name
        working_scale = None if told is None or action == "leave" else working_scale_for(told, action)
        return Plan(picture.width, picture.height, told, action, model, asked, width, height, working_scale)

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
        """Carry out a plan for an open picture, and keep the result until the context ends.

        `target`: the file that the result will be written to. A large result waits on disk beside it; without a target,
        in memory. `suffix`: without a target, the extension of the format in which the result will be encoded. The
        other arguments and the errors are those of `restore`.
        """
        forks.check()
        width, height = plan.result_width, plan.result_height
        pixel = picture.dtype.itemsize * picture.image.bands
        images.format_of(target.suffix if target else suffix).check_size(width, height, pixel)
        model = self._model_for(plan.action)
        exit_ = 1 if plan.action == "leave" else model._exit(max(width / picture.width, height / picture.height))
        exit_height, exit_width = picture.height * exit_, picture.width * exit_
        if max(width, height) > _LARGEST_RESIZED and (width, height) != (exit_width, exit_height):
            raise TooLarge(
                f"the result would have {width}x{height} pixels, and a picture can be resized to at most "
                f"{_LARGEST_RESIZED} a side; make it smaller"
            )
        with ExitStack() as held:
            image = picture.image
            if plan.working_scale is not None:
                told = progress if plan.action == "deblur" else None
                image = held.enter_context(self._deblurred(picture, plan.working_scale, target, told))
            if plan.action == "enlarge" or (plan.action == "deblur" and plan.working_scale is None):
                source = replace(picture, image=image)
                image = held.enter_context(model._network_result(source, exit_, target, progress))
            if (width, height) != (exit_width, exit_height):
                image = resized(image, width, height)
            if strength < 1 and image is not picture.image:
                image = mixed(image, resized(picture.image, width, height), strength)
            extras = picture.extras() | ({"metadata": {}} if strip else {}) | {"is_result": True}
            untouched = image is picture.image and not strip and picture.damage is None
            result = replace(picture, image=image, damage=None, is_untouched=untouched, **extras)
            yield replace(result, notes=images.left_out(result, target.suffix if target else suffix))

    def engine_for(self, picture: LazyPicture, progress: Progress | None) -> tuple[Engine, Progress | None]:
        """The engine that computes this picture, and how it reports its progress.

        A subclass overrides this if its engine depends on the picture. `progress` is called with the share of all work
        that is done. The function returned is called with the share that the engine has done, from 0 to 1.
        """
        return self.engine, progress

    def _model_for(self, action: Action) -> Restorer:
        return self if self._own_size is None or action == "enlarge" else self._own_size()

    @contextmanager
    def _deblurred(
        self, picture: LazyPicture, working_scale: int, target: Path | None, progress: Progress | None
    ) -> Iterator[Any]:
        """The picture deblurred at its own size: a libvips image.

        With a `working_scale` of more than 1 it is reduced by that, and what the model changes in it is enlarged and
        added to the picture.
        """
        small = picture
        if working_scale > 1:
            sides = (max(1, round(side / working_scale)) for side in (picture.width, picture.height))
            small = replace(picture, image=resized(picture.image, *sides))
        with self._model_for("deblur")._network_result(small, 1, target, progress) as image:
            if working_scale > 1:
                change = image.cast("float") - small.image.cast("float")
                across, down = picture.width / small.width, picture.height / small.height
                changed = picture.image.cast("float") + change.resize(across, vscale=down)
                image = rounded(changed, picture.image.format)
            yield image

    @contextmanager
    def _network_result(
        self, picture: LazyPicture, exit_: int, target: Path | None, progress: Progress | None
    ) -> Iterator[Any]:
        """What an exit of the network makes of a picture, alpha last: a libvips image."""
        engine, progress = self.engine_for(picture, progress)
        with Spool(picture.height * exit_, picture.width * exit_, picture.image.bands, picture.dtype, target) as spool:
            replace(self._computing, engine=engine).fill(spool, picture, exit_, target, progress)
            if spool.on_disk:  # an encoder of large pictures needs the room
                engine.release()
            yield spool.image()

    @property
    def _computing(self) -> Computing:
        return Computing(self.engine, self.tile, self.memory, self.ensemble)

    def _exit(self, factor: float) -> int:
        """The smallest exit that enlarges at least `factor` times, or else the largest."""
        scales = self.engine.scales
        return min((scale for scale in scales if scale >= factor * (1 - 1e-6)), default=max(scales))


def _checked(target: Path, overwrite: bool) -> Path:
    """A file that is about to be written; CnlrnError where it may not or cannot be."""
    images.check_target(target)
    if target.exists() and not overwrite:
        raise OutputExists(f"{target} exists; say overwrite to replace it, or give another name")
    return target
