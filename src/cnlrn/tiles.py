"""Large pictures in tiles: cut with context, restore, keep the middle.

Tiles lie on a grid of the network's `multiple` and each is cut with `context` pixels more on every side, so a network
that looks no further than its context gives the same pixels tiled or whole: no seams, nothing to blend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Place = tuple[slice, slice]


def run(
    restore: Callable[[NDArray[Any]], NDArray[np.float32]],
    lr: NDArray[Any],
    *,
    scale: int,
    tile: int,
    context: int | None,
    multiple: int,
) -> Iterator[tuple[Place, NDArray[np.float32]]]:
    """Restore `lr` tile by tile, row by row.

    Args:
        restore: takes a height x width x channels piece of `lr`, its sides multiples of `multiple`, and returns it
            `scale` times as high and wide.
        lr: height x width x channels, any size from 1x1. It is mirrored at its right and lower border (its edge
            repeated where it is too small to mirror) up to `multiple`, tiled or not.
        scale: enlargement of `restore`.
        tile: largest side of a tile, LR pixels, without its context.
        context: how far `restore` looks, LR pixels; None when it looks everywhere: the whole picture is then one tile.
        multiple: grid of the tiles, LR pixels.

    Yields:
        (rows, columns) of the restored picture and the pixels that belong there. Together they cover it once.
    """
    height, width = lr.shape[:2]
    padded = pad(lr, multiple)
    if context is None:
        tile, context = max(padded.shape[:2]), 0
    for rows, outer_rows in _spans(height, tile, context, multiple):
        for columns, outer_columns in _spans(width, tile, context, multiple):
            restored = restore(padded[outer_rows, outer_columns])
            inner = (_scaled(rows, scale, outer_rows.start), _scaled(columns, scale, outer_columns.start))
            yield (_scaled(rows, scale), _scaled(columns, scale)), restored[inner]


def pad(lr: NDArray[Any], multiple: int) -> NDArray[Any]:
    """Lengthen a height x width x channels picture to the right and below, to multiples of `multiple`.

    A side is mirrored (its last pixel not repeated), or its last pixel is repeated where it is too short to mirror.
    """
    for axis in (0, 1):
        missing = -lr.shape[axis] % multiple
        amounts = [(0, missing if a == axis else 0) for a in range(3)]
        lr = np.pad(lr, amounts, mode="reflect" if missing < lr.shape[axis] else "edge")
    return lr


def _spans(size: int, tile: int, context: int, multiple: int) -> Iterator[tuple[slice, slice]]:
    """Cut one side of a picture: yields what a tile answers for, and what it is cut with (in the padded picture).

    The tiles are about equal, so that none is mostly context.
    """
    cells = -(-size // multiple)
    tiles = -(-cells // max(1, tile // multiple))
    step = -(-cells // tiles) * multiple
    margin = -(-context // multiple) * multiple
    for start in range(0, size, step):
        outer = slice(max(0, start - margin), min(cells * multiple, start + step + margin))
        yield slice(start, min(start + step, size)), outer


def _scaled(span: slice, scale: int, origin: int = 0) -> slice:
    return slice((span.start - origin) * scale, (span.stop - origin) * scale)
