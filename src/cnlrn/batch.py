"""Many pictures: find them, restore each while the next is read and the last is written, and say what became of each.

Nothing here ends because of one bad file, and nothing grows with the number of files in a folder: a folder is searched
while its pictures are restored. What a result is and how it is written is decided in `cnlrn.restorer` and
`cnlrn.pictures`.
"""

from __future__ import annotations

import glob
import os
import string
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cnlrn import pictures
from cnlrn.errors import CnlrnError
from cnlrn.files import is_folder, is_there, make_folder
from cnlrn.pictures import LazyPicture
from cnlrn.restorer import Progress, Restorer, Size

_NAME_FIELDS = ("stem", "ext", "size", "model")


@dataclass(frozen=True)
class Job:
    """A picture to restore and the file to write; or the `problem` because of which there is nothing to restore."""

    source: Path
    target: Path | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a picture.

    `status` is "done", "skipped" (the target was there already) or "failed", and then `reason` says why, in a sentence.
    `before` and `after` are width and height of a picture that was done, `seconds` how long its computing took.
    """

    source: Path
    target: Path | None
    status: Literal["done", "skipped", "failed"]
    reason: str | None = None
    before: tuple[int, int] | None = None
    after: tuple[int, int] | None = None
    seconds: float = 0.0


@dataclass
class Search:
    """Where pictures are looked for and where their results go; iterating gives a `Job` each, sorted in each folder.

    `inputs`: files, folders (searched whole; hidden files and folders are left out) and glob patterns.
    `output`: a folder, made when it is needed, in which the tree of a folder is mirrored; for a single file also a file
    name. None: files beside their source, and the tree of the folder "photos" in "photos_x4".
    `name`: of a result without its extension; {stem} and {ext} of the source, {size} such as "x4", {model}.
    `suffix`: extension of the results, which chooses their format.
    `file` is the file that `output` names, None if it names a folder or nothing; `single` tells that one file is given;
    `ignored` counts, after an iteration, the files in folders that are no pictures by their extension.

    Raises:
        CnlrnError: a name or suffix that makes no sense, a pattern that matches nothing, or `output` is a file where a
            folder is needed.
    """

    inputs: Sequence[str]
    output: str | None = None
    size: Size = field(default_factory=Size)
    name: str = "{stem}_{size}"
    suffix: str = ".png"
    model: str = ""
    ignored: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Refuse what makes no sense, and expand the patterns."""
        pictures.format_of(self.suffix)
        if "" in (*self.inputs, self.output):
            raise CnlrnError("the name of a picture or folder is empty; a dot is the present folder")
        try:
            fields = [parts for _, *parts in string.Formatter().parse(self.name) if parts[0] is not None]
        except ValueError:
            fields = [[self.name]]
        known = [[key, "", None] for key in _NAME_FIELDS]
        if not self.name or any(parts not in known for parts in fields) or Path(self.name).name != self.name:
            raise CnlrnError(
                f"{self.name!r} cannot name the results; use letters and "
                f"{', '.join(f'{{{key}}}' for key in _NAME_FIELDS)}, no folders"
            )
        self._paths = [path for given in self.inputs for path in expanded(given)]
        self._folders = [path for path in self._paths if is_folder(path)]
        self.single = len(self._paths) == 1 and not self._folders
        self.file: Path | None = None
        if self.output is None:
            return
        output = Path(self.output)
        folder_there = is_folder(output)
        if self.single and not folder_there and not self.output.endswith(("/", os.sep)):
            self.file = output
        elif not folder_there and (is_there(output) or output.suffix.lower() in pictures.SUFFIXES):
            raise CnlrnError(f"{self.output} names one file; several pictures need a folder")
        names: dict[str, Path] = {}
        for folder in self._folders:
            other = names.setdefault(folder.resolve().name, folder)
            if other is not folder:
                raise CnlrnError(
                    f"the results of {other} and {folder} would be mixed up in {output / folder.resolve().name}; "
                    "restore them one after the other, into different folders"
                )

    def __iter__(self) -> Iterator[Job]:
        """Search anew."""
        self.ignored = 0
        yield from _jobs({path: self._target_of(path) for path in self._paths if path not in self._folders})
        for folder in self._folders:
            yield from self._folder(folder)

    def _target_of(self, source: Path) -> Path:
        if self.file is not None:
            return self.file
        return (source.parent if self.output is None else Path(self.output)) / self._name(source)

    def _folder(self, folder: Path) -> Iterator[Job]:
        """Jobs for a folder and those in it, the nearest first."""
        if self.output is None:
            output = folder.resolve().with_name(f"{folder.resolve().name}_{self.size.tag}")
        else:
            output = Path(self.output) if len(self._paths) == 1 else Path(self.output) / folder.resolve().name
        waiting = [(folder, output)]
        while waiting:
            here, there = waiting.pop()
            try:
                with os.scandir(here) as found:
                    entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda e: e.name)
                deeper = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
                files = [Path(entry.path) for entry in entries if _is_file(entry)]
            except OSError as error:
                yield Job(here, problem=f"the folder {here} cannot be read ({error.strerror})")
                continue
            sources = [file for file in files if file.suffix.lower() in pictures.SUFFIXES]
            self.ignored += len(files) - len(sources)
            yield from _jobs({source: there / self._name(source) for source in sources})
            own = output.resolve()
            waiting += [
                (Path(entry.path), there / entry.name)
                for entry in reversed(deeper)
                if Path(entry.path).resolve() != own
            ]

    def _name(self, source: Path) -> str:
        model = Path(self.model).name.removesuffix(".onnx")
        fields = {"stem": source.stem, "ext": source.suffix[1:], "size": self.size.tag, "model": model}
        return self.name.format_map(fields) + self.suffix


def restore_all(
    restorer: Restorer,
    jobs: Iterable[Job],
    size: Size | None = None,
    *,
    overwrite: bool = False,
    strip: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Restore pictures, one outcome each in the order of `jobs`; reading, computing and writing overlap.

    A target that exists is skipped unless `overwrite`, so an interrupted run goes on where it stopped; a folder that a
    target needs is made. `progress` is called with the part of the present picture that is computed; the other
    arguments are those of `Restorer.restore`. No exception but an interruption ends it: then what is being written is
    finished, and nothing half-written is left.
    """
    wanted = size or Size()
    reader, writer = ThreadPoolExecutor(1, "reader"), ThreadPoolExecutor(1, "writer")
    reading: deque[tuple[Job, Future[LazyPicture] | None]] = deque()
    writing: deque[_Writing] = deque()
    try:
        source = iter(jobs)
        exhausted = False
        while True:
            while not exhausted and len(reading) < 2:
                job = next(source, None)
                if job is None:
                    exhausted = True
                elif job.target is None or (is_there(job.target) and not overwrite):
                    reading.append((job, None))
                else:
                    reading.append((job, reader.submit(_decoded, job.source, restorer.max_pixels)))
            if not reading:
                break
            job, picture = reading.popleft()
            writing.append(_computed(restorer, job, picture, wanted, strip, progress, writer))
            while len(writing) > 1 or (writing and not writing[0].overlaps):
                yield writing.popleft().outcome()
        while writing:
            yield writing.popleft().outcome()
    finally:
        reader.shutdown(cancel_futures=True)
        for started in writing:
            started.abandon()
        writer.shutdown()


@dataclass(frozen=True)
class _Writing:
    """A result that is on its way to its file; `write` is None when there is nothing to write.

    `overlaps`: the next picture may be computed meanwhile. Not beside a large one: memory for both is too much.
    """

    result: Outcome
    write: Future[None] | None = None
    overlaps: bool = False
    held: ExitStack = field(default_factory=ExitStack)

    def outcome(self) -> Outcome:
        """Wait for the file."""
        if self.write is not None:
            try:
                self.write.result()
            except Exception as error:
                return _failure(self.result.source, self.result.target, error)
        return self.result

    def abandon(self) -> None:
        """Give up the result unless it is being written already."""
        if self.write is not None and self.write.cancel():
            self.held.close()


def _computed(
    restorer: Restorer,
    job: Job,
    reading: Future[LazyPicture] | None,
    size: Size,
    strip: bool,
    progress: Progress | None,
    writer: ThreadPoolExecutor,
) -> _Writing:
    target = job.target
    if target is None:
        return _Writing(Outcome(job.source, None, "failed", job.problem))
    if reading is None:
        return _Writing(Outcome(job.source, target, "skipped", f"{target} exists"))
    held = ExitStack()
    try:
        picture = reading.result()
        start = time.perf_counter()
        make_folder(target.parent)
        pictures.check_target(target)
        restored = held.enter_context(restorer.compute(picture, size, target=target, strip=strip, progress=progress))
        seconds = time.perf_counter() - start
    except Exception as error:
        held.close()
        return _Writing(_failure(job.source, target, error))
    sizes = (picture.width, picture.height), (restored.width, restored.height)
    result = Outcome(job.source, target, "done", None, *sizes, seconds)
    return _Writing(result, writer.submit(_write, held, restored, target), not restored.is_large, held)


def _write(held: ExitStack, restored: LazyPicture, target: Path) -> None:
    with held:
        pictures.write(restored, target)


def _decoded(source: Path, max_pixels: int) -> LazyPicture:
    picture = pictures.open_picture(source, max_pixels)
    picture.decode()
    return picture


def _failure(source: Path, target: Path | None, error: Exception) -> Outcome:
    """The outcome of whatever went wrong; what is no user's mistake is named by its type as well."""
    reason = " ".join(str(error).split())
    if not isinstance(error, CnlrnError):
        reason = f"{source} failed unexpectedly ({type(error).__name__}: {reason})"
    return Outcome(source, target, "failed", reason)


def _jobs(targets: Mapping[Path, Path]) -> Iterator[Job]:
    """Jobs for sources and their targets, but none for a source that is itself the result of another one.

    Of several sources of one target the first gets it, and the others are problems.
    """
    owners: dict[Path, Path] = {}
    for source, target in targets.items():
        owners.setdefault(target, source)
    for source, target in targets.items():
        if owners.get(source, source) != source:  # left by an earlier run
            continue
        if owners[target] != source:
            problem = (
                f"{source} would become {target}, as {owners[target]} does; put {{ext}} into the name of the results"
            )
            yield Job(source, problem=problem)
        else:
            yield Job(source, target)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to what cannot be looked at, which then fails by itself when it is read."""
    try:
        return entry.is_file()
    except OSError:
        return True


def one_file(given: str) -> str:
    """What an argument stands for that names a single picture; CnlrnError where it is a pattern of several."""
    found = expanded(given)
    if len(found) != 1:
        raise CnlrnError(f"{given} matches {len(found)} files; - stands for one picture")
    return str(found[0])


def expanded(given: str) -> list[Path]:
    """What an argument stands for: itself, or the files that the pattern matches."""
    if os.path.lexists(given) or not glob.has_magic(given):
        return [Path(given)]
    found = sorted(Path(path) for path in glob.glob(given, recursive=True))  # noqa: PTH207 - absolute ones too
    if not found:
        raise CnlrnError(f"no file matches {given}")
    return [path for path in found if not is_folder(path)]
