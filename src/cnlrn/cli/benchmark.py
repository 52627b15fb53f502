"""`cnlrn benchmark`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli.options import extra
from cnlrn.cli.terminal import complain, printable, say


def benchmark(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="A benchmark suite, a YAML file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results. Default: runs/NAME for NAME.yaml. Existing measurements are kept."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Measure everything again.")] = False,
) -> None:
    """Measure all systems of a suite on all its sets, and write a report with tables, charts and pictures."""
    with extra():
        from cnlrn.evaluation import report
        from cnlrn.evaluation.benchmark import load, run

    plan = load(suite)
    out = out or Path("runs") / suite.stem
    with _benchmark_bar() as progress:
        results = run(plan, out, overwrite=overwrite, progress=progress)
    page = report.write(results, out)
    say(report.markdown(results))
    say(f"{page}: the report")
    failed = sum(row.failed is not None for row in results.rows)
    if failed:
        complain(f"{failed} of {len(results.rows)} rows failed; the same command tries them again")
        sys.exit(1)


@contextmanager
def _benchmark_bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """Yield a function that moves a progress bar on stderr, or None if stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.BarColumn(), progress.MofNCompleteColumn(), "pictures; now {task.description}")
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("checking existing results", total=None)
        yield lambda text, done, total: bar.update(task, description=printable(text), completed=done, total=total)
