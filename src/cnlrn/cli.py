"""The command `cnlrn`: one thin function a command, which parses, calls and prints.

What a command needs is imported inside it, so that `cnlrn --help` starts fast and no command loads what it does not
use. `main` turns a user's mistake into one line and exit code 2, and Ctrl-C into exit code 130.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from typer.exceptions import TyperException

from cnlrn.errors import CnlrnError
from cnlrn.models import DEFAULT

if TYPE_CHECKING:
    from cnlrn.batch import Outcome, Search
    from cnlrn.restorer import Restorer, Size

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str, typer.Option(help="A model that `cnlrn models` lists, or an .onnx file.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


def main() -> None:
    """Run the command line and exit: 0 done, 1 some pictures failed, 2 the user's mistake, 130 or 143 interrupted."""
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be in letters that it lacks
    try:
        try:
            sys.exit(app(sys.argv[1:] or ["--help"], prog_name="cnlrn", standalone_mode=False))
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        sys.stdout = None  # or Python tries to flush it once more at exit
        print(f"cnlrn: cannot write to stdout ({error.strerror})", file=sys.stderr)
        sys.exit(2)
    except (CnlrnError, TyperException) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        print(f"cnlrn: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)


def _terminate(*_: object) -> None:
    """Leave by an exception, so that everything half-done is cleared away."""
    sys.exit(128 + signal.SIGTERM)


def _print_version(wanted: bool) -> None:
    if wanted:
        import cnlrn

        print(f"cnlrn {cnlrn.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Turn blurry, low-resolution pictures into sharp ones, up to four times as wide and high."""


@app.command()
def restore(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURES...",
            help="Files (PNG, JPEG, WebP, TIFF, AVIF, BMP), folders, patterns such as 'photos/*.jpg', or - for stdin.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="A file, or a folder for many, or - for stdout. If not given: files beside their source, the folder "
            "FOLDER in FOLDER_x4.",
        ),
    ] = None,
    model: Model = DEFAULT,
    scale: Annotated[
        float | None, typer.Option(help="Times as wide and high, 4 if not given; 1 only makes sharper.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Width of the result in pixels, instead of a scale.")] = None,
    height: Annotated[int | None, typer.Option(help="Height of the result in pixels, instead of a scale.")] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Mean over 8 flips and rotations: a little better, 8 times slower.")
    ] = False,
    format_: Annotated[
        str | None, typer.Option("--format", help="png, jpg, webp, tif or avif; png if -o does not tell.")
    ] = None,
    name: Annotated[
        str, typer.Option(help="Names of results without extension; {stem} and {ext} of the source, {size}, {model}.")
    ] = "{stem}_{size}",
    strip: Annotated[bool, typer.Option("--strip", help="Leave out EXIF, XMP and IPTC metadata.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo and replace results that exist, instead of skipping them.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a picture, and one of totals.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    tile: Annotated[
        int | None,
        typer.Option(min=1, help="Pixels of a picture, a side, computed at once; from free memory if not given."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads, all cores if not given.")] = None,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Refuse larger pictures; 100 million if not given.")
    ] = None,
) -> None:
    """Restore pictures: sharper, and four times as wide and high."""
    from cnlrn import batch, pictures
    from cnlrn.restorer import Restorer, Size

    size = Size(scale, width, height)
    suffix = f".{format_.lower().lstrip('.')}" if format_ else ".png"
    limit = pictures.MAX_PIXELS if max_pixels is None else max_pixels
    make = partial(Restorer, model, device=device, threads=threads, tile=tile, ensemble=ensemble, max_pixels=limit)
    if "-" in (*inputs, output):
        if len(inputs) > 1 or json:
            raise CnlrnError("- stands for one picture, alone and without --json")
        source = inputs[0] if inputs[0] == "-" else batch.one_file(inputs[0])
        _restore_stream(make, source, output or "-", size, suffix, overwrite=overwrite, strip=strip)
        return
    search = batch.Search(inputs, output, size, name, suffix, model)
    if search.file is not None:
        if format_ and pictures.format_of(suffix) is not pictures.format_of(search.file.suffix, f"{search.file}: "):
            raise CnlrnError(f"--format {format_} is not what the name {search.file} says; leave out one of them")
        _check_output(search.file, overwrite)
    restore_all = partial(batch.restore_all, make(), search, size, overwrite=overwrite, strip=strip)
    sys.exit(_restore_files(restore_all, search, json))


def _restore_stream(
    make: Callable[[], Restorer], source: str, output: str, size: Size, suffix: str, *, overwrite: bool, strip: bool
) -> None:
    """Restore the picture on stdin, or in a file, to stdout or a file."""
    from cnlrn import pictures

    target = None if output == "-" else Path(output)
    if target is not None:
        _check_output(target, overwrite)
    elif sys.stdout is None or sys.stdout.isatty():
        raise CnlrnError("the result is a picture file and stdout is a terminal; give -o FILE or redirect stdout")
    if source == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise CnlrnError("- reads a picture from stdin, which is a terminal; give a file or redirect stdin")
    pictures.format_of(suffix)
    restorer = make()
    picture = pictures.open_picture(sys.stdin.buffer if source == "-" else source, restorer.max_pixels)
    with restorer.compute(picture, size, target=target, strip=strip) as restored:
        if target is not None:
            pictures.write(restored, target)
            return
        data = pictures.encode(restored, suffix)
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        sys.stdout = None  # or Python tries to flush it once more at exit
        raise CnlrnError(f"cannot write to stdout ({error.strerror})") from error


def _restore_files(restore_all: Callable[..., Iterator[Outcome]], search: Search, json: bool) -> int:
    """Restore what `search` finds, show how it goes, and sum up; returns the exit code."""
    start = time.perf_counter()
    counts = {"done": 0, "skipped": 0, "failed": 0}
    failures: list[str] = []
    with _Bar(search) if sys.stderr.isatty() and not json else nullcontext() as bar:
        for outcome in restore_all(progress=bar and bar.part):
            counts[outcome.status] += 1
            if bar is not None:
                bar.finished()
            if json:
                _print_json(asdict(outcome))
            elif outcome.status == "failed":
                failures.append(outcome.reason or "")
    if not any(counts.values()):
        raise CnlrnError(f"{', '.join(search.inputs)}: no pictures there (PNG, JPEG, WebP, TIFF, AVIF or BMP)")
    seconds = time.perf_counter() - start
    if json:
        _print_json({**counts, "ignored": search.ignored, "seconds": seconds})
    elif not search.single:
        ignored = f", {search.ignored} other files ignored" if search.ignored else ""
        print(
            f"{counts['done']} restored, {counts['skipped']} skipped (there already), {counts['failed']} failed"
            f"{ignored}, in {seconds:.1f} s"
        )
    elif outcome.status == "done" and outcome.before and outcome.after:
        sizes = "{}x{} -> {}x{}".format(*outcome.before, *outcome.after)
        print(f"{outcome.target}: {sizes} in {seconds:.2f} s")
    elif outcome.status == "skipped":
        print(f"{outcome.target}: skipped, it exists; --overwrite replaces it")
    for reason in failures:
        print(f"cnlrn: {reason}", file=sys.stderr)
    if counts["failed"]:
        return 2 if search.single else 1
    return 0


class _Bar:
    """A progress bar over the pictures that `search` finds, on stderr."""

    def __init__(self, search: Search) -> None:
        from rich import progress
        from rich.console import Console

        columns = ("{task.description}", progress.BarColumn(), progress.TimeRemainingColumn(), "left")
        self._bar = progress.Progress(*columns, console=Console(stderr=True), transient=True)
        self._total = sum(1 for _ in search)
        self._task = self._bar.add_task("", total=self._total)
        self._finished, self._completed, self._start = 0, 0.0, time.perf_counter()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def part(self, part: float) -> None:
        """So much of a picture is computed; it may be one ahead of those that are finished."""
        self._completed = max(self._completed, self._finished + part)
        speed = self._finished / (time.perf_counter() - self._start)
        text = f"{self._finished} of {self._total} pictures, {speed:.2f} a second"
        self._bar.update(self._task, completed=self._completed, description=text)

    def finished(self) -> None:
        """One more picture is written, skipped or failed."""
        self._finished += 1
        self.part(0)


def _print_json(facts: dict[str, Any]) -> None:
    import json

    print(json.dumps(facts, default=str), flush=True)


@app.command()
def models() -> None:
    """List the models that come with cnlrn."""
    from cnlrn.models import models

    for card in models():
        scales = ", ".join(f"x{scale}" for scale in card.scales)
        print(f"{card.name}: {card.description} ({scales})")


@app.command()
def networks() -> None:
    """List the networks that `cnlrn train` knows: scales, parameters, multiplications per pixel of 48x48."""
    with _extra():
        import torch

        from cnlrn.networks import build, presets
        from cnlrn.networks.macs import macs_per_pixel

    for name in presets():
        with torch.device("meta"):
            network = build(name)
            macs = macs_per_pixel(network)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        scales = ", ".join(f"x{scale}" for scale in network.scales)
        print(f"{name:16} {scales:12} {parameters:12,} parameters {macs / 1e3:12,.1f} kMAC")


@app.command()
def sheet(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILES", help="Pairs of an LR picture and what was restored from it."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet, a picture file.")],
    label: Annotated[str, typer.Option(help="Written over the restored pictures.")] = f"after ({DEFAULT})",
    overwrite: Overwrite = False,
) -> None:
    """Lay LR pictures, enlarged by bicubic interpolation, beside the restored ones."""
    if len(files) % 2:
        raise CnlrnError(
            f"a sheet needs pairs of files, an LR picture and a restored one; there are {len(files)} files"
        )
    from cnlrn.sheet import write_sheet

    _check_output(output, overwrite)

    write_sheet(zip(files[::2], files[1::2], strict=True), output, label=label)
    print(f"{output}: {len(files) // 2} pairs")


@app.command()
def degrade(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A sharp picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The blurry picture, a quarter as wide and high.")],
    recipe: Annotated[
        str,
        typer.Option(
            help="reds: motion blur; photo: also defocus, noise and JPEG; messenger: photo with stronger JPEG, "
            "more often without blur; bicubic: the reduction alone."
        ),
    ] = "photo",
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another blur.")] = 0,
    sharp: Annotated[
        Path | None, typer.Option(help="Also write the sharp picture, cropped to 4 times the size of the blurry one.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a sharp picture blurry and small, as a shaken camera would: for tests and training pairs."""
    with _extra():
        from cnlrn import degradation
        from cnlrn.data import pictures
    from cnlrn.pictures import Picture, write

    for path in (output, sharp):
        if path is not None:
            _check_output(path, overwrite)
    pixels = pictures.read(picture)
    if pixels is None:
        raise CnlrnError(f"{picture} cannot be read as a picture")
    pair = degradation.degrade(pixels, degradation.recipe(recipe), seed)
    for path, result in ((output, pair.lr), (sharp, pair.sharp)):
        if path is not None:
            write(Picture(result), path)
            print(f"{path}: {result.shape[1]}x{result.shape[0]}")


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A training recipe, a YAML file.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run, runs/RECIPE's name if not given; a run in it goes on.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, e.g. data.folder=photos; repeatable."),
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Weights to begin with; not used when a run goes on.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop at the first checkpoint after so many minutes.")] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Time 30 steps and keep nothing.")] = False,
) -> None:
    """Train a network, or go on where the run in --out was interrupted."""
    import logging
    import math

    with _extra():
        from cnlrn.training import profiling, run
        from cnlrn.training.recipe import load

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    plan = load(recipe, set_ or [])
    if profile:
        if report := profiling.profile(plan):
            print(report)
        return
    out = out or Path("runs") / recipe.stem
    finished = run.train(plan, out, init, math.inf if minutes is None else minutes)
    if finished.global_rank == 0:
        print(f"{out / 'weights.safetensors'}: {finished.step} steps, {finished.elapsed() / 3600:.2f} hours")


@app.command()
def evaluate(
    data: Annotated[
        str,
        typer.Option(help="Folder that holds blurry_x4/ and sharp/, matched by name, or a set, e.g. gopro:FOLDER."),
    ],
    model: Model = DEFAULT,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="psnr, ssim, psnr-y, ssim-y, niqe or st-lpips; repeatable. PSNR and SSIM if not given."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
) -> None:
    """Measure a model on pairs of pictures."""
    from csv import writer

    with _extra():
        from cnlrn.evaluation.metrics import metric as find_metric
        from cnlrn.evaluation.pairs import evaluate as evaluate_pairs
    from cnlrn.files import check_place
    from cnlrn.restorer import Restorer

    if csv is not None:
        check_place(csv)
    metrics = [find_metric(name) for name in metric or ("psnr", "ssim")]
    rows = []
    print(f"{'':40s}", *(f"{m.title:>12s}" for m in metrics))
    for name, figures in evaluate_pairs(Restorer(model), data, metrics):
        rows.append((name, figures))
        print(f"{name:40s}", *(f"{figure:12.{m.digits}f}" for m, figure in zip(metrics, figures, strict=True)))
    means = [sum(column) / len(rows) for column in zip(*(figures for _, figures in rows), strict=True)]
    print(f"{f'mean of {len(rows)}':40s}", *(f"{mean:12.{m.digits}f}" for m, mean in zip(metrics, means, strict=True)))
    if csv is not None:
        with csv.open("w", encoding="utf-8", newline="") as file:
            table = writer(file, lineterminator="\n")
            table.writerow(["name", *(m.name for m in metrics)])
            table.writerows([name, *(f"{figure:.5f}" for figure in figures)] for name, figures in rows)


@app.command()
def pack(
    source: Annotated[
        str,
        typer.Argument(metavar="PICTURES", help="Folder of sharp pictures; with --pairs a set, e.g. gopro:FOLDER."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The database to write, e.g. photos.lmdb.")],
    pairs: Annotated[bool, typer.Option("--pairs", help="Pack the training pairs of a set.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Pack training pictures into one file, for sets too large for a folder."""
    import logging

    with _extra():
        from cnlrn.data.sets import open_set
        from cnlrn.data.shards import pack_pairs, pack_sharp

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    _refuse_existing(output, overwrite)
    count = pack_pairs(open_set(source, "train").pairs, output) if pairs else pack_sharp(Path(source), output)
    print(f"{output}: {count} {'pairs' if pairs else 'pictures'}")


@app.command()
def benchmark(
    suite: Annotated[Path, typer.Argument(metavar="SUITE", help="A benchmark suite, a YAML file.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of results, runs/SUITE's name if not given; what is measured in it is kept."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Measure everything anew.")] = False,
) -> None:
    """Measure all systems of a suite on all its sets, and write a report with tables, charts and pictures."""
    with _extra():
        from cnlrn.evaluation import report
        from cnlrn.evaluation.benchmark import load, run

    plan = load(suite)
    out = out or Path("runs") / suite.stem
    with _benchmark_bar() as progress:
        results = run(plan, out, overwrite=overwrite, progress=progress)
    page = report.write(results, out)
    print(report.markdown(results))
    print(f"{page}: the report")
    failed = sum(row.failed is not None for row in results.rows)
    if failed:
        print(f"cnlrn: {failed} of {len(results.rows)} rows failed; the same command tries them again", file=sys.stderr)
        sys.exit(1)


@contextmanager
def _benchmark_bar() -> Iterator[Callable[[str, int, int], None] | None]:
    """A progress bar on stderr, moved by what it yields; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.BarColumn(), progress.MofNCompleteColumn(), "pictures; now {task.description}")
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("what is there already", total=None)
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)


@app.command()
def export(
    model: Annotated[str, typer.Option(help="The network's name, e.g. cnlrn-s.")],
    weights: Annotated[Path, typer.Option(help="Its weights: .safetensors, .pth or .pt.")],
    out: Annotated[Path, typer.Option(help="Folder for MODEL.onnx, MODEL.safetensors and the card MODEL.json.")],
    preset: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=NUMBER", help="A hyper-parameter that the recipe's preset changed; repeatable."),
    ] = None,
) -> None:
    """Write trained weights as a model that `cnlrn restore --model` takes."""
    with _extra():
        from cnlrn.training.export import export_model

    card = export_model(model, weights, out, dict(_number(setting) for setting in preset or ()))
    print(f"{out / card.file}: sha256 {card.sha256}")


def _number(setting: str) -> tuple[str, float]:
    """A hyper-parameter and its value, of KEY=NUMBER."""
    key, _, text = setting.partition("=")
    try:
        return key, int(text) if text.removeprefix("-").isdecimal() else float(text)
    except ValueError as error:
        raise CnlrnError(f"'{setting}' sets nothing; write KEY=NUMBER, such as width=48") from error


@contextmanager
def _extra() -> Iterator[None]:
    """What is imported here comes with the extra `train`; say so where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CnlrnError(
            f'{error.name} is not installed; it comes with the extra "train": pip install ".[train]" in the source'
        ) from error


def _check_output(output: Path, overwrite: bool) -> None:
    """Find out before any work whether a picture may and can be written to `output`."""
    from cnlrn.pictures import check_target

    check_target(output)
    _refuse_existing(output, overwrite)


def _refuse_existing(output: Path, overwrite: bool) -> None:
    if output.exists() and not overwrite:
        raise CnlrnError(f"{output} exists; give --overwrite to replace it, or another name with -o")
