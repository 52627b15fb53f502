"""The command `cnlrn`: one thin function a command, which parses, calls and prints.

What a command needs is imported inside it, so that `cnlrn --help` starts fast and no command loads what it does not
use. `main` turns a user's mistake into one line and exit code 2. The process around it is `cnlrn.__main__`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from cnlrn import interruption
from cnlrn.errors import CnlrnError, OutputExists
from cnlrn.files import check_place, is_folder, is_there
from cnlrn.models import DEFAULT, OWN_SIZE
from cnlrn.server.command import serve
from cnlrn.terminal import complain, log_to_stderr, printable, say, told_of_stdout


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

Model = Annotated[str, typer.Option(help="A model that `cnlrn models` lists, or an .onnx file.")]
Preset = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=NUMBER", help="A hyper-parameter that the recipe's preset changed; repeatable."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


def main() -> None:
    """Run the command line and exit: 0 done, 1 some pictures failed, 2 the user's mistake, 130 or 143 interrupted."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be in letters that it lacks
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
    """What to say of an error, also of one that nobody has foreseen, whose traceback Python's -X dev shows."""
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

    `cnlrn photo.jpg` is short for `cnlrn restore photo.jpg`; `cnlrn COMMAND --help` tells a command's options.
    """


@app.command()
def restore(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="PICTURES...",
            help="Files (PNG, JPEG, WebP, TIFF, AVIF, HEIC, BMP, GIF), folders, patterns such as 'photos/*.jpg', or - "
            "for stdin.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="A file, or a folder for many, or - for stdout. If not given: files beside their source, the folder "
            "FOLDER in FOLDER_restored.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model that `cnlrn models` lists, or an .onnx file. If not given: cnlrn-s for results larger than "
            "their picture, cnlrn-own for others, of which sharp ones are left as they are."
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Times as wide and high; 1 only makes sharper. If not given: 4, or 2 or 1 where the result would have "
            "more than 36 megapixels."
        ),
    ] = None,
    width: Annotated[int | None, typer.Option(help="Width of the result in pixels, instead of a scale.")] = None,
    height: Annotated[int | None, typer.Option(help="Height of the result in pixels, instead of a scale.")] = None,
    strength: Annotated[
        float,
        typer.Option(min=0, max=1, help="How much of the restored picture there is in the result, from 0 to 1."),
    ] = 1.0,
    force: Annotated[
        bool, typer.Option("--force", help="Deblur sharp pictures, too, instead of leaving them as they are.")
    ] = False,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Mean over 8 flips and rotations: a little better, 8 times slower.")
    ] = False,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="png, jpg, webp, tif or avif. If neither this nor -o tells: as the source, or png if that cannot be "
            "written.",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Names of results without extension; {stem} and {ext} of the source, {size}, {model}.")
    ] = "{stem}_{size}",
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write NAME_compare.png beside each result: before and after.")
    ] = False,
    strip: Annotated[
        bool, typer.Option("--strip", help="Leave out what the file tells of the photo: EXIF, XMP and IPTC metadata.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo and replace results that exist, instead of skipping them.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a picture, and one of totals.")] = False,
    device: Annotated[str, typer.Option(help="What computes: cpu, or cuda, an NVIDIA GPU.")] = "cpu",
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Width and height of the piece of a picture that is computed at once, in its pixels: smaller takes "
            "less memory and more time. From the free memory if not given.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads, all cores if not given.")] = None,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="Refuse larger pictures; 100 million if not given.")
    ] = None,
    damaged: Annotated[
        Literal["refuse", "keep"],
        typer.Option(help="refuse files that are damaged or cut short, or keep what can be read (exit code 1)."),
    ] = "refuse",
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Have a server (`cnlrn serve`) compute; its token is taken from CNLRN_TOKEN."),
    ] = None,
) -> None:
    """Restore pictures: sharper, and four times as wide and high."""
    from cnlrn import images
    from cnlrn.batch import Restores, restore_all
    from cnlrn.restorer import Restorer, Size
    from cnlrn.restoring import restore_files, restore_stream
    from cnlrn.search import Search, one_file

    size = Size(scale, width, height)
    suffix = f".{format_.lower().lstrip('.')}" if format_ else None
    limit = images.MAX_PIXELS if max_pixels is None else max_pixels
    make: Callable[[], Restores] = partial(
        Restorer, model, device=device, threads=threads, tile=tile, ensemble=ensemble, max_pixels=limit, damaged=damaged
    )
    if server is not None:
        if (device, tile, threads, ensemble, max_pixels, damaged) != ("cpu", None, None, False, None, "refuse"):
            raise CnlrnError(
                "--server computes elsewhere: leave out --device, --tile, --threads, --ensemble, --max-pixels and "
                "--damaged, or --server"
            )
        from cnlrn.server.client import RemoteRestorer

        make = partial(RemoteRestorer, server, os.environ.get("CNLRN_TOKEN"), model)
    options: dict[str, Any] = {"overwrite": overwrite, "strip": strip, "strength": strength, "force": force}
    if json and sys.stdout is None:
        raise CnlrnError("--json prints to stdout, which is closed")
    if "-" in (*inputs, output):
        if len(inputs) > 1 or json or compare:
            raise CnlrnError("- stands for one picture, alone and without --json and --compare")
        source = inputs[0] if inputs[0] == "-" else one_file(inputs[0])
        target = None if output in ("-", None) else Path(output)
        if target is not None:
            _check_output(target, overwrite)
        sys.exit(restore_stream(make, source, target, size, suffix, **options))
    search = Search(inputs, output, size, name, suffix, model or "")
    if search.file is not None:
        if format_ and images.format_of(str(suffix)) is not images.format_of(search.file.suffix, f"{search.file}: "):
            raise CnlrnError(f"--format {format_} is not what the name {search.file} says; leave out one of them")
        _check_output(search.file, overwrite)
    run = partial(restore_all, make(), search, compare=compare, **options)
    sys.exit(restore_files(run, search, json))


@app.command()
def inspect(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURES...", help="Files, or patterns of files.")],
    scale: Annotated[float | None, typer.Option(help="That `restore` would be given.")] = None,
    width: Annotated[int | None, typer.Option(help="That `restore` would be given.")] = None,
    height: Annotated[int | None, typer.Option(help="That `restore` would be given.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a picture.")] = False,
) -> None:
    """Tell how pictures are blurred, what `restore` would do with them, and how long that takes."""
    from json import dumps

    from cnlrn.restorer import Restorer
    from cnlrn.search import expanded

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


@app.command()
def models() -> None:
    """List the models that come with cnlrn."""
    from cnlrn.models import models

    for card in models():
        scales = ", ".join(f"x{scale}" for scale in card.scales)
        say(f"{card.name}: {card.description} ({scales})")


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
        say(f"{name:16} {scales:12} {parameters:12,} parameters {macs / 1e3:12,.1f} kMAC")


@app.command()
def sheet(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILES", help="Pairs of a blurry picture and what was restored from it."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet, a picture file.")],
    label: Annotated[str, typer.Option(help="Written over the restored pictures.")] = f"after ({DEFAULT})",
    overwrite: Overwrite = False,
) -> None:
    """Lay blurry pictures, enlarged by bicubic interpolation, beside the restored ones."""
    if len(files) % 2:
        raise CnlrnError(
            f"a sheet needs pairs of files, a blurry picture and a restored one; there are {len(files)} files"
        )
    from cnlrn.sheet import write_sheet

    _check_output(output, overwrite)
    write_sheet(zip(files[::2], files[1::2], strict=True), output, label=label, overwrite=overwrite)
    say(f"{output}: {len(files) // 2} pairs")


@app.command()
def degrade(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="A sharp picture.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="The blurry picture, a quarter as wide and high but with the recipe own: a file, or a folder for one "
            "of the same name (end it with /). Folders that are missing are made.",
        ),
    ],
    recipe: Annotated[
        str,
        typer.Option(
            help="reds: motion blur; photo: also defocus, noise and JPEG; messenger: photo with stronger JPEG, "
            "more often without blur; bicubic: the reduction alone; own: no reduction, blur of up to 64 pixels, noise, "
            "lights beyond white, JPEG."
        ),
    ] = "photo",
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another blur.")] = 0,
    sharp: Annotated[
        str | None,
        typer.Option(
            help="Also write the sharp picture, cropped to 4 times the size of the blurry one (as large with the "
            "recipe own): a file or a folder."
        ),
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse larger pictures, since all of one is in memory.")
    ] = 25_000_000,
    overwrite: Overwrite = False,
) -> None:
    """Make a sharp picture blurry and small, as a shaken camera would: for tests and training pairs."""
    with _extra():
        from cnlrn import degradation
    from cnlrn.images import Picture, as_array, write
    from cnlrn.search import one_file
    from cnlrn.sheet import flat

    source = one_file(picture, "give one picture")
    chosen = degradation.recipe(recipe)
    targets = [_in_folder(Path(source), given) for given in (output, sharp) if given is not None]
    pixels = as_array(flat(source, max_pixels))
    for target in targets:
        _check_output(target, overwrite)
    pair = degradation.degrade(pixels.astype("uint8", copy=False), chosen, seed)
    for target, result in zip(targets, (pair.lr, pair.sharp), strict=False):
        write(Picture(result), target, overwrite=overwrite)
        say(f"{target}: {result.shape[1]}x{result.shape[0]}")


def _in_folder(source: Path, given: str) -> Path:
    """The file that an option names, or that of the source's name in the folder that it names."""
    from cnlrn.images import format_of

    if not given:
        raise CnlrnError("the name of the output is empty; a dot is the present folder")
    target = Path(given)
    if given.endswith(("/", os.sep)) or is_folder(target):
        target /= f"{source.stem}.png"
    format_of(target.suffix, f"{target}: ")
    return target


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
    import math

    with _extra():
        from cnlrn.training import profiling, run
        from cnlrn.training.recipe import load

    log_to_stderr()
    plan = load(recipe, set_ or [])
    if profile:
        if report := profiling.profile(plan):
            say(report)
        return
    out = out or Path("runs") / recipe.stem
    finished = run.train(plan, out, init, math.inf if minutes is None else minutes)
    if finished.fabric.is_global_zero:
        say(f"{out / 'weights.safetensors'}: {finished.step} steps, {finished.elapsed() / 3600:.2f} hours")


@app.command()
def evaluate(
    data: Annotated[
        str,
        typer.Option(
            help="Folder that holds blurry_x4/ and sharp/, or blurry/ and sharp/ of one size, matched by name, or a "
            "set, e.g. gopro:FOLDER."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="A model that `cnlrn models` lists, or an .onnx file; cnlrn-s if not given, cnlrn-own for pairs of "
            "one size. With --weights a network that `cnlrn networks` lists."
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of the network --model, run by torch: .safetensors, .pth or .pt.")
    ] = None,
    preset: Preset = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="psnr, ssim, psnr-y, ssim-y, niqe or st-lpips; repeatable. PSNR and SSIM if not given."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
) -> None:
    """Measure a model on pairs of pictures; where both are of one size, also its gain over the blurry ones."""
    with _extra():
        from cnlrn.data.sets import open_set
        from cnlrn.evaluation.costs import cores
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
    spec = Shipped(name) if weights is None else Network(name, weights, _settings(preset))
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
    with _extra():
        from cnlrn.data.sets import open_set
        from cnlrn.data.shards import pack_pairs, pack_sharp

    log_to_stderr()
    _refuse_existing(output, overwrite)
    count = pack_pairs(open_set(source, "train").pairs, output) if pairs else pack_sharp(Path(source), output)
    say(f"{output}: {count} {'pairs' if pairs else 'pictures'}")


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
    say(report.markdown(results))
    say(f"{page}: the report")
    failed = sum(row.failed is not None for row in results.rows)
    if failed:
        complain(f"{failed} of {len(results.rows)} rows failed; the same command tries them again")
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
        yield lambda text, done, total: bar.update(task, description=printable(text), completed=done, total=total)


@app.command()
def export(
    model: Annotated[str, typer.Option(help="The network's name, e.g. cnlrn-s.")],
    weights: Annotated[Path, typer.Option(help="Its weights: .safetensors, .pth or .pt.")],
    out: Annotated[Path, typer.Option(help="Folder for MODEL.onnx, MODEL.safetensors and the card MODEL.json.")],
    preset: Preset = None,
) -> None:
    """Write trained weights as a model that `cnlrn restore --model` takes."""
    with _extra():
        from cnlrn.training.export import export_model

    card = export_model(model, weights, out, _settings(preset))
    say(f"{out / card.file}: sha256 {card.sha256}")


def _settings(preset: list[str] | None) -> dict[str, float]:
    """Hyper-parameters and their values."""
    return dict(_number(setting) for setting in preset or ())


app.command()(serve)


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
    from cnlrn.images import check_target

    check_target(output)
    _refuse_existing(output, overwrite)


def _refuse_existing(output: Path, overwrite: bool) -> None:
    if is_there(output) and not overwrite:
        raise OutputExists(f"{output} exists; give --overwrite to replace it, or another name with -o")
