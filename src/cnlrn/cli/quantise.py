"""`cnlrn quantise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli.options import extra
from cnlrn.cli.terminal import say


def quantise(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model that `cnlrn models` lists.")],
    calibration: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Sharp photos, 60 of which show what values there are.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for MODEL.int8.onnx and the card MODEL.json.")],
) -> None:
    """Make the eight-bit version of a model, which `cnlrn restore --precision int8` takes."""
    with extra():
        from cnlrn.training.quantise import quantise_model

    card = quantise_model(model, calibration, out)
    say(f"{out / card.int8['file']}: sha256 {card.int8['sha256']}")
