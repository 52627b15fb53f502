"""`cnlrn sheet`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli.options import Overwrite, check_output
from cnlrn.cli.terminal import say
from cnlrn.errors import CnlrnError
from cnlrn.models import DEFAULT


def sheet(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILES", help="Pairs of files: a blurry picture, then its restored result."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet, a picture file.")],
    label: Annotated[str, typer.Option(help="Title above the restored pictures.")] = f"after ({DEFAULT})",
    overwrite: Overwrite = False,
) -> None:
    """Put blurry pictures, enlarged by bicubic interpolation, beside the restored ones."""
    if len(files) % 2:
        raise CnlrnError(
            f"a sheet needs pairs of files, a blurry picture and a restored one; there are {len(files)} files"
        )
    from cnlrn.restoration.sheet import write_sheet

    check_output(output, overwrite)
    write_sheet(zip(files[::2], files[1::2], strict=True), output, label=label, overwrite=overwrite)
    say(f"{output}: {len(files) // 2} pairs")
