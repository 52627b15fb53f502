"""A system's figures on a set of pairs, and those of blurry photos that it leaves at their size."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from cnlrn.data.pictures import Byte
from cnlrn.data.sets import Pair
from cnlrn.errors import CnlrnError, writing
from cnlrn.evaluation.metrics import Metric, check_sizes
from cnlrn.files import replacing

REACH = 16
"""How far `aligned` shifts, in pixels."""


@dataclass(frozen=True)
class Measured:
    """What was measured on a pair: figures of the restored picture and, where it is as large, of the blurry one."""

    name: str
    figures: list[float]
    blurry: list[float] = field(default_factory=list)

    def gains(self, metrics: Sequence[Metric]) -> list[float]:
        """By how much the restored picture is better than the blurry one; empty where that has no figures."""
        if not self.blurry:
            return []
        return [m.gain(*both) for m, *both in zip(metrics, self.figures, self.blurry, strict=True)]


def evaluate(restore: Callable[[Byte], Byte], pairs: Iterable[Pair], metrics: Sequence[Metric]) -> Iterator[Measured]:
    """What is measured on each pair, whose blurry picture `restore` makes as large as the sharp one.

    Where a pair has several sharp pictures (Köhler's benchmark) the most similar one counts. CnlrnError where a picture
    cannot be read or restored, sizes differ, or a figure is not finite.
    """
    for pair in pairs:
        blurry, sharp = pair.read()
        try:
            measured = figures(metrics, pair, restore(blurry), sharp)
            base = figures(metrics, pair, blurry, sharp) if pair.scale == 1 else []
        except CnlrnError as error:
            raise CnlrnError(f"{pair.blurry}: {error}") from error
        yield Measured(pair.name, measured, base)


def figures(metrics: Iterable[Metric], pair: Pair, restored: Byte, sharp: Byte) -> list[float]:
    """The figures of a restored picture; CnlrnError where sizes do not fit, or a figure is not finite."""
    both = compared(pair, restored, sharp)
    found = []
    for metric in metrics:
        figure = metric.function(*both)
        if not math.isfinite(figure):
            raise CnlrnError(f"its {metric.name} is {figure}, no number")
        found.append(figure)
    return found


def write_csv(path: Path, metrics: Sequence[Metric], rows: Sequence[Measured]) -> None:
    """Write the rows that `evaluate` gave as a table, whole or not at all; CnlrnError where it cannot be written."""
    heads = ["name", *(metric.name for metric in metrics)]
    if rows and rows[0].blurry:
        heads += [f"{metric.name}_gain" for metric in metrics]
    with writing(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(heads)
        for row in rows:
            table.writerow([row.name, *(f"{figure:.5f}" for figure in (*row.figures, *row.gains(metrics)))])


def compared(
    pair: Pair, restored: Byte, sharp: Byte, target: Callable[[Byte], Byte] = lambda frame: frame
) -> tuple[Byte, Byte]:
    """What figures of a restored picture are computed on: it and `sharp`, or, of several sharp ones, as `aligned` does.

    `target` makes of each of several what the restored picture should be, such as a smaller one. Errors as `aligned`.
    """
    return (restored, sharp) if len(pair.sharp) == 1 else aligned(restored, map(target, pair.references()))


def aligned(restored: Byte, frames: Iterable[Byte]) -> tuple[Byte, Byte]:
    """A restored picture and the most similar of several sharp ones, shifted to fit, both without the rim.

    All are uint8 HWC RGB of one size. The sharp pictures are those along the path of a shaken camera, any of which a
    deblurred picture may show: the one of least squared difference, at its best shift, is taken (Köhler et al., ECCV
    2012, who also fit the brightness; here a restored picture has to keep it). Shifts are whole pixels, 16 at most, and
    the rim is as wide. CnlrnError where sizes differ or are below 33 pixels.
    """
    inner = np.ascontiguousarray(restored[REACH:-REACH, REACH:-REACH])
    windows = (_window(frame, restored, inner) for frame in frames)
    return inner, min(windows, key=lambda window: float(cv2.norm(inner, window, cv2.NORM_L2SQR)))


def _window(frame: Byte, restored: Byte, inner: Byte) -> Byte:
    check_sizes(restored, frame, 2 * REACH + 1)
    distances = cv2.matchTemplate(frame, inner, cv2.TM_SQDIFF)
    top, left = divmod(int(np.argmin(distances)), distances.shape[1])
    return np.ascontiguousarray(frame[top:, left:][: inner.shape[0], : inner.shape[1]])
