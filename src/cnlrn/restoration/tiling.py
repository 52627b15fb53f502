"""Large pictures in tiles: cut with context, restore, keep the middle, and hand over block after block.

Tiles lie on a grid of the network's `multiple` and each is cut with `context` pixels more on every side, so a network
that looks no further than its context gives the same pixels tiled or whole: no seams, nothing to blend. Only a network
that looks at the whole picture has its tiles blended. A picture is padded with its edge, so that it does not show
what a network does where its input ends. How much is computed at once is chosen from free memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLEND = 16
"""Half of the overlap of the tiles of a network that looks at the whole picture, LR pixels."""

BORDER = 6
"""By how much a picture is padded for a network that itself pads with zeros, LR pixels: the rim that these make, up to
10/255 in plain colours with the shipped models, then lies outside. More makes it no smaller."""

_MEMORY = 400 * 10**6
_CGROUP = Path("/sys/fs/cgroup")

Restore = Callable[..., NDArray[Any]]
Read = Callable[[slice, slice], NDArray[Any]]
"""Gives rows and columns of an array, each from a start to a stop."""


class Block(NamedTuple):
    """A part of a picture, rows x columns x channels, and the row and the column where it begins."""

    top: int
    left: int
    samples: NDArray[Any]


class Grid(NamedTuple):
    """Largest sides of a tile without its context, LR pixels, multiples of the network's."""

    height: int
    width: int


def area_for(pixels_within: Callable[[int], int], margin: int, memory: int) -> int:
    """How many LR pixels, margins included, to compute at once: what fits into `memory` bytes, and at least what tiles
    need that are not mostly margin.

    `pixels_within`: how many LR pixels an engine computes in so many bytes. `margin`: what a tile is cut with on each
    side, LR pixels.
    """
    return max((3 * margin) ** 2, pixels_within(memory))


def memory_for_computing(free: int | None = None) -> int:
    """Bytes that computing may take unless the caller says how many: 400 MB, or a quarter of what is free if less.

    `free`: bytes, this machine's (`free_memory`) when None.
    """
    return min(_MEMORY, (free_memory() if free is None else free) // 4)


def free_memory() -> int:
    """Bytes that can still be had: the machine's, or what the control group of a container leaves, if that is less.

    What a container has only read from files counts as free.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit, used = (int((_CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
        parts = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        return min(free, max(0, limit - used + int(parts["inactive_file"])))
    except (OSError, ValueError, KeyError):  # no such group, or no limit ("max")
        return free


def grid(height: int, width: int, *, area: int, margin: int, multiple: int, smallest: int = 1) -> Grid:
    """The tiles that cover height x width with the least computing, when one may have `area` pixels with its margins.

    `margin`: what a tile is cut with on each side that lies within the picture, a multiple of `multiple`.
    `smallest`: a tile that does not reach over the whole picture has sides of at least so much.
    """
    rows, columns = _up(height, multiple), _up(width, multiple)
    smallest = _up(smallest, multiple)
    best, least = Grid(smallest, smallest), math.inf
    for count in range(1, max(1, columns // smallest) + 1):
        tile_width = _up(-(-columns // count), multiple)
        fits = area // _outer(tile_width, columns, margin)
        halves = _up(-(-rows // 2), multiple)
        if fits >= rows:
            tile_height = rows
        elif fits >= _outer(halves, rows, margin):
            tile_height = halves
        else:
            tile_height = (fits - 2 * margin) // multiple * multiple
        if tile_height < min(rows, smallest):
            continue
        strips = -(-rows // tile_height)
        tile_height = max(min(rows, smallest), _up(-(-rows // strips), multiple))  # about equal, none mostly context
        computed = (columns + 2 * margin * (count - 1)) * (rows + 2 * margin * (strips - 1))
        if computed < least:
            best, least = Grid(tile_height, tile_width), computed
        if fits >= rows:  # narrower tiles would not be higher
            break
    return best


def _outer(tile: int, side: int, margin: int) -> int:
    """The largest extent, with its margins, of a tile along a side: of two tiles each has a margin on one end only."""
    return min(side, tile + margin * (1 if 2 * tile >= side else 2))


def blocks(
    restore: Restore,
    read: Read,
    height: int,
    width: int,
    *,
    scale: int,
    area: int,
    context: int | None,
    multiple: int,
    tile_multiple: int | None = None,
    border: int = 0,
    reduction: int | None = None,
    features: tuple[Read, int] | None = None,
) -> Iterator[Block]:
    """Restore a picture tile by tile.

    Args:
        restore: takes a rows x columns x channels piece of the LR picture, its sides multiples of that of tiles, and
            returns it `scale` times as high and wide, float32 or integers; with `features` it takes their piece too.
        read: gives a part of the LR picture, rows x columns x channels.
        height, width: of the LR picture, from 1x1. It is padded up to `multiple`, tiled or not, see `border`.
        scale: enlargement of `restore`.
        area: LR pixels that may be computed at once, context included; the smallest tile may need more.
        context: how far `restore` looks, LR pixels; None when it looks everywhere: a picture that needs more than one
            tile then has them blended over 2 x `BLEND` pixels.
        multiple: of which the sides of the padded picture are multiples, LR pixels.
        tile_multiple: the grid of the tiles, LR pixels, which divides `multiple`; None for `multiple`.
        border: by how much at least the picture is padded with its edge pixels on each side, evenly. With 0 it is
            padded as `pad` does, to the right and below as far as `multiple` needs it.
        reduction: if given, `restore` returns so many times fewer rows and columns, of which all are wanted, those of
            the padding too; `scale` is 1 then.
        features: gives a part of an array so many times smaller than the padded picture.

    Yields:
        parts of the restored picture, as `restore` returns them, which cover it without overlaps; with `reduction`,
        of the padded one. None is as large as a strip across the longer side of a large picture.
    """
    step = tile_multiple or multiple
    margin = _up(BLEND if context is None else context, step)
    smallest = 2 * margin if context is None else 1
    whole = reduction is not None
    sides = tuple(_side(size, multiple, border) for size in (height, width))
    tile = grid(sides[0].total, sides[1].total, area=area, margin=margin, multiple=step, smallest=smallest)
    spans = [list(_spans(side, length, margin, whole)) for side, length in zip(sides, tile, strict=True)]

    def restored(rows: _Span, columns: _Span) -> NDArray[Any]:
        piece = _shown(read, sides, (rows, columns))
        if features is None:
            return restore(piece)
        read_features, smaller = features
        return restore(piece, read_features(*(span.over(smaller).outer for span in (rows, columns))))

    if context is None:
        yield from _blended_blocks(restored, sides, spans, scale, margin)
        return
    for rows in spans[0]:
        for columns in spans[1]:
            samples = restored(rows, columns)
            for axis, span in enumerate((rows.over(reduction or 1), columns.over(reduction or 1))):
                start = (span.start - span.outer_start) * scale
                samples = _cut(samples, axis, start, start + (span.stop - span.start) * scale)
            top, left = (
                span.start // reduction if reduction else (span.start - side.before) * scale
                for span, side in zip((rows, columns), sides, strict=True)
            )
            yield Block(top, left, samples)


def padded(size: int, multiple: int, border: int) -> int:
    """How long a side of `size` pixels is once `blocks` has padded it."""
    return _side(size, multiple, border).total


def pad(lr: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Lengthen a height x width x channels picture to the right and below, to multiples of `multiple`.

    A side is mirrored (its last pixel not repeated), or its last pixel is repeated where it is too short to mirror.
    """
    for axis in (0, 1):
        missing = -lr.shape[axis] % multiple
        amounts = [(0, missing if a == axis else 0) for a in range(3)]
        lr = np.pad(lr, amounts, mode="reflect" if missing < lr.shape[axis] else "edge")
    return lr


class _Span(NamedTuple):
    """One tile along one side: what it answers for, and what it is cut with (in the padded picture)."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int

    @property
    def outer(self) -> slice:
        """What it is cut with."""
        return slice(self.outer_start, self.outer_stop)

    def over(self, reduction: int) -> _Span:
        """The same on a grid that is `reduction` times as coarse."""
        return _Span(*(place // reduction for place in self))


class _Side(NamedTuple):
    """One side of the picture: its size, how much is added before it, and the total with what is added on both ends."""

    size: int
    before: int
    total: int

    @property
    def end(self) -> int:
        """Where the picture ends in the padded one."""
        return self.before + self.size

    def shown(self, span: _Span) -> NDArray[np.intp]:
        """The rows or columns of the picture that those of a span show."""
        last = self.size - 1
        places = np.arange(span.outer_start - self.before, span.outer_stop - self.before)
        if not self.before and self.total - self.end <= last:  # no border, and long enough to mirror
            places = last - np.abs(last - places)
        return places.clip(0, last)


def _side(size: int, multiple: int, border: int) -> _Side:
    total = _up(size + 2 * border, multiple)
    return _Side(size, (total - size) // 2 if border else 0, total)


def _spans(side: _Side, step: int, margin: int, whole: bool) -> Iterator[_Span]:
    """The tiles along a side that show something of the picture, or all of the padded one if `whole`."""
    first, last = (0, side.total) if whole else (side.before, side.end)
    for start in range(0, side.total, step):
        inner = max(start, first), min(start + step, last)
        if inner[0] < inner[1]:
            yield _Span(*inner, max(0, start - margin), min(side.total, start + step + margin))


def _shown(read: Read, sides: tuple[_Side, ...], spans: tuple[_Span, _Span]) -> NDArray[Any]:
    """What the padded picture shows in the spans of rows and columns."""
    places = [side.shown(span) for side, span in zip(sides, spans, strict=True)]
    parts = [slice(int(place.min()), int(place.max()) + 1) for place in places]
    piece = read(*parts)
    for axis, (place, part) in enumerate(zip(places, parts, strict=True)):
        if len(place) > part.stop - part.start or place[0] != part.start:
            piece = piece.take(place - part.start, axis)
    return piece


def _blended_blocks(
    restored: Callable[[_Span, _Span], NDArray[Any]],
    sides: tuple[_Side, ...],
    spans: list[list[_Span]],
    scale: int,
    margin: int,
) -> Iterator[Block]:
    """The tiles, blended to strips across the shorter side, and these into one another."""
    along = int(sides[1].size > sides[0].size)  # the axis from strip to strip
    across = 1 - along

    def strip(outer: _Span) -> NDArray[Any]:
        tiles = ((inner, restored(*((outer, inner) if across else (inner, outer)))) for inner in spans[across])
        return np.concatenate(list(_blended(tiles, across, sides[across], scale, margin)), axis=across)

    at = 0
    for samples in _blended(((outer, strip(outer)) for outer in spans[along]), along, sides[along], scale, margin):
        yield Block(*((0, at) if along else (at, 0)), samples)
        at += samples.shape[along]


Pieces = Iterator[tuple[_Span, NDArray[Any]]]


def _blended(pieces: Pieces, axis: int, side: _Side, scale: int, margin: int) -> Iterator[NDArray[Any]]:
    """The pieces, faded linearly into one another where they overlap; what is finished comes at once."""
    tail: NDArray[Any] | None = None
    for span, whole in pieces:
        start = max(span.outer_start, side.before)
        piece = _cut(
            whole, axis, (start - span.outer_start) * scale, (min(span.outer_stop, side.end) - span.outer_start) * scale
        )
        if tail is not None:
            overlap = tail.shape[axis]
            rising = (np.arange(overlap, dtype=np.float32) + 0.5) / overlap
            rising = rising.reshape([-1 if a == axis else 1 for a in range(3)])
            faded = tail * (1 - rising) + _cut(piece, axis, 0, overlap) * rising
            if piece.dtype != np.float32:
                faded = np.rint(faded).astype(piece.dtype)
            piece = np.concatenate([faded, _cut(piece, axis, overlap, None)], axis=axis)
        if span.stop == side.end:
            yield piece
        else:
            keep = max(0, span.stop - margin - start) * scale
            yield _cut(piece, axis, 0, keep)
            tail = _cut(piece, axis, keep, None)


def _cut(array: NDArray[Any], axis: int, start: int, stop: int | None) -> NDArray[Any]:
    return array[start:stop] if axis == 0 else array[:, start:stop]


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
