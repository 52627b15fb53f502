"""What several commands share: options, checks of outputs, and the message about a missing extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from cnlrn.errors import CnlrnError, OutputExists
from cnlrn.files import is_there

Model = Annotated[str, typer.Option(help="A model that `cnlrn models` lists, or an .onnx file.")]
Precision = Annotated[
    Literal["float32", "int8", "auto"],
    typer.Option(help="float32, int8 (faster), or auto: int8 where the model has it and the processor gains by it."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


@contextmanager
def extra() -> Iterator[None]:
    """Imports inside this context come with the extra `train`; a CnlrnError says so if it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CnlrnError(
            f'{error.name} is not installed; it comes with the extra "train": pip install ".[train]" in the source'
        ) from error


def check_output(output: Path, overwrite: bool) -> None:
    """Check before any work that a picture may and can be written to `output`."""
    from cnlrn.images import check_target

    check_target(output)
    refuse_existing(output, overwrite)


def refuse_existing(output: Path, overwrite: bool) -> None:
    """Raise OutputExists if the file exists and may not be replaced."""
    if is_there(output) and not overwrite:
        raise OutputExists(f"{output} exists; give --overwrite to replace it, or another name with -o")


Preset = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=NUMBER", help="A hyper-parameter that the recipe changed in the preset; repeatable."),
]


def settings(preset: list[str] | None) -> dict[str, float]:
    """Hyper-parameters and their values."""
    return dict(_number(setting) for setting in preset or ())


def _number(setting: str) -> tuple[str, float]:
    """A hyper-parameter and its value, of KEY=NUMBER."""
    key, _, text = setting.partition("=")
    try:
        return key, int(text) if text.removeprefix("-").isdecimal() else float(text)
    except ValueError as error:
        raise CnlrnError(f"'{setting}' sets nothing; write KEY=NUMBER, such as width=48") from error
