"""Decides which pictures are restored, where their results go and what they are called.

A folder is searched while its pictures are restored, so memory grows by only some eight bytes for each file in it. This
module also decides what a user means by an argument. `cnlrn.jobs.local` opens the pictures.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from cnlrn import images
from cnlrn.errors import CnlrnError, UnreadablePicture
from cnlrn.files import is_folder, is_there, result_suffix
from cnlrn.leftovers import is_leftover
from cnlrn.models import DEFAULT, OWN_SIZE
from cnlrn.restoration.size import AUTOMATIC, Size

_NAME_FIELDS = ("stem", "ext", "size", "model")
_NAME = "{stem}_{size}"
_SHEET = "_compare"
_OWN_NAME = re.compile(r"(?P<stem>.+)_(x[0-9.]+(e[+-][0-9]+)?|[wh][0-9]+|[0-9]+x[0-9]+)")
_AT_ONCE = 1000  # names of a folder that are sorted together
_SUFFIXES = sorted({spelled for suffix in images.SUFFIXES for spelled in (suffix, suffix.upper())})


@dataclass(frozen=True)
class Job:
    """A picture to restore and the file to write.

    Attributes:
        source: the picture.
        target: the file to write.
        problem: why it cannot be restored.
        left_out: why it is left out.
        size: size of the result.
        found: a search found the picture, so it is left out if it is itself a result.
        named: gives the target from the size that an automatic size becomes, and from whether the result is larger than
            the picture. None if the target depends on neither. `target` is then the most likely one.
    """

    source: Path
    target: Path | None = None
    problem: str | None = None
    left_out: str | None = None
    size: Size = field(default_factory=Size)
    found: bool = False
    named: Callable[[Size, bool], Path] | None = None


@dataclass
class Search:
    """Where to look for pictures and where their results go. Iterating yields a `Job` for each.

    The jobs of a folder are sorted by name; in a folder of very many files, a thousand at a time.

    Attributes:
        inputs: files, patterns and folders. Folders are searched with their subfolders; hidden files and folders and
            what macOS leaves are ignored.
        output: a folder, created when it is needed, in which the tree of a folder is mirrored; for a single file, it
            may also be a file name. With None, results go beside their source, and the tree of the folder "photos" to
            "photos_x4", or to "photos_restored" if the size is automatic.
        size: size of the results.
        name: name of a result without its extension, from {stem} and {ext} of the source, {size} such as "x4", {model}.
        suffix: extension of the results, which chooses their format. With None, `files.result_suffix` decides.
        model: name or file of the model. Empty if it is chosen for each picture.
        ignored: after an iteration, how many files in folders are no pictures by their extension.
        file: the file that `output` names. None if it names a folder or nothing.
        single: whether one file is given.
        total: how many files are given. None if there are folders.

    Raises:
        CnlrnError: a name or suffix makes no sense, a pattern matches nothing, or `output` is a file where a folder is
            needed.
    """

    inputs: Sequence[str]
    output: str | None = None
    size: Size = field(default_factory=Size)
    name: str = _NAME
    suffix: str | None = None
    model: str = ""
    ignored: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Refuse what makes no sense, and expand the patterns."""
        if self.suffix is not None:
            images.format_of(self.suffix)
        if "" in (*self.inputs, self.output):
            raise CnlrnError("the name of a picture or folder is empty; a dot is the current folder")
        self._results = self._pattern()
        given = [(path, is_pattern(text)) for text in self.inputs for path in expanded(text)]
        self.paths = [path for path, _ in given]
        self._named = {path for path, found in given if not found}
        self._folders = [path for path in self.paths if is_folder(path)]
        self.single = len(self.paths) == 1 and not self._folders
        self.total = None if self._folders else len(set(self.paths))
        self.file: Path | None = None
        if self.output is not None:
            self._check_output(self.output)
        elif any(not folder.resolve().name for folder in self._folders):
            raise CnlrnError("there is no place beside the topmost folder; give a folder for the results with -o")

    def _check_output(self, given: str) -> None:
        output = Path(given)
        _refuse_url(given)
        folder_there = is_folder(output)
        named_as_folder = folder_there or given.endswith(("/", os.sep))
        if self.single and not named_as_folder:
            if not os.path.lexists(self.paths[0]):
                raise UnreadablePicture(f"{self.paths[0]} does not exist")
            self.file = output
        elif not folder_there and (
            is_there(output) or (not named_as_folder and output.suffix.lower() in images.SUFFIXES)
        ):
            raise CnlrnError(f"{given} names one file; several pictures need a folder")
        names: dict[str, Path] = {}
        for folder in self._folders:
            other = names.setdefault(folder.resolve().name, folder)
            if other is not folder:
                raise CnlrnError(
                    f"the results of {other} and {folder} would be mixed up in {output / folder.resolve().name}; "
                    "restore them one after the other, into different folders"
                )

    def _pattern(self) -> re.Pattern[str]:
        """What the stem of a result looks like under this `name`; CnlrnError where it cannot name anything."""
        try:
            parts = list(string.Formatter().parse(self.name))
        except ValueError:
            parts = [("", self.name, "", None)]
        known = [(key, "", None) for key in _NAME_FIELDS]
        fields = [tuple(rest) for _, *rest in parts if rest[0] is not None]
        if not self.name or any(rest not in known for rest in fields) or Path(self.name).name != self.name:
            raise CnlrnError(
                f"{self.name!r} cannot name the results; use letters and "
                f"{', '.join(f'{{{key}}}' for key in _NAME_FIELDS)}, no folders"
            )
        values = {
            "size": "|".join(re.escape(size.tag) for size in self._sizes),
            "model": "|".join(re.escape(self._model(larger)) for larger in (True, False)),
        }
        text, seen = "", set[str]()
        for literal, key, *_ in parts:
            text += re.escape(literal)
            if key in ("stem", "ext"):
                text += f"(?P={key})" if key in seen else f"(?P<{key}>.*)"
                seen.add(key)
            elif key is not None:
                text += f"(?:{values[key]})"
        return re.compile(text, re.DOTALL)

    def __iter__(self) -> Iterator[Job]:
        """Search anew."""
        self.ignored = 0
        files = [path for path in self.paths if path not in self._folders]
        yield from self._files({path: self._target_of(path) for path in files})
        outputs = [self._output_of(folder) for folder in self._folders]
        results = {output.resolve() for output in outputs}
        if self.output is not None:
            results.add(Path(self.output).resolve())
        for folder, output in zip(self._folders, outputs, strict=True):
            yield from self._folder(folder, output, results)

    def _target_of(self, source: Path) -> Path:
        if self.file is not None:
            return self.file
        return (source.parent if self.output is None else Path(self.output)) / self._names(source)[0]

    def _output_of(self, folder: Path) -> Path:
        """The folder that mirrors one that is searched."""
        name = folder.resolve().name
        if self.output is None:
            return folder.resolve().with_name(f"{name}_{self.size.tag}")
        return Path(self.output) if len(self.paths) == 1 else Path(self.output) / name

    def _folder(self, folder: Path, output: Path, results: set[Path]) -> Iterator[Job]:
        """Jobs for a folder and those in it, the nearest first, but for those in which results are."""
        waiting = [(folder, output)]
        while waiting:
            here, there = waiting.pop()
            deeper: list[str] = []
            together = there.resolve() == here.resolve()
            taken: set[int] = set()
            try:
                with os.scandir(here) as found:
                    shown = (
                        entry for entry in found if not (entry.name.startswith(".") or is_leftover(Path(entry.name)))
                    )
                    while some := sorted(islice(shown, _AT_ONCE), key=lambda entry: entry.name):
                        deeper += [entry.name for entry in some if entry.is_dir(follow_symlinks=False)]
                        for entry in some:
                            if not entry.is_dir(follow_symlinks=False):
                                yield from self._entry(entry, there, together, taken)
            except OSError as error:
                yield Job(here, problem=f"the folder {here} cannot be read ({error.strerror})")
            waiting += [
                (here / name, there / name)
                for name in sorted(deeper, reverse=True)
                if (here / name).resolve() not in results
            ]

    def _entry(self, entry: os.DirEntry[str], there: Path, together: bool, taken: set[int]) -> Iterator[Job]:
        """The job, if any, for a file of a folder, whose result goes into the folder `there`.

        `together`: that is the same folder. `taken`: the targets so far, by their hashes.
        """
        source = Path(entry.path)
        if source.suffix.lower() not in images.SUFFIXES or not _is_file(entry):
            self.ignored += 1
            return
        if not is_there(source) and entry.is_symlink() and not _loops(source):
            yield Job(source, problem=f"{source} is a link to {os.readlink(source)}, which does not exist")  # noqa: PTH115
            return
        if together and self._is_target(source):
            return
        target = there / self._names(source)[0]
        before, key = len(taken), hash(target)
        taken.add(key)
        if len(taken) == before:
            others = [path for path in _siblings(source, source.stem) if there / self._names(path)[0] == target]
            yield _mixed_up(source, others[0] if others else "another file", target)
        else:
            yield self._job(source, target, found=True)

    def _files(self, targets: Mapping[Path, Path]) -> Iterator[Job]:
        """Jobs for files and their targets, but none for a file that is itself the result of another one.

        Of several files of one target the first gets it, and the others are problems.
        """
        owners: dict[Path, Path] = {}
        for source, target in targets.items():
            for name in [target.name] if self.file else self._names(source):
                owners.setdefault(target.with_name(name), source)
        for source, target in targets.items():
            if owners.get(source, source) != source:  # left by an earlier run
                continue
            if owners[target] != source:
                yield _mixed_up(source, owners[target], target)
                continue
            found = source not in self._named
            yield self._job(source, target, found=found, among=None if found else targets)

    def _job(self, source: Path, target: Path, *, found: bool, among: Mapping[Path, Path] | None = None) -> Job:
        """The job for a picture, unless its name says that it is a result.

        `among`: the picture that it was made from has to be one of these.
        """
        owner = next((path for path in _owners(source) if among is None or path in among), None)
        if owner is not None:
            reason = f"{source} is left out, by its name it is a result made from {owner}; give it alone to restore it"
            return Job(source, left_out=reason)
        named = None
        if self.file is None and len(set(self._names(source))) > 1:
            named = partial(self._named_target, source, target.parent)
        return Job(source, target, size=self.size, found=found, named=named)

    def _named_target(self, source: Path, folder: Path, size: Size, larger: bool) -> Path:
        return folder / self._name(source, size, larger)

    def _is_target(self, file: Path) -> bool:
        """Whether `file` has the name of what a picture beside it becomes, or of the sheet of that."""
        match = self._results.fullmatch(file.stem.removesuffix(_SHEET))
        stem = match.groupdict().get("stem") if match else None
        sources = _siblings(file, stem or "")
        targets = [file.with_name(name) for source in sources for name in self._names(source)]
        return file in targets or file in map(sheet_of, targets)

    @property
    def _sizes(self) -> list[Size]:
        """The size, or those that an automatic one may come to."""
        return [Size(scale) for scale in AUTOMATIC] if self.size.is_automatic else [self.size]

    def _model(self, larger: bool) -> str:
        """The model's name, of results that are larger than their picture or not."""
        return Path(self.model or (DEFAULT if larger else OWN_SIZE)).name.removesuffix(".onnx")

    def _name(self, source: Path, size: Size, larger: bool = True) -> str:
        fields = {"stem": source.stem, "ext": source.suffix[1:], "size": size.tag, "model": self._model(larger)}
        return self.name.format_map(fields) + (result_suffix(source) if self.suffix is None else self.suffix)

    def _names(self, source: Path) -> list[str]:
        """All names that the result of a picture may have, the most likely first."""
        return [self._name(source, size, larger) for size in self._sizes for larger in (True, False)]


def sheet_of(target: Path) -> Path:
    """The before/after sheet that lies beside a result."""
    return target.with_name(f"{target.stem}{_SHEET}.png")


def _mixed_up(source: Path, other: Path | str, target: Path) -> Job:
    problem = f"{source} would become {target}, as {other} does; put {{ext}} into the name of the results"
    return Job(source, problem=problem)


def _siblings(file: Path, stem: str) -> list[Path]:
    """Other pictures beside `file` whose name without extension is `stem`."""
    named = (file.with_name(stem + suffix) for suffix in _SUFFIXES) if stem else ()
    return [path for path in named if path != file and is_there(path)]


def _owners(file: Path) -> list[Path]:
    """The pictures beside `file` from which it was made, by the name that `restore` gives on its own, if any."""
    match = _OWN_NAME.fullmatch(file.stem.removesuffix(_SHEET))
    return _siblings(file, match["stem"]) if match else []


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a file, or a link to what cannot be looked at, which then fails by itself when it is read."""
    try:
        return entry.is_file() or (entry.is_symlink() and not entry.is_dir())
    except OSError:
        return True


def _loops(link: Path) -> bool:
    """Whether a link leads to itself, or to what may not be looked at."""
    try:
        link.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def one_file(given: str, purpose: str = "- stands for one picture") -> str:
    """What an argument stands for that names a single picture; CnlrnError where it is a pattern of several."""
    found = expanded(given)
    if len(found) != 1:
        raise CnlrnError(f"{given} matches {len(found)} files; {purpose}")
    return str(found[0])


def is_pattern(given: str) -> bool:
    """Whether an argument is a pattern for files, not the name of one."""
    return glob.has_magic(given) and not is_there(Path(_meant(given)))


def expanded(given: str) -> list[Path]:
    """What an argument stands for: itself, as `_meant` says, or the files that the pattern matches."""
    meant = _meant(given)
    if os.path.lexists(meant) or not glob.has_magic(meant):
        return [Path(meant)]
    found = sorted(Path(path) for path in glob.glob(meant, recursive=True))  # noqa: PTH207 - absolute ones too
    if not found:
        raise CnlrnError(f"no file matches {given}")
    return [path for path in found if not is_folder(path)]


def _meant(given: str) -> str:
    """The name that is meant by an argument that is none of a file as it stands.

    file:// is followed; quotes, blanks around and backslashes, which a terminal or a file manager puts there when a
    file is dropped on it, are taken off, and ~ is the home folder, if there is such a file then.

    Raises:
        CnlrnError: the address of something that is not on this computer.
    """
    if os.path.lexists(given):
        return given
    if given.lower().startswith("file:"):
        parts = urlsplit(given)
        if parts.netloc not in ("", "localhost"):
            raise CnlrnError(f"{given} is on another computer; copy it here first and give its name")
        return url2pathname(parts.path)
    _refuse_url(given)
    tries = [given.strip()]
    with suppress(ValueError):  # quotes that are not closed
        tries += [words[0] for words in [shlex.split(given)] if len(words) == 1]
    for name in tries:
        for meant in (name, os.path.expanduser(name)):  # noqa: PTH111 - Path's raises errors
            if os.path.lexists(meant):
                return meant
    return given


def _refuse_url(given: str) -> None:
    """CnlrnError where the address of something on a network is given for a file."""
    if re.match(r"[a-z][a-z0-9+.-]+://|data:", given, re.IGNORECASE) and not is_there(Path(given)):
        shown = given if len(given) < 100 else f"{given[:97]}..."
        raise CnlrnError(f"{shown} is an address, not a file; nothing is fetched from a network, download it first")
