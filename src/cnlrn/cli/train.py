"""`cnlrn train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli.options import extra
from cnlrn.cli.terminal import log_to_stderr, say


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A training recipe, a YAML file.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: runs/NAME for NAME.yaml. A run in it resumes.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, e.g. data.folder=photos; repeatable."),
    ] = None,
    init: Annotated[
        list[Path] | None,
        typer.Option(help="Weights to start from; repeatable for parts of a network. Ignored when a run resumes."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop at the first checkpoint after this many minutes.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Time 30 steps and save nothing.")] = False,
) -> None:
    """Train a network, or resume the run in --out."""
    import math

    with extra():
        from cnlrn.training import profiling, run
        from cnlrn.training.recipe import load

    log_to_stderr()
    plan = load(recipe, set_ or [])
    if profile:
        if report := profiling.profile(plan):
            say(report)
        return
    out = out or Path("runs") / recipe.stem
    finished = run.train(plan, out, init or (), math.inf if minutes is None else minutes)
    if finished.fabric.is_global_zero:
        say(f"{out / 'weights.safetensors'}: {finished.step} steps, {finished.elapsed() / 3600:.2f} hours")
