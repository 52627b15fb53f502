"""`cnlrn export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli.options import Preset, extra, settings
from cnlrn.cli.terminal import say


def export(
    model: Annotated[str, typer.Option(help="The network's name, e.g. cnlrn-s.")],
    weights: Annotated[Path, typer.Option(help="The network's weights: .safetensors, .pth or .pt.")],
    out: Annotated[Path, typer.Option(help="Folder for MODEL.onnx, MODEL.safetensors and the card MODEL.json.")],
    preset: Preset = None,
) -> None:
    """Turn trained weights into a model for `cnlrn restore --model`."""
    with extra():
        from cnlrn.training.export import export_model

    card = export_model(model, weights, out, settings(preset))
    say(f"{out / card.file}: sha256 {card.sha256}")
