"""`cnlrn inspect`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cnlrn.cli.terminal import complain, say
from cnlrn.errors import CnlrnError


def inspect(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURES...", help="Files, or patterns of files.")],
    scale: Annotated[float | None, typer.Option(help="As for `restore`.")] = None,
    width: Annotated[int | None, typer.Option(help="As for `restore`.")] = None,
    height: Annotated[int | None, typer.Option(help="As for `restore`.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object per picture.")] = False,
) -> None:
    """Show how pictures are blurred, what `restore` would do with them, and how long that would take."""
    from json import dumps

    from cnlrn.jobs.search import expanded
    from cnlrn.restoration.restorer import Restorer

    restorer = Restorer()
    failed = False
    for file in (path for given in pictures for path in expanded(given)):
        try:
            plan = restorer.inspect(file, scale, width=width, height=height)
        except CnlrnError as error:
            complain(str(error))
            failed = True
            continue
        say(dumps({"file": str(file)} | plan.facts()) if json else f"{file}: {plan.expectation()}")
    sys.exit(2 if failed else 0)
