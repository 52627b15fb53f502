"""A model's scores on a folder of pairs: restored as a user would restore, measured by the paper's protocol."""

from collections.abc import Iterator
from pathlib import Path

from cnlrn.data import pictures
from cnlrn.data.sources import match
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import Score, score
from cnlrn.restorer import Restorer


def evaluate(restorer: Restorer, folder: Path) -> Iterator[tuple[str, Score]]:
    """Name and score of each pair in `folder`/blurry_x4 and `folder`/sharp, matched by name, restored x4.

    CnlrnError where the folders do not match, a picture cannot be read, or sizes differ.
    """
    for lr_file, hr_file in match(folder / "blurry_x4", folder / "sharp"):
        lr, hr = pictures.read(lr_file), pictures.read(hr_file)
        if lr is None or hr is None:
            raise CnlrnError(f"{lr_file if lr is None else hr_file} cannot be read as a picture")
        try:
            yield hr_file.stem, score(restorer.restore(lr, 4), hr)
        except CnlrnError as error:
            raise CnlrnError(f"{lr_file}: {error}") from error
