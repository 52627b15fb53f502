"""Files that appear whole or not at all: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def beside(path: Path, suffix: str) -> Path:
    """A hidden name in the folder of `path` that nobody else uses."""
    return path.with_name(f".cnlrn-{os.urandom(6).hex()}{suffix}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write to, which becomes `path` when the context ends well and is gone when it does not.

    Raises:
        OSError: the file cannot be flushed or renamed; whatever the caller raises passes through.
    """
    temporary = beside(path, path.suffix)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
