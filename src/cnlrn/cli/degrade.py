"""`cnlrn degrade`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli.options import Overwrite, check_output, extra
from cnlrn.cli.terminal import say
from cnlrn.errors import CnlrnError
from cnlrn.files import is_folder


def degrade(
    picture: Annotated[str, typer.Argument(metavar="PICTURE", help="A sharp picture.")],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="The blurry picture: a file, or a folder (end it with /) for a file of the same name. Missing folders "
            "are created. The picture is a quarter as wide and high; with the recipe own it keeps its size.",
        ),
    ],
    recipe: Annotated[
        str,
        typer.Option(
            help="reds: motion blur. photo: also defocus, noise and JPEG. messenger: photo with stronger JPEG, more "
            "often without blur. bicubic: only the reduction. own: no reduction; blur of up to 64 pixels, noise, "
            "lights brighter than white, JPEG."
        ),
    ] = "photo",
    seed: Annotated[int, typer.Option(min=0, help="Each seed gives another blur.")] = 0,
    sharp: Annotated[
        str | None,
        typer.Option(
            help="Also write the sharp picture, to a file or a folder. It is cropped to 4 times the size of the blurry "
            "one; with the recipe own, to the same size."
        ),
    ] = None,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Refuse larger pictures, because the whole picture is held in memory.")
    ] = 25_000_000,
    overwrite: Overwrite = False,
) -> None:
    """Make a sharp picture blurry and small, as a shaken camera would, for tests and training pairs."""
    with extra():
        from cnlrn import degradation
    from cnlrn.images import Picture, as_array, write
    from cnlrn.jobs.search import one_file
    from cnlrn.restoration.sheet import flat

    source = one_file(picture, "give one picture")
    chosen = degradation.recipe(recipe)
    targets = [_in_folder(Path(source), given) for given in (output, sharp) if given is not None]
    pixels = as_array(flat(source, max_pixels))
    for target in targets:
        check_output(target, overwrite)
    pair = degradation.degrade(pixels.astype("uint8", copy=False), chosen, seed)
    for target, result in zip(targets, (pair.lr, pair.sharp), strict=False):
        write(Picture(result), target, overwrite=overwrite)
        say(f"{target}: {result.shape[1]}x{result.shape[0]}")


def _in_folder(source: Path, given: str) -> Path:
    """The file that an option names, or a file with the source's name in the folder that it names."""
    from cnlrn.images import format_of

    if not given:
        raise CnlrnError("the name of the output is empty; a dot is the current folder")
    target = Path(given)
    if given.endswith(("/", os.sep)) or is_folder(target):
        target /= f"{source.stem}.png"
    format_of(target.suffix, f"{target}: ")
    return target
