"""A picture in what a network computes on, tile by tile, and back in samples.

Alpha is taken apart and enlarged beside the colour, gray is repeated to three channels and averaged, and samples become
floats and are rounded to their depth again. Opening pictures, sizes that no network gives and files are elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnlrn.engine.onnx import Engine
from cnlrn.engine.onnxfile import Level
from cnlrn.images import LazyPicture, Pixels, Spool
from cnlrn.images.picture import check_range
from cnlrn.restoration import tiling as tiles

_SURVEYED = 512**2  # LR pixels that a survey looks at: larger pictures are surveyed by windows of _WINDOW a side
_WINDOW = 64
_TRIAL = 96  # LR pixels a side that are computed to see how fast the machine is
_BLEED = 6.0  # LR pixels, sigma: how far visible colours spread under what alpha hides

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Computing:
    """How pictures are computed: `tile`, `memory` and `ensemble` are those of `Restorer`."""

    engine: Engine
    tile: int | None = None
    memory: int | None = None
    ensemble: bool = False

    def fill(
        self, spool: Spool, picture: LazyPicture, scale: int, target: Path | None, progress: Progress | None
    ) -> None:
        """Compute the picture, `scale` times as large and alpha last, into a spool of its size.

        `target`: what is made of the whole picture beforehand waits on disk beside it, if it is much; None keeps it in
        memory. `progress` is called with the part that is done, from 0 to 1.

        Raises:
            CnlrnError: the picture or the engine fails, or the disk is full.
        """
        engine, source = self.engine, _Source(picture)
        windows = _windows(source.colour, engine.multiple, self._unit, picture.name)
        with np.errstate(invalid="ignore"):  # samples that are no numbers are refused when they are read below
            surveys = self._surveys(source.batch(*windows))
        border = 0 if engine.context is None else min(tiles.BORDER, engine.context)
        rows, columns = (tiles.padded(side, engine.multiple, border) for side in (picture.height, picture.width))
        blocks = partial(
            tiles.blocks,
            read=source.read,
            height=picture.height,
            width=picture.width,
            multiple=engine.multiple,
            border=border,
        )
        memory = tiles.memory_for_computing() if self.memory is None else self.memory
        features: tuple[tiles.Read, int] | None = None
        with ExitStack() as levels:
            for index, level in enumerate(engine.levels):

                def make(piece: Pixels, before: NDArray[np.float32] | None = None, index: int = index) -> Any:
                    return self._level(index, source.batch(piece), surveys, before)

                sides, reduction = (rows // level.reduction, columns // level.reduction), level.reduction
                made = Spool(*sides, level.channels * len(self._turns), np.float32, target)
                levels.enter_context(made)
                area = self._area(memory, level)
                parts = blocks(
                    make,
                    scale=1,
                    reduction=reduction,
                    tile_multiple=level.multiple,
                    area=area,
                    context=level.context,
                    features=features,
                )
                for block in _told(
                    parts,
                    sides[0] * sides[1],
                    progress,
                    index,
                    len(engine.levels) + 1,
                ):
                    made.put(*block)
                if picture.width * picture.height > area // 4:
                    engine.release()
                features = made.read, reduction

            def restore(piece: Pixels, told: NDArray[np.float32] | None = None) -> Pixels:
                return source.samples(self._infer(source.batch(piece), scale, surveys, told)[0])

            area = self._area(memory)
            for top, left, samples in _told(
                blocks(restore, scale=scale, area=area, context=engine.context, features=features),
                picture.height * picture.width * scale**2,
                progress,
                len(engine.levels),
                len(engine.levels) + 1,
            ):
                spool.put(top, left, source.with_alpha(samples, top, left, scale))

    def expected_memory(self, picture: LazyPicture) -> int:
        """Bytes that computing a picture takes at the most."""
        budget = tiles.memory_for_computing() if self.memory is None else self.memory
        pixels = picture.width * picture.height
        return min(budget, budget * pixels // max(1, self._area(budget)))

    def pace(self, scale: int) -> float:
        """Seconds that this machine takes for a pixel of a picture: the best of three tries."""
        side = _TRIAL * self._unit
        side += -side % self.engine.multiple
        lr = np.full((1, 3, side, side), 0.5, np.float32)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            self._infer(lr, scale, self._surveys(lr), None)
            seconds.append(time.perf_counter() - start)
        return min(seconds) / side**2

    def _area(self, memory: int, level: Level | None = None) -> int:
        """LR pixels, context included, of the picture or of a level to compute at once."""
        context = self.engine.context if level is None else level.context
        margin = tiles.BLEND if context is None else context
        if self.tile is None:
            return tiles.area_for(partial(self.engine.pixels_within, level=level), margin, memory)
        return (self.tile + 2 * margin) ** 2

    @property
    def _unit(self) -> int:
        """By how much larger, in each side, a part of a picture has to be for a network that works on reduced ones."""
        return max((level.reduction // 2 for level in self.engine.levels), default=1)

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
        if len(surveys) > 1:
            total /= np.float32(len(surveys))
        return total

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


class _Source:
    """A picture as networks take it."""

    def __init__(self, picture: LazyPicture) -> None:
        self.picture, self.dtype = picture, picture.dtype
        self._full = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}[self.dtype.name]  # white, or opaque
        self._channels = picture.image.bands - picture.has_alpha
        self.colour, self._alpha = picture.image, None
        if picture.has_alpha:
            self._alpha = picture.image[self._channels]
            self.colour = _bleed(picture.image.extract_band(0, n=self._channels), self._alpha, self._full)

    def read(self, rows: slice, columns: slice) -> Pixels:
        """A part of the colours; CnlrnError where floating point leaves [0, 1]."""
        if self.dtype == np.float32:
            check_range(_part(self.picture.image, rows, columns, self.picture.name), self.picture.name)
        return _part(self.colour, rows, columns, self.picture.name)

    def batch(self, *pieces: Pixels) -> NDArray[np.float32]:
        """Pieces of one size as n x 3 x height x width in [0, 1]."""
        lr = np.empty((len(pieces), 3, *pieces[0].shape[:2]), np.float32)
        for place, piece in zip(lr, pieces, strict=True):
            place[:] = piece.transpose(2, 0, 1)
        lr /= np.float32(self._full)
        return lr

    def samples(self, hr: NDArray[np.float32]) -> Pixels:
        """A result (3, h, w) as samples of the picture's kind, which takes its place."""
        hr = (hr if self._channels == 3 else hr.mean(axis=0, keepdims=True)).transpose(1, 2, 0)
        np.clip(hr, 0, 1, out=hr)
        hr *= np.float32(self._full)
        return np.asarray(hr if self.dtype == np.float32 else np.rint(hr, out=hr), self.dtype)

    def with_alpha(self, samples: Pixels, top: int, left: int, scale: int) -> Pixels:
        """A block of the result with its alpha, if the picture has any."""
        if self._alpha is None:
            return samples
        rows, columns = slice(top, top + samples.shape[0]), slice(left, left + samples.shape[1])
        alpha = np.clip(_part(_enlarged(self._alpha, scale), rows, columns, self.picture.name), 0, self._full)
        return np.concatenate([samples, alpha.astype(self.dtype)], axis=2)


def _told(
    blocks: Iterator[tiles.Block], pixels: int, progress: Progress | None, index: int, passes: int
) -> Iterator[tiles.Block]:
    """The blocks of the pass `index` over a picture; `progress` is told after each has been taken."""
    done = 0
    for block in blocks:
        yield block
        done += block.samples.shape[0] * block.samples.shape[1]
        if progress is not None:
            progress((index + done / pixels) / passes)


def _part(image: Any, rows: slice, columns: slice, name: str) -> Pixels:
    """Rows and columns of a libvips image."""
    part = image.crop(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    return LazyPicture(part, name=name).samples()


def _windows(image: Any, multiple: int, unit: int, name: str) -> list[Pixels]:
    """What a survey looks at: a libvips image, padded as for restoring, or evenly spread windows of a large one.

    `unit`: by how much sizes are larger for a network that works on reduced pictures.
    """
    surveyed, window = _SURVEYED * unit**2, _WINDOW * unit
    if image.width * image.height <= surveyed:
        return [tiles.pad(_part(image, slice(0, image.height), slice(0, image.width), name), multiple)]
    height, width = min(window, image.height), min(window, image.width)
    most = surveyed // (height * width)
    down = min(-(-image.height // height), most, max(1, round((most * image.height / image.width) ** 0.5)))
    across = min(-(-image.width // width), most // down)
    places = [
        (top, left) for top in _spread(image.height, height, down) for left in _spread(image.width, width, across)
    ]
    windows = [_part(image, slice(top, top + height), slice(left, left + width), name) for top, left in places]
    return [tiles.pad(window, multiple) for window in windows]


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
