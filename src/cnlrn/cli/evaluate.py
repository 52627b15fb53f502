"""`cnlrn evaluate`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli.options import Preset, extra, settings
from cnlrn.cli.terminal import say
from cnlrn.errors import CnlrnError
from cnlrn.files import check_place
from cnlrn.models import DEFAULT, OWN_SIZE


def evaluate(
    data: Annotated[
        str,
        typer.Option(
            help="A folder with blurry_x4/ and sharp/, or with blurry/ and sharp/ of one size, matched by name; or a "
            "set, e.g. gopro:FOLDER."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="A model that `cnlrn models` lists, or an .onnx file. Default: cnlrn-s, or cnlrn-own for pairs of one "
            "size. With --weights: a network that `cnlrn networks` lists."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights for the network --model, which torch runs: .safetensors, .pth or .pt.")
    ] = None,
    preset: Preset = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="psnr, ssim, psnr-y, ssim-y, niqe or st-lpips; repeatable. Default: psnr and ssim."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
) -> None:
    """Measure a model on pairs of pictures and, if both have one size, its gain over the blurry ones."""
    with extra():
        from cnlrn.data.sets import open_set
        from cnlrn.evaluation.machine import cores
        from cnlrn.evaluation.metrics import BORDERS
        from cnlrn.evaluation.metrics import metric as find_metric
        from cnlrn.evaluation.pairs import evaluate as evaluate_pairs
        from cnlrn.evaluation.pairs import write_csv
        from cnlrn.evaluation.systems import Model as Shipped
        from cnlrn.evaluation.systems import Network, Step, System

    if csv is not None:
        check_place(csv)
    if weights is None and preset:
        raise CnlrnError("--preset goes with --weights, those of a network")
    if weights is not None and model is None:
        raise CnlrnError("--weights are those of a network; name it by --model")
    pairs = open_set(data)
    metrics = [find_metric(name, BORDERS[pairs.scale]) for name in metric or ("psnr", "ssim")]
    name = model or (OWN_SIZE if pairs.scale == 1 else DEFAULT)
    spec = Shipped(name) if weights is None else Network(name, weights, settings(preset))
    system = System((Step(name, spec, pairs.scale),), cores())

    def line(name: str, figures: Iterable[float], gains: Iterable[float]) -> str:
        columns = [f"{figure:12.{m.digits}f}" for m, figure in zip(metrics, figures, strict=True)]
        columns += [f"{gain:+12.{m.digits}f}" for m, gain in zip(metrics, gains, strict=False)]
        return " ".join([f"{name:40s}", *columns])

    def mean(columns: Iterable[list[float]]) -> list[float]:
        return [sum(column) / len(column) for column in zip(*columns, strict=True)]

    rows, gains = [], []
    heads = [m.title for m in metrics] + (["gain"] * len(metrics) if pairs.scale == 1 else [])
    say(" ".join([f"{'':40s}", *(f"{head:>12s}" for head in heads)]))
    for row in evaluate_pairs(system.restore, pairs, metrics):
        rows.append(row)
        gains.append(row.gains(metrics))
        say(line(row.name, row.figures, gains[-1]))
    say(line(f"mean of {len(rows)}", mean(row.figures for row in rows), mean(gains)))
    for m, column in zip(metrics, zip(*gains, strict=True), strict=False):
        least = min(column)
        say(f"least gain, {m.title}: {least:+.{m.digits}f}, {rows[column.index(least)].name}")
    if csv is not None:
        write_csv(csv, metrics, rows)
