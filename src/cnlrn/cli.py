"""The command `cnlrn`: one thin function a command, which parses, calls and prints.

What a command needs is imported inside it, so that `cnlrn --help` starts fast and no command loads what it does not
use. `main` turns a user's mistake into one line and exit code 2, and Ctrl-C into exit code 130.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cnlrn.errors import CnlrnError
from cnlrn.models import DEFAULT

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Model = Annotated[str, typer.Option(help="A model that `cnlrn models` lists, or an .onnx file.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]


def main() -> None:
    """Run the command line and exit: 0 done, 2 the user's mistake, 130 interrupted."""
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="cnlrn", standalone_mode=False))
    except (CnlrnError, TyperException) as error:
        message = error.format_message() if isinstance(error, TyperException) else str(error)
        print(f"cnlrn: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)


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
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="The picture: PNG, JPEG, WebP, TIFF or AVIF.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write it, beside PICTURE as NAME_x4.png if not given."),
    ] = None,
    model: Model = DEFAULT,
    scale: Annotated[int, typer.Option(help="1 (sharper only), 2 or 4 times as wide and high.")] = 4,
    tile: Annotated[
        int | None, typer.Option(min=1, help="Pixels of PICTURE, a side, computed at once: fewer need less memory.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads, all cores if not given.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Restore one picture: sharper, and four times as wide and high."""
    import time

    output = output or picture.parent / f"{picture.stem}_x{scale}.png"
    _refuse_existing(output, overwrite)
    start = time.perf_counter()
    from cnlrn.restorer import Restorer

    restored = Restorer(model, threads=threads, tile=tile).restore(picture, scale, output=output)
    height, width = restored.shape[:2]
    seconds = time.perf_counter() - start
    print(f"{output}: {width // scale}x{height // scale} -> {width}x{height} in {seconds:.2f} s")


@app.command()
def models() -> None:
    """List the models that come with cnlrn."""
    from cnlrn.models import models

    for card in models():
        scales = ", ".join(f"x{scale}" for scale in card.scales)
        print(f"{card.name}: {card.description} ({scales})")


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
    _refuse_existing(output, overwrite)
    from cnlrn.sheet import write_sheet

    write_sheet(zip(files[::2], files[1::2], strict=True), output, label=label)
    print(f"{output}: {len(files) // 2} pairs")


@app.command()
def degrade(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A sharp picture.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The blurry picture, a quarter as wide and high.")],
    recipe: Annotated[str, typer.Option(help="reds: motion blur; photo: also defocus, noise and JPEG.")] = "photo",
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
    from cnlrn.pictures import Picture, check_target, write

    for path in (output, sharp):
        if path is not None:
            _refuse_existing(path, overwrite)
            check_target(path)
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
    data: Annotated[Path, typer.Option(help="Folder that holds blurry_x4/ and sharp/, matched by name.")],
    model: Model = DEFAULT,
    csv: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
) -> None:
    """Measure PSNR and SSIM of a model on pairs of pictures, by the paper's protocol."""
    with _extra():
        from cnlrn.evaluation.metrics import mean
        from cnlrn.evaluation.pairs import evaluate as evaluate_pairs
    from cnlrn.restorer import Restorer

    rows = []
    for name, score in evaluate_pairs(Restorer(model), data):
        rows.append((name, score))
        print(f"{name:40s} {score.psnr:.3f} dB  {score.ssim:.4f}")
    average = mean([score for _, score in rows])
    print(f"{f'mean of {len(rows)}':40s} {average.psnr:.3f} dB  {average.ssim:.4f}")
    if csv is not None:
        lines = ["name,psnr,ssim", *(f"{name},{score.psnr:.4f},{score.ssim:.5f}" for name, score in rows)]
        csv.write_text("\n".join(lines) + "\n", encoding="utf-8")


@app.command()
def export(
    model: Annotated[str, typer.Option(help="The network's name, e.g. cnlrn-s.")],
    weights: Annotated[Path, typer.Option(help="Its weights: .safetensors, .pth or .pt.")],
    out: Annotated[Path, typer.Option(help="Folder for MODEL.onnx, MODEL.safetensors and the card MODEL.json.")],
) -> None:
    """Write trained weights as a model that `cnlrn restore --model` takes."""
    with _extra():
        from cnlrn.training.export import export_model

    card = export_model(model, weights, out)
    print(f"{out / card.file}: sha256 {card.sha256}")


@contextmanager
def _extra() -> Iterator[None]:
    """What is imported here comes with the extra `train`; say so where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CnlrnError(f'{error.name} is not installed; install with pip install "cnlrn[train]"') from error


def _refuse_existing(output: Path, overwrite: bool) -> None:
    if output.exists() and not overwrite:
        raise CnlrnError(f"{output} exists; give --overwrite to replace it, or another name with -o")
