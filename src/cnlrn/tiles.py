"""Large pictures in tiles: cut with context, restore, keep the middle, and hand over row after row.

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

_MOST = 512**2
_CGROUP = Path("/sys/fs/cgroup")

Restore = Callable[..., NDArray[Any]]
ReadRows = Callable[[int, int], NDArray[Any]]


class Rows:
    """Rows that come in strips from top to bottom, kept for as long as they may be asked for."""

    def __init__(self, strips: Iterator[NDArray[Any]]) -> None:
        """`strips`: arrays of rows, one below the other."""
        self._strips, self._end = strips, 0
        self._kept: list[tuple[int, NDArray[Any]]] = []

    def read(self, top: int, bottom: int) -> NDArray[Any]:
        """The rows [top, bottom), at least one. What is asked for only moves down."""
        while self._end < bottom:
            strip = next(self._strips)
            self._kept.append((self._end, strip))
            self._end += len(strip)
        self._kept = [(start, strip) for start, strip in self._kept if start + len(strip) > top]
        wanted = [strip[max(0, top - start) : bottom - start] for start, strip in self._kept if start < bottom]
        return np.concatenate(wanted)


class Grid(NamedTuple):
    """Largest sides of a tile without its context, LR pixels, multiples of the network's."""

    height: int
    width: int


def area_for(pixels_within: Callable[[int], int], margin: int, free: int | None = None, unit: int = 1) -> int:
    """How many LR pixels, margins included, to compute at once: what fits into a quarter of the free memory.

    At most 512x512 units of `unit` x `unit` pixels, and at least what tiles need that are not mostly margin.

    `pixels_within`: how many LR pixels an engine computes in so many bytes. `margin`: what a tile is cut with on each
    side, LR pixels. `free`: bytes, this machine's (`free_memory`) when None.
    """
    free = free_memory() if free is None else free
    return min(_MOST * unit**2, max((3 * margin) ** 2, pixels_within(free // 4)))


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


def grid(height: int, width: int, *, area: int, margin: int, multiple: int, most_rows: int, smallest: int = 1) -> Grid:
    """The tiles that cover height x width with the least computing, when one may have `area` pixels with its margins.

    `margin`: what a tile is cut with on each side that lies within the picture, a multiple of `multiple`.
    `most_rows`: a tile without its margins has no more, unless this is less than the margin.
    `smallest`: a tile that does not reach over the whole picture has sides of at least so much.
    """
    rows, columns = _up(height, multiple), _up(width, multiple)
    smallest = _up(smallest, multiple)
    most_rows = max(most_rows, margin, smallest)
    best, least = Grid(smallest, smallest), math.inf
    for count in range(1, max(1, columns // smallest) + 1):
        tile_width = _up(-(-columns // count), multiple)
        outer_width = min(columns, tile_width + 2 * margin)
        fits = area // outer_width
        tile_height = min(rows if fits >= rows else fits - 2 * margin, most_rows) // multiple * multiple
        if tile_height < min(rows, smallest):
            continue
        strips = -(-rows // tile_height)
        tile_height = max(min(rows, smallest), _up(-(-rows // strips), multiple))  # about equal, none mostly context
        computed = count * outer_width * strips * min(rows, tile_height + 2 * margin)
        if computed < least:
            best, least = Grid(tile_height, tile_width), computed
        if fits >= rows:  # narrower tiles would not be higher
            break
    return best


def strips(
    restore: Restore,
    read: ReadRows,
    height: int,
    width: int,
    *,
    scale: int,
    area: int,
    most_rows: int,
    context: int | None,
    multiple: int,
    border: int = 0,
    reduction: int = 1,
    features: tuple[ReadRows, int] | None = None,
) -> Iterator[NDArray[Any]]:
    """Restore a picture in strips as wide as the picture, from top to bottom.

    Args:
        restore: takes a rows x columns x channels piece of the LR picture, its sides multiples of `multiple`, and
            returns it `scale` times as high and wide, float32 or integers; with `features` it takes their piece too.
        read: gives the LR rows [top, bottom), an array of rows x width x channels. What is asked for only moves down.
        height, width: of the LR picture, from 1x1. It is padded up to `multiple`, tiled or not, see `border`.
        scale: enlargement of `restore`.
        area: LR pixels that may be computed at once, context included; the smallest tile may need more.
        most_rows: LR rows that a strip may have, unless this is less than the context.
        context: how far `restore` looks, LR pixels; None when it looks everywhere: a picture that needs more than one
            tile then has them blended over 2 x `BLEND` pixels.
        multiple: grid of the tiles, LR pixels.
        border: by how much at least the picture is padded with its edge pixels on each side, evenly. With 0 it is
            padded as `pad` does, to the right and below as far as `multiple` needs it.
        reduction: `restore` returns so many times fewer rows and columns, and all of the padded picture is wanted; with
            it `scale` is 1.
        features: gives rows of an array so many times smaller than the padded picture.

    Yields:
        rows x (scale*width) x channels, as `restore` returns them; together they are the restored picture, or with
        `reduction` that of the padded one.
    """
    blended = context is None
    margin = _up(BLEND if context is None else context, multiple)
    smallest = 2 * margin if blended else 1
    sides = [_side(size, multiple, border) for size in (height, width)]
    rows, columns = (side.total for side in sides)
    tile = grid(rows, columns, area=area, margin=margin, multiple=multiple, most_rows=most_rows, smallest=smallest)
    join = _blended if blended else _exact
    whole = reduction > 1
    spans = [list(_spans(side, step, margin, whole)) for side, step in zip(sides, tile, strict=True)]

    def restored(rows: _Span) -> Iterator[tuple[_Span, NDArray[Any]]]:
        needed = sides[0].shown(rows)
        top = int(needed.min())
        given = read(top, int(needed.max()) + 1)
        for columns in spans[1]:
            yield (
                columns.over(reduction),
                restore(given[np.ix_(needed - top, sides[1].shown(columns))], *told(rows, columns)),
            )

    def told(rows: _Span, columns: _Span) -> Iterator[NDArray[Any]]:
        if features is not None:
            read_features, smaller = features
            outer = columns.over(smaller)
            yield read_features(rows.outer_start // smaller, rows.outer_stop // smaller)[
                :, outer.outer_start : outer.outer_stop
            ]

    def strip(rows: _Span) -> NDArray[Any]:
        made = sides[1].total // reduction if whole else width * scale
        return _beside(join(restored(rows), 1, sides[1], scale, margin), made)

    yield from join(((rows.over(reduction), strip(rows)) for rows in spans[0]), 0, sides[0], scale, margin)


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


def _beside(pieces: Iterator[NDArray[Any]], width: int) -> NDArray[Any]:
    """Pieces joined from left to right, each copied as it comes, so that no more than one is held beside the whole."""
    first = next(pieces)
    whole = np.empty((first.shape[0], width, first.shape[2]), first.dtype)
    whole[:, : first.shape[1]] = first
    filled = first.shape[1]
    for piece in pieces:
        whole[:, filled : filled + piece.shape[1]] = piece
        filled += piece.shape[1]
    return whole


Pieces = Iterator[tuple[_Span, NDArray[Any]]]


def _exact(pieces: Pieces, axis: int, side: _Side, scale: int, margin: int) -> Iterator[NDArray[Any]]:
    """Of each piece what its tile answers for."""
    for span, piece in pieces:
        yield _cut(piece, axis, (span.start - span.outer_start) * scale, (span.stop - span.outer_start) * scale)


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
