"""Restores many pictures: while one is computed, the next is read and the last is written. Reports an outcome for each.

One bad file stops nothing. `cnlrn.jobs.search` finds the pictures. `cnlrn.restoration.restorer` and `cnlrn.images`
decide what a result is and how it is written.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from cnlrn import images
from cnlrn.errors import CnlrnError
from cnlrn.files import is_there
from cnlrn.images import LazyPicture
from cnlrn.jobs.search import Job, Search, sheet_of
from cnlrn.restoration.computing import Progress
from cnlrn.restoration.plan import Plan
from cnlrn.restoration.size import Size

__all__ = ["Job", "Outcome", "Restores", "Search", "restore_all"]


class Restores(Protocol):
    """What restores open pictures: a `Restorer`, or a server. The methods are those of `Restorer`."""

    max_pixels: int
    damaged: Literal["refuse", "keep"]

    def settled(self, size: Size, picture: LazyPicture) -> Size:
        """What an automatic size comes to for a picture."""
        ...

    def plan(self, picture: LazyPicture, size: Size, *, force: bool = False) -> Plan:
        """Decide what to do with a picture."""
        ...

    def compute(
        self,
        picture: LazyPicture,
        plan: Plan,
        *,
        target: Path | None = None,
        suffix: str = ".png",
        strip: bool = False,
        strength: float = 1.0,
        progress: Progress | None = None,
    ) -> AbstractContextManager[LazyPicture]:
        """Do what was planned, and hold the result for as long as the context lasts."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What happened to a picture.

    Attributes:
        source: the picture.
        target: the file of the result. None if the picture was skipped because it is itself a result.
        status: "done", "skipped" (the target existed, or the picture is itself a result) or "failed".
        reason: why it was skipped or failed, in a sentence.
        before: width and height of the picture, if done.
        after: width and height of the result, if done.
        seconds: how long computing took.
        sheet: the before/after sheet that was written.
        notes: what the result lacks of the file, one sentence each.
        damage: a sentence, if the file is damaged and what can be read of it was restored.
        plan: what was done, if done.
        error: the name of the error's class in `cnlrn.errors`, if failed.
    """

    source: Path
    target: Path | None
    status: Literal["done", "skipped", "failed"]
    reason: str | None = None
    before: tuple[int, int] | None = None
    after: tuple[int, int] | None = None
    seconds: float = 0.0
    sheet: Path | None = None
    notes: tuple[str, ...] = ()
    damage: str | None = None
    plan: Plan | None = None
    error: str | None = None


@dataclass(frozen=True)
class _Wishes:
    """The options of `restore_all` that are the same for all pictures."""

    overwrite: bool
    compare: bool
    force: bool
    computing: dict[str, Any]
    """Options of `Restorer.compute`."""


def restore_all(
    restorer: Restores,
    jobs: Iterable[Job],
    *,
    overwrite: bool = False,
    strip: bool = False,
    compare: bool = False,
    strength: float = 1.0,
    force: bool = False,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Restore pictures. Yields one outcome each, in the order of `jobs`. Reading, computing and writing overlap.

    An existing target is skipped, so an interrupted run resumes. A folder that a target needs is created. A picture
    that a search found is skipped if it is itself a result of cnlrn. No exception ends the iteration except an
    interruption; what is being written is then finished, and nothing half-written is left.

    Args:
        restorer: what restores the pictures.
        jobs: the pictures and their targets, such as a `Search`.
        overwrite: replace existing targets.
        strip: as in `Restorer.restore`.
        compare: also write a before/after sheet beside each result, under the same rule.
        strength: as in `Restorer.restore`.
        force: as in `Restorer.restore`.
        progress: called with the computed share of the current picture, from 0 to 1.
    """
    wishes = _Wishes(overwrite, compare, force, {"strip": strip, "strength": strength, "progress": progress})
    reader, writer = ThreadPoolExecutor(1, "reader"), ThreadPoolExecutor(1, "writer")
    reading: deque[tuple[Job, Future[_Ready] | None]] = deque()
    writing: deque[_Writing] = deque()
    try:
        source = iter(jobs)
        exhausted = False
        while True:
            while not exhausted and len(reading) < 2:
                job = next(source, None)
                if job is None:
                    exhausted = True
                elif job.target is None or (job.named is None and is_there(job.target) and not overwrite):
                    reading.append((job, None))
                else:
                    reading.append((job, reader.submit(_ready, job, restorer, wishes)))
            if not reading:
                break
            job, picture = reading.popleft()
            writing.append(_computed(restorer, job, picture, wishes, writer))
            while len(writing) > 1 or (writing and not writing[0].overlaps):
                yield writing.popleft().outcome()
        while writing:
            yield writing.popleft().outcome()
    finally:
        reader.shutdown(wait=False, cancel_futures=True)  # it may wait for a pipe, for ever
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
    restorer: Restores, job: Job, reading: Future[_Ready] | None, wishes: _Wishes, writer: ThreadPoolExecutor
) -> _Writing:
    target = job.target
    if target is None:
        if job.left_out is not None:
            return _Writing(Outcome(job.source, None, "skipped", job.left_out))
        return _Writing(Outcome(job.source, None, "failed", job.problem))
    held = ExitStack()
    try:
        ready = None if reading is None else reading.result()
        if ready is None or ready.plan is None:
            return _there(job.source, target if ready is None else ready.target, wishes, writer)
        picture, plan, target = ready.picture, ready.plan, ready.target
        start = time.perf_counter()
        images.check_target(target)
        restored = held.enter_context(restorer.compute(picture, plan, target=target, **wishes.computing))
        seconds = time.perf_counter() - start
    except _IsResult:
        reason = f"{job.source} is left out, it is a result of cnlrn; give it by its name to restore it"
        return _Writing(Outcome(job.source, None, "skipped", reason))
    except Exception as error:
        held.close()
        return _Writing(_failure(job.source, target, error))
    sheet = _wanted_sheet(target, wishes)
    sizes = (picture.width, picture.height), (restored.width, restored.height)
    result = Outcome(job.source, target, "done", None, *sizes, seconds, sheet, restored.notes, picture.damage, plan)

    def write_all() -> None:
        with held:
            images.write(restored, target, overwrite=wishes.overwrite)
        if sheet is not None:
            _compare(job.source, target, sheet, wishes.overwrite)

    return _Writing(result, writer.submit(write_all), not restored.is_large, held)


def _compare(source: Path, target: Path, sheet: Path, overwrite: bool) -> None:
    from cnlrn.restoration.sheet import write_sheet

    write_sheet([(source, target)], sheet, overwrite=overwrite)


def _there(source: Path, target: Path, wishes: _Wishes, writer: ThreadPoolExecutor) -> _Writing:
    """A result that exists, of which at most the sheet is missing."""
    sheet = _wanted_sheet(target, wishes)
    result = Outcome(source, target, "skipped", f"{target} exists", sheet=sheet)
    if sheet is None:
        return _Writing(result)
    return _Writing(result, writer.submit(_compare, source, target, sheet, wishes.overwrite))


def _wanted_sheet(target: Path, wishes: _Wishes) -> Path | None:
    """The sheet that is to be written beside a result, if any."""
    sheet = sheet_of(target) if wishes.compare else None
    return None if sheet is not None and is_there(sheet) and not wishes.overwrite else sheet


class _IsResult(Exception):
    """A picture that a search found was written by cnlrn."""


@dataclass(frozen=True)
class _Ready:
    """A picture that is decoded, what is to be done with it, and where its result goes; no plan: it is there."""

    picture: LazyPicture
    plan: Plan | None
    target: Path


def _ready(job: Job, restorer: Restores, wishes: _Wishes) -> _Ready:
    picture = images.open_picture(job.source, restorer.max_pixels, restorer.damaged)
    if job.found and picture.is_result:
        raise _IsResult
    target = job.target
    assert target is not None
    if job.named is not None:
        size = restorer.settled(job.size, picture)
        target = job.named(size, size.enlarges(picture.width, picture.height))
        if is_there(target) and not wishes.overwrite:
            return _Ready(picture, None, target)
    picture.decode()
    return _Ready(picture, restorer.plan(picture, job.size, force=wishes.force), target)


def _failure(source: Path, target: Path | None, error: Exception) -> Outcome:
    """The outcome of whatever went wrong; what is no user's mistake is named by its type as well."""
    if not isinstance(error, CnlrnError):
        error = CnlrnError(f"{source} failed unexpectedly ({type(error).__name__}: {error})")
    return Outcome(source, target, "failed", " ".join(str(error).split()), error=type(error).__name__)
