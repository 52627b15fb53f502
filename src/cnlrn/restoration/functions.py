"""`cnlrn.restore` and `cnlrn.inspect`: one call for one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

from cnlrn.restoration.computing import Progress
from cnlrn.restoration.given import Data, PathLike, Same
from cnlrn.restoration.plan import Plan
from cnlrn.restoration.restorer import Restorer


class _InspectOptions(TypedDict, total=False):
    """Keywords of `Restorer.inspect`."""

    scale: float | None
    width: int | None
    height: int | None
    force: bool


class _Options(_InspectOptions, total=False):
    """Keywords of `Restorer.restore`."""

    strip: bool
    strength: float
    progress: Progress | None


class _DataOptions(_Options, total=False):
    """More of them, for bytes."""

    format: str | None


class _FileOptions(_DataOptions, total=False):
    """More of them, for paths."""

    output: PathLike | None
    overwrite: bool


@overload
def restore(picture: PathLike, *, model: PathLike | None = ..., **options: Unpack[_FileOptions]) -> Path: ...
@overload
def restore(picture: Data, *, model: PathLike | None = ..., **options: Unpack[_DataOptions]) -> bytes: ...
@overload
def restore(picture: Same, *, model: PathLike | None = ..., **options: Unpack[_Options]) -> Same: ...


def restore(picture: Any, *, model: PathLike | None = None, **options: Unpack[_FileOptions]) -> Any:
    """Restore one picture. Arguments, result and errors are those of `Restorer.restore`.

    Each call loads the model again. For more than a few pictures, keep a `Restorer`.

    >>> import numpy as np
    >>> restore(np.zeros((30, 40, 3), np.uint8), scale=2).shape
    (60, 80, 3)
    """
    return Restorer(model).restore(picture, **options)


def inspect(picture: Any, *, model: PathLike | None = None, **options: Unpack[_InspectOptions]) -> Plan:
    """Show how a picture is blurred and what would be done with it.

    Arguments, result and errors are those of `Restorer.inspect`.
    """
    return Restorer(model).inspect(picture, **options)
