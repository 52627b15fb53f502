"""Files that appear whole or not at all: written beside their place, flushed to the disk, then renamed.

And their folders, whether a file can be written at all, so that a user hears of it before any work, and in which format
the result of a picture is written. Temporaries that a killed process left are removed here, too. What is in a file is
the business of others.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from cnlrn.errors import CannotWrite, CnlrnError, OutputExists, shown

_TEMPORARY = re.compile(r"\.cnlrn-(?P<pid>\d+)-(?P<start>\d+)-(?P<place>[0-9a-f]{8})-[0-9a-f]{12}(\..*)?")
_DAY = 24 * 3600  # seconds after which the temporary of a machine that is not this one is abandoned
_own: dict[Path, list[Path]] = {}  # temporaries of this process, and the folders that were made for each
_cleared: set[Path] = set()  # folders in which those of dead processes were looked for


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
        raise CannotWrite(f"the folder {folder} cannot be made ({error.strerror})") from error


def check_place(path: Path) -> None:
    """Find out before any work whether a file `path` can be written by `replacing`, which makes absent folders.

    Raises:
        CnlrnError: it is a folder or a device, its folder cannot be made, its name is too long, or no permission.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise CnlrnError(f"{path} is a folder; give the name of a file")
        if not stat.S_ISREG(mode):
            raise CnlrnError(f"{path} is a device or a pipe; give the name of a file, or - for stdout")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise CannotWrite(f"cannot write {path} ({error.strerror})") from error
    folder = present_folder(path)
    if not is_folder(folder):
        raise CannotWrite(f"{path}: {folder} is no folder; give another place")
    if not os.access(folder, os.W_OK):
        raise CannotWrite(f"{path}: no permission to write in the folder {folder}")


def present_folder(path: Path) -> Path:
    """The folder in which a file `path` is written, or where it is absent the lowest above it that is there."""
    folder = _written_through(path).parent
    while not os.path.lexists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


# What each format's files begin with (of AVIF: hold near their beginning), and how their names end.
_WRITTEN = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), (".png",)),
    (re.compile(rb"\xff\xd8\xff"), (".jpg", ".jpeg")),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), (".webp",)),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), (".tif", ".tiff")),
    (re.compile(rb"....ftyp.{0,64}avi[fs]", re.DOTALL), (".avif",)),
)


def result_suffix(source: Path) -> str:
    """The extension, with its dot, of the file for a result whose format nobody has chosen.

    It is that of the source where its format is written, too: PNG, JPEG, WebP, TIFF or AVIF, by its content and spelled
    as in its name; and ".png" for all others.

    A file that cannot be looked at is taken for what its name says.
    """
    given = source.suffix
    try:
        head = _head(source)
    except OSError:
        return given if any(given.lower() in suffixes for _, suffixes in _WRITTEN) else ".png"
    for beginning, suffixes in _WRITTEN:
        if beginning.match(head):
            return given if given.lower() in suffixes else suffixes[0]
    return ".png"


def _head(path: Path) -> bytes:
    """The first bytes of a file; OSError where it is none, for what a pipe holds is read only once."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError
    with path.open("rb") as file:
        return file.read(128)


def beside(path: Path, suffix: str) -> Path:
    """A hidden name in the folder of `path` that nobody else uses; it tells the process that uses it.

    The first call for a folder removes from it what processes that are dead left under such names. What this process
    leaves is removed by `remove_temporaries`, or by a later run.
    """
    if path.parent not in _cleared:
        _cleared.add(path.parent)
        _clear(path.parent)
    pid = os.getpid()
    temporary = path.with_name(f".cnlrn-{pid}-{_start(pid)}-{_place()}-{os.urandom(6).hex()}{suffix}")
    _own[temporary] = []
    return temporary


def open_beside(path: Path, suffix: str) -> tuple[Path, BinaryIO]:
    """A new file, open for writing, with a name as `beside` gives, for what belongs to the file `path`.

    Nobody but this user may read it where there is a file `path` already, which may be private. OSError as `open`.
    """
    temporary = beside(path, suffix)
    mode = 0o600 if is_there(path) else 0o666
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), mode)
    return temporary, os.fdopen(descriptor, "wb")


def discard(temporary: Path) -> None:
    """Remove a temporary, if it is there, and the folders that `replacing` made for it, if they are empty."""
    temporary.unlink(missing_ok=True)
    for folder in _own.pop(temporary, []):
        with suppress(OSError):
            folder.rmdir()


def remove_temporaries() -> None:
    """Remove all temporaries of this process: for its end, when nothing else has the chance to."""
    for temporary in list(_own):
        with suppress(OSError):
            discard(temporary)


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give an empty file to write to, which becomes `path` when the context ends well and is gone when it does not.

    What replaces a file has its permissions. Where `path` is a link, the file that it leads to is replaced. Without
    `overwrite` a file that is there by then is kept. Folders that are absent are made, and are gone like the file.

    Raises:
        CnlrnError: a folder cannot be made, or not `overwrite` and there is a file by now.
        OSError: the file cannot be made, flushed or renamed; whatever the caller raises passes through.
    """
    place = _written_through(path)
    temporary, file = _open_in_new_folders(place, path.suffix)
    try:
        file.close()
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if overwrite:
            with suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(place.stat().st_mode))
            temporary.replace(place)
        else:
            _move(temporary, place)
    finally:
        discard(temporary)


def _open_in_new_folders(path: Path, suffix: str) -> tuple[Path, BinaryIO]:
    """As `open_beside`, with the folders that are absent."""
    absent: list[Path] = []
    folder = path.parent
    while not is_there(folder) and folder != folder.parent:
        absent.append(folder)
        folder = folder.parent
    try:
        make_folder(path.parent)
        temporary, file = open_beside(path, suffix)
    except BaseException:
        for folder in absent:
            with suppress(OSError):
                folder.rmdir()
        raise
    _own[temporary] = absent
    return temporary, file


def _written_through(path: Path) -> Path:
    """The file that is written where `path` is a link, even one to what is not there yet; `path` where it is none."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _move(temporary: Path, path: Path) -> None:
    """Give a file the name `path` unless there is one of that name; then CnlrnError."""
    try:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            raise
        except OSError:  # no links on this disk: reserve the name, then replace what was reserved
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            temporary.replace(path)
    except FileExistsError:
        raise OutputExists(
            f"{path} appeared while its picture was computed and is kept; --overwrite replaces it"
        ) from None


def _clear(folder: Path) -> None:
    """Remove what dead processes left in a folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match is not None:
                with suppress(OSError):
                    if _is_abandoned(entry, int(match["pid"]), int(match["start"]), match["place"]):
                        os.unlink(entry.path)  # noqa: PTH108


def _is_abandoned(entry: os.DirEntry[str], pid: int, start: int, place: str) -> bool:
    """Whether the process is dead. Of another machine, or of the time before this one was started, age has to tell."""
    if place != _place():
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _DAY
    return abs(_start(pid) - start) > 5  # seconds; a process of the same number may have begun since


def _start(pid: int) -> int:
    """When a process began, in seconds since 1970; 0 where there is none any more, a zombie included.

    OSError where this user may not know.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time())
    except psutil.NoSuchProcess:
        return 0
    except psutil.AccessDenied as error:
        raise PermissionError from error


@cache
def _place() -> str:
    """What tells apart machines, the times they were started, and containers that do not see each other's processes."""
    import hashlib

    try:
        facts = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:  # not Linux
        import platform

        import psutil

        facts = f"{platform.node()} {psutil.boot_time():.0f}"
    return hashlib.sha256(facts.encode()).hexdigest()[:8]
