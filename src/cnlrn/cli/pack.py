"""`cnlrn pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli.options import Overwrite, extra, refuse_existing
from cnlrn.cli.terminal import log_to_stderr, say


def pack(
    source: Annotated[
        str,
        typer.Argument(metavar="PICTURES", help="A folder of sharp pictures; with --pairs a set, e.g. gopro:FOLDER."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The database to write, e.g. photos.lmdb.")],
    pairs: Annotated[bool, typer.Option("--pairs", help="Pack the training pairs of a set.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Pack a large set of training pictures into one file."""
    with extra():
        from cnlrn.data.sets import open_set
        from cnlrn.data.shards import pack_pairs, pack_sharp

    log_to_stderr()
    refuse_existing(output, overwrite)
    count = pack_pairs(open_set(source, "train").pairs, output) if pairs else pack_sharp(Path(source), output)
    say(f"{output}: {count} {'pairs' if pairs else 'pictures'}")
