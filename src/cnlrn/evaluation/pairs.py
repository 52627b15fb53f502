"""A model's figures on a set of pairs, restored as a user would restore."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from cnlrn.data.pictures import Byte
from cnlrn.data.sets import Pair, open_set
from cnlrn.degradation import SCALE
from cnlrn.errors import CnlrnError, writing
from cnlrn.evaluation.metrics import Metric, check_sizes
from cnlrn.files import replacing
from cnlrn.restorer import Restorer

REACH = 16
"""How far `aligned` shifts, in pixels."""


def evaluate(restorer: Restorer, data: str | Path, metrics: Sequence[Metric]) -> Iterator[tuple[str, list[float]]]:
    """Name and figures of each pair of a set, restored x4; `data` names the set as `cnlrn.data.sets.open_set` does.

    Where a pair has several sharp pictures (Köhler's benchmark) the most similar one counts. CnlrnError where the set
    does not fit, a picture cannot be read, or sizes differ.
    """
    for pair in open_set(data):
        lr, sharp = pair.read()
        try:
            both = compared(pair, restorer.restore(lr, SCALE), sharp)
            figures = [metric.function(*both) for metric in metrics]
        except CnlrnError as error:
            raise CnlrnError(f"{pair.blurry}: {error}") from error
        yield pair.name, figures


def write_csv(path: Path, metrics: Sequence[Metric], rows: Iterable[tuple[str, Sequence[float]]]) -> None:
    """Write the rows that `evaluate` gave as a table, whole or not at all; CnlrnError where it cannot be written."""
    with writing(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", *(metric.name for metric in metrics)])
        table.writerows([name, *(f"{figure:.5f}" for figure in figures)] for name, figures in rows)


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
