"""Files that appear whole or not at all: written beside their place, flushed to the disk, then renamed.

And their folders, and whether a file can be written at all, so that a user hears of it before any work.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cnlrn.errors import CnlrnError, shown


def is_there(path: Path) -> bool:
    """Whether there is a file or folder; not where its name is too long or may not be looked at."""
    return os.path.exists(path)  # noqa: PTH110 - pathlib's raises an error then, as the next


def is_folder(path: Path) -> bool:
    """Whether it is a folder that may be looked at."""
    return os.path.isdir(path)  # noqa: PTH112


def expanded(text: str, what: str) -> Path:
    """The path that a user wrote, its ~ expanded; CnlrnError names `what` where no file can have that name."""
    try:
        path = Path(text).expanduser()
        os.lstat(path)
    except RuntimeError as error:
        raise CnlrnError(f"{what} is {shown(text)}; there is no such user whose home ~ could be") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise CnlrnError(f"{what} is {shown(text)}; no file can have so long a name") from error
    return path


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are absent; CnlrnError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CnlrnError(f"the folder {folder} cannot be made ({error.strerror})") from error


def check_place(path: Path) -> None:
    """Find out before any work whether a file `path` can be written.

    Raises:
        CnlrnError: it is a folder, there is no folder for it, its name is too long, or no permission.
    """
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            raise CnlrnError(f"{path} is a folder; give the name of a file")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise CnlrnError(f"cannot write {path} ({error.strerror})") from error
    if not path.parent.is_dir():
        raise CnlrnError(f"{path}: the folder {path.parent} does not exist")
    if not os.access(path.parent, os.W_OK):
        raise CnlrnError(f"{path}: no permission to write in the folder {path.parent}")


def beside(path: Path, suffix: str) -> Path:
    """A hidden name in the folder of `path` that nobody else uses."""
    return path.with_name(f".cnlrn-{os.urandom(6).hex()}{suffix}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file to write to, which becomes `path` when the context ends well and is gone when it does not.

    What replaces a file has its permissions.

    Raises:
        OSError: the file cannot be flushed or renamed; whatever the caller raises passes through.
    """
    temporary = beside(path, path.suffix)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
