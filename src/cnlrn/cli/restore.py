"""`cnlrn restore`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cnlrn.cli.options import Precision, check_output
from cnlrn.errors import CnlrnError


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
            help="A file, a folder for several pictures, or - for stdout. Default: beside each source; for a folder "
            "FOLDER, in FOLDER_restored.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A model that `cnlrn models` lists, or an .onnx file. Default: cnlrn-s to enlarge; otherwise "
            "cnlrn-own, and sharp pictures stay as they are."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="Restore without a network. dark-channel, fast-motion and unnatural-l0 estimate the blur's kernel and "
            "deblur with it, at the picture's own size; a-plus and scsr enlarge. See docs/classical.md."
        ),
    ] = None,
    kernel: Annotated[
        Path | None, typer.Option(help="With --method and one picture: also write the kernel as a picture.")
    ] = None,
    kernel_size: Annotated[
        int | None,
        typer.Option(
            help="With a --method that deblurs: pixels a side that the kernel fits into. Default: by the estimate of "
            "blur."
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="How many times as wide and high the result is; 1 only sharpens. Default: 4, or 2 or 1 if the result "
            "would have more than 36 megapixels."
        ),
    ] = None,
    width: Annotated[int | None, typer.Option(help="Width of the result in pixels, instead of a scale.")] = None,
    height: Annotated[int | None, typer.Option(help="Height of the result in pixels, instead of a scale.")] = None,
    strength: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the restored picture in the result; the rest is the original."),
    ] = 1.0,
    force: Annotated[
        bool, typer.Option("--force", help="Deblur sharp pictures too, instead of leaving them as they are.")
    ] = False,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Average 8 flips and rotations: a little better, 8 times slower.")
    ] = False,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="png, jpg, webp, tif or avif. Default: as -o says, else the format of the source, or png if that "
            "cannot be written.",
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Names of results, without extension; {stem} and {ext} of the source, {size}, {model}.")
    ] = "{stem}_{size}",
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write NAME_compare.png beside each result, with before and after.")
    ] = False,
    strip: Annotated[bool, typer.Option("--strip", help="Drop the photo's metadata: EXIF, XMP and IPTC.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo and replace existing results instead of skipping them.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object per picture, and one with totals.")] = False,
    device: Annotated[str, typer.Option(help="Device that computes: cpu, or cuda for an NVIDIA GPU.")] = "cpu",
    precision: Precision = "float32",
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Side of the square that is computed at once, in pixels of the input. Smaller takes less memory and "
            "more time. Default: by the free memory.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")] = None,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Refuse larger pictures. Default: 100 million.")] = None,
    damaged: Annotated[
        Literal["refuse", "keep"],
        typer.Option(help="Refuse files that are damaged or cut short, or keep what can be read (exit code 1)."),
    ] = "refuse",
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Let a server (`cnlrn serve`) compute. CNLRN_TOKEN holds its token."),
    ] = None,
) -> None:
    """Restore pictures: sharper, and up to four times as wide and high."""
    from cnlrn import images
    from cnlrn.cli.restoring import restore_files, restore_stream
    from cnlrn.jobs.local import Restores, restore_all
    from cnlrn.jobs.search import Search, one_file
    from cnlrn.restoration.restorer import Restorer
    from cnlrn.restoration.size import Size

    size = Size(scale, width, height)
    suffix = f".{format_.lower().lstrip('.')}" if format_ else None
    limit = images.MAX_PIXELS if max_pixels is None else max_pixels
    make: Callable[[], Restores] = partial(
        Restorer,
        model,
        device=device,
        precision=precision,
        threads=threads,
        tile=tile,
        ensemble=ensemble,
        max_pixels=limit,
        damaged=damaged,
    )
    if server is not None:
        unset = ("cpu", "float32", None, None, False, None, "refuse")
        if (device, precision, tile, threads, ensemble, max_pixels, damaged) != unset:
            raise CnlrnError(
                "--server computes elsewhere: leave out --device, --precision, --tile, --threads, --ensemble, "
                "--max-pixels and --damaged, or --server"
            )
        from cnlrn.server.client import RemoteRestorer

        make = partial(RemoteRestorer, server, os.environ.get("CNLRN_TOKEN"), model)
    options: dict[str, Any] = {"overwrite": overwrite, "strip": strip, "strength": strength, "force": force}
    if (method, kernel, kernel_size) != (None, None, None):
        from cnlrn.cli.method import restorer_of

        unfit = {"--model": model, "--ensemble": ensemble, "--device": device != "cpu", "--server": server}
        unfit["--precision"] = precision != "float32"
        limits: dict[str, Any] = {"threads": threads, "tile": tile, "max_pixels": limit, "damaged": damaged}
        limits["kernel_size"] = kernel_size
        make = restorer_of(method, kernel, inputs, output, overwrite=overwrite, unfit=unfit, **limits)
    if json and sys.stdout is None:
        raise CnlrnError("--json prints to stdout, which is closed")
    if "-" in (*inputs, output):
        if len(inputs) > 1 or json or compare:
            raise CnlrnError("- stands for one picture, alone and without --json and --compare")
        source = inputs[0] if inputs[0] == "-" else one_file(inputs[0])
        target = None if output in ("-", None) else Path(output)
        if target is not None:
            check_output(target, overwrite)
        sys.exit(restore_stream(make, source, target, size, suffix, **options))
    search = Search(inputs, output, size, name, suffix, model or "")
    if search.file is not None:
        if format_ and images.format_of(str(suffix)) is not images.format_of(search.file.suffix, f"{search.file}: "):
            raise CnlrnError(f"--format {format_} is not what the name {search.file} says; leave out one of them")
        check_output(search.file, overwrite)
    run = partial(restore_all, make(), search, compare=compare, **options)
    sys.exit(restore_files(run, search, json))
