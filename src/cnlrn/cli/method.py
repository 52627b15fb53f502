"""Carries out `cnlrn restore` with `--method`, `--kernel` and `--kernel-size`: the systems of `cnlrn.classical`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cnlrn import images
from cnlrn.errors import CnlrnError, OutputExists
from cnlrn.files import is_there
from cnlrn.jobs.search import one_file
from cnlrn.restoration.restorer import Restorer


def restorer_of(
    method: str | None,
    kernel: Path | None,
    inputs: Sequence[str],
    output: str | None,
    *,
    overwrite: bool,
    unfit: Mapping[str, Any],
    **options: Any,
) -> Callable[[], Restorer]:
    """A function that makes the restorer for `method`, which writes a picture of the kernel to the file `kernel`, if
    given.

    `inputs` and `output` are those of `cnlrn restore`. `unfit` holds, by name, other options that go only with models;
    a true value means that the option was given. `options` are those of `ClassicalRestorer`.

    Raises:
        CnlrnError: the options do not go together, there is no such method, `kernel` exists or cannot be written, or
            the extra `classical` is not installed.
    """
    if method is None:
        option = "--kernel" if kernel is not None else "--kernel-size"
        raise CnlrnError(f"{option} goes with --method, which estimates the kernel: dark-channel, for example")
    for option, value in unfit.items():
        if value:
            raise CnlrnError(f"{option} goes with models, --method uses none; leave out one of them")
    if kernel is not None:
        if len(inputs) > 1:
            raise CnlrnError(f"--kernel writes one kernel, and {len(inputs)} pictures are given; give one")
        source = inputs[0] if inputs[0] == "-" else one_file(inputs[0], "--kernel goes with one picture")
        for other in (source, output or ""):
            if Path(other).resolve() == kernel.resolve():
                raise CnlrnError(f"{kernel} is the picture or its result; give --kernel another name")
        images.check_target(kernel)
        if is_there(kernel) and not overwrite:
            raise OutputExists(f"{kernel} exists; give --overwrite to replace it, or another name with --kernel")
    try:
        from cnlrn.classical.restorer import ClassicalRestorer
    except ModuleNotFoundError as error:
        raise CnlrnError(
            f'{error.name} is not installed; it comes with the extra "classical": pip install ".[classical]" in the '
            "source"
        ) from error
    return partial(ClassicalRestorer, method, kernel_file=kernel, **options)
