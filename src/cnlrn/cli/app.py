"""The command `cnlrn`: one thin function for each command, which parses, calls and prints.

Each command imports what it needs inside its function, so that `cnlrn --help` starts fast and no command loads what it
does not use. `main` turns a user's mistake into one line and exit code 2. `cnlrn.__main__` is the process around it.
"""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from io import TextIOWrapper
from typing import Annotated, Protocol

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from cnlrn.cli import (
    benchmark,
    degrade,
    evaluate,
    export,
    inspect,
    interruption,
    listing,
    pack,
    quantise,
    restore,
    serve,
    sheet,
    train,
)
from cnlrn.cli.terminal import complain, say, told_of_stdout
from cnlrn.errors import CnlrnError


class _Formatter(Protocol):
    """What the list of commands needs of the library's formatter."""

    def section(self, name: str) -> AbstractContextManager[None]:
        """A part of the text, under a name."""
        ...

    def write_dl(self, rows: list[tuple[str, str]]) -> None:
        """Words, each with its explanation."""
        ...


class _Commands(TyperGroup):
    """The commands, of which `restore` need not be named, and their list, in which no text is cut."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Put `restore` before pictures and its options."""
        first = args[0] if args else "--help"
        if first not in (*self.commands, "-h", "--help", "--version"):
            if not (first.startswith("-") or os.path.lexists(first) or set(first) & set("./\\*?[:'\"")):
                import difflib

                near = difflib.get_close_matches(first, self.commands, n=1)
                hint = f"did you mean {near[0]}?" if near else "`cnlrn -h` lists the commands"
                raise CnlrnError(f"No such command '{first}', and no such file; {hint}")
            args = ["restore", *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: typer.Context, formatter: _Formatter) -> None:  # type: ignore[override]
        """List the commands with the whole first sentence of their help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(1000)) for name, command in self.commands.items()])


app = typer.Typer(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main() -> None:
    """Run the command line and exit: 0 done, 1 some pictures failed, 2 the user's mistake, 130 or 143 interrupted."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may have letters that its encoding lacks
    try:
        with told_of_stdout():
            sys.exit(app(sys.argv[1:] or ["--help"], prog_name="cnlrn", standalone_mode=False))
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        if interruption.is_interrupted():
            raise
        complain(_words(error))
        sys.exit(2)


def _words(error: Exception) -> str:
    """The message for an error, including an unforeseen one, whose traceback Python's -X dev shows."""
    if isinstance(error, CnlrnError):
        return str(error)
    if isinstance(error, TyperException):
        return error.format_message()
    if sys.flags.dev_mode:
        raise error
    if isinstance(error, MemoryError):
        return "there is not enough memory for this"
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f" ({error.filename})"
        return f"the system refuses: {error.strerror}{place}"
    return f"failed unexpectedly ({type(error).__name__}: {error}); python -X dev -m cnlrn ... shows where"


def _print_version(wanted: bool) -> None:
    if wanted:
        import cnlrn

        say(f"cnlrn {cnlrn.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn blurry, low-resolution pictures into sharp ones, up to four times as wide and high.

    `cnlrn photo.jpg` is short for `cnlrn restore photo.jpg`. `cnlrn COMMAND --help` lists a command's options.
    """


for _command in (
    restore.restore,
    inspect.inspect,
    listing.models,
    listing.networks,
    sheet.sheet,
    degrade.degrade,
    train.train,
    evaluate.evaluate,
    pack.pack,
    benchmark.benchmark,
    export.export,
    quantise.quantise,
    serve.serve,
):
    app.command()(_command)
