"""`cnlrn serve`: options in, a running server out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cnlrn.cli import interruption
from cnlrn.cli.options import Precision
from cnlrn.cli.terminal import say
from cnlrn.errors import CnlrnError


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 admits other machines.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Exit when the page's last tab is closed.")] = False,
    token: Annotated[
        str | None,
        typer.Option(envvar="CNLRN_TOKEN", help="Token that clients must send; better set CNLRN_TOKEN."),
    ] = None,
    no_token: Annotated[
        bool,
        typer.Option(
            "--no-token", help="Let in everybody who reaches the address. Needed on other hosts if there is no token."
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name by which clients reach the server, such as a proxy's; repeatable."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model for requests that name none: one that `cnlrn models` lists, or an .onnx file."),
    ] = None,
    max_pixels: Annotated[int | None, typer.Option(min=1, help="Refuse larger pictures. Default: 100 million.")] = None,
    max_mb: Annotated[int, typer.Option(min=1, help="Refuse larger uploads, in MiB.")] = 256,
    queue: Annotated[int, typer.Option(min=1, help="Pictures in the queue or in progress; more are refused.")] = 100,
    seconds: Annotated[float, typer.Option(min=1, help="Time limit for computing one picture.")] = 1800,
    keep: Annotated[float, typer.Option(min=1, help="Seconds to keep a finished job's result for fetching.")] = 900,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Pictures computed at once. Default: by cores and memory.")
    ] = None,
    precision: Precision = "float32",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: all cores.")] = None,
    memory: Annotated[
        int, typer.Option(min=1, help="MiB for computing, besides 200 for the process and what the pictures take.")
    ] = 1024,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for results that wait. Default: the folder for temporary files.")
    ] = None,
) -> None:
    """Serve a page to drop pictures on, and an HTTP API."""
    try:
        from cnlrn.server import run
    except ModuleNotFoundError as error:
        raise CnlrnError(
            f'{error.name} is not installed; it comes with the extra "server": pip install ".[server]" in the source'
        ) from error
    from cnlrn.images import MAX_PIXELS
    from cnlrn.server.settings import Settings

    if no_token and token is not None:
        raise CnlrnError("give either a token or --no-token, not both")
    settings = Settings(
        host=host,
        port=port,
        token=token,
        names=tuple(allow_host or ()),
        model=model,
        folder=folder,
        max_pixels=MAX_PIXELS if max_pixels is None else max_pixels,
        max_bytes=max_mb * 2**20,
        queue=queue,
        seconds=seconds,
        keep=keep,
        workers=workers,
        precision=precision,
        threads=threads,
        memory=memory * 2**20,
        once=once,
    )
    if not settings.is_local and token is None and not no_token:
        raise CnlrnError(
            f"at {host} others can reach the server: give a token (CNLRN_TOKEN=... or --token), "
            "or --no-token to let everybody in"
        )
    interruption.leave_signals()
    run.serve(settings, say, opens=open_)
    sys.exit(0)
