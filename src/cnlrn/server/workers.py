"""What computes: one pool of threads for all requests, sized to the cores and the memory.

A picture whose result is large waits for others of its kind and occupies one worker, so that small ones are not held up
and two large ones never need memory at once. Whatever is computed can be cancelled, and ends by itself when it has
taken too long. HTTP is not known here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from cnlrn import files, images
from cnlrn.errors import NoSuchModel, nearest, writing
from cnlrn.images import LazyPicture
from cnlrn.models import fitting, models
from cnlrn.restoration.plan import Plan
from cnlrn.restoration.restorer import Restorer
from cnlrn.server.problems import Cancelled, OutOfTime, is_busy, is_closing
from cnlrn.server.schemas import Options, Wish
from cnlrn.server.settings import Settings, own_folder, worker_count

_LARGE = 4_000_000
"""Pixels of a picture or its result from which it counts as large."""
_COMPUTING = 0.9
"""Part of the work that is computing; the rest is writing."""
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Result:
    """A restored picture in a file that `discard` removes. `notes` tell what of the source is not in it."""

    path: Path
    suffix: str
    plan: Plan
    notes: tuple[str, ...]

    def discard(self) -> None:
        """Remove the file."""
        files.discard(self.path)


class Work:
    """One picture's way through the pool, which other threads watch and cancel.

    `plan` and `part` (0 to 1) tell how far it is; `changed` is called when they do.
    """

    def __init__(self, seconds: float, changed: Callable[[], None] = lambda: None) -> None:
        """`seconds`: how long it may compute."""
        self.plan: Plan | None = None
        self.part = 0.0
        self.is_running = False
        self._seconds, self._changed = seconds, changed
        self._end = float("inf")
        self._cancelled = threading.Event()

    def begin(self) -> None:
        """Its turn has come; Cancelled if nobody waits for it any more."""
        self._end = time.monotonic() + self._seconds
        self.is_running = True
        self.progress(0.0)

    def progress(self, part: float) -> None:
        """So much of the picture is computed. Cancelled or OutOfTime, where computing is to stop."""
        self.check()
        self._tell(part * _COMPUTING)

    def written(self, part: float) -> None:
        """So much of the result is written."""
        self._tell(_COMPUTING + part * (1 - _COMPUTING))

    @property
    def is_over(self) -> bool:
        """Whether it is to stop."""
        return self._cancelled.is_set() or time.monotonic() > self._end

    def check(self) -> None:
        """Cancelled or OutOfTime, where it is to stop."""
        if self.is_over:
            raise Cancelled if self._cancelled.is_set() else OutOfTime(self._seconds)

    def _tell(self, part: float) -> None:
        self.part = part
        self._changed()

    def cancel(self) -> None:
        """Have it stop soon."""
        self._cancelled.set()


class Workers:
    """The pool. `waiting` and `running` are counts of pictures; `is_closing` lets no more in."""

    def __init__(self, settings: Settings) -> None:
        """No model is loaded before `warm` or the first picture.

        Raises:
            CnlrnError: there is no folder for results.
        """
        self._settings = settings
        self.folder = own_folder(settings.folder)
        files.beside(self.folder / "start", "")  # removes what a dead server left
        self._count = worker_count(settings.workers)
        self._pool = ThreadPoolExecutor(self._count, "worker")
        self._large = ThreadPoolExecutor(1, "large")
        self._looking = ThreadPoolExecutor(2, "looking")
        self._restorers: dict[str | None, Restorer] = {}
        self._lock = threading.Lock()
        self._places = 0
        self.running = 0
        self.is_closing = False

    @property
    def waiting(self) -> int:
        """Pictures that were let in and are not computed yet."""
        return max(0, self._places - self.running)

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue for one picture; Refused where there is none."""
        if self.is_closing:
            raise is_closing()
        if self._places >= self._settings.queue:
            raise is_busy()
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    def warm(self) -> None:
        """Load what every picture needs, and compute once."""
        import numpy as np

        self._restorer(None).restore(np.zeros((64, 64, 3), np.uint8), 1)

    async def look(self, upload: BinaryIO, wish: Wish) -> bool:
        """Whether a picture or its result is large; CnlrnError where its head tells that it cannot be restored."""
        return await self._in(self._looking, partial(self._is_large, upload, wish))

    async def inspect(self, upload: BinaryIO, wish: Wish) -> Plan:
        """What would be done with a picture; errors as `Restorer.inspect`."""
        large = await self.look(upload, wish)

        def inspect() -> Plan:
            with self._counted():
                upload.seek(0)
                size = {"scale": wish.scale, "width": wish.width, "height": wish.height}
                return self._restorer(wish.model).inspect(upload, **size, force=wish.force)  # type: ignore[arg-type]

        return await self._in(self._large if large else self._pool, inspect)

    async def preview(self, upload: BinaryIO, side: int) -> bytes:
        """A PNG of a picture as it is, or reduced to `side` pixels; CnlrnError as `images.read`."""

        def encoded() -> bytes:
            with self._counted():
                upload.seek(0)
                return _preview(images.open_picture(upload, self._settings.max_pixels), side)

        return await self._in(self._large, encoded)

    async def restore(self, upload: BinaryIO, options: Options, work: Work) -> Result:
        """The restored picture; errors as `Restorer.restore`, and those of `work`.

        Where this is cancelled the work is too, and what it holds is given back by the time this returns.
        """
        large = await self.look(upload, options)
        future = (self._large if large else self._pool).submit(self._restore, upload, options, work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.shield(asyncio.to_thread(_finish, future))
            raise

    def close(self) -> None:
        """Give back the threads, when nothing is running any more, and the files."""
        for pool in (self._looking, self._pool, self._large):
            pool.shutdown(wait=False, cancel_futures=True)
        files.remove_temporaries()

    async def _in(self, pool: ThreadPoolExecutor, make: Callable[[], _Made]) -> _Made:
        return await asyncio.get_running_loop().run_in_executor(pool, make)

    def _is_large(self, upload: BinaryIO, wish: Wish) -> bool:
        size = wish.size()
        self._check_model(wish.model)
        upload.seek(0)
        picture = images.open_picture(upload, self._settings.max_pixels)
        width, height = size.of(picture.width, picture.height)
        return max(width * height, picture.width * picture.height) > _LARGE

    def _restore(self, upload: BinaryIO, options: Options, work: Work) -> Result:
        with self._counted():
            work.begin()
            restorer = self._restorer(options.model)
            upload.seek(0)
            picture = images.open_picture(upload, self._settings.max_pixels)
            picture.decode()
            suffix = f".{options.format}" if options.format else images.result_format(picture.format)
            plan = work.plan = restorer.plan(picture, options.size(), force=options.force)
            work.progress(0.0)
            path = files.beside(self.folder / "result", suffix)
            try:
                computing = restorer.compute(
                    picture, plan, target=path, strip=options.strip, strength=options.strength, progress=work.progress
                )
                with computing as restored:
                    _write(restored, path, work)
                    work.check()
                    work.written(1.0)
                    return Result(path, suffix, plan, restored.notes)
            except BaseException:
                files.discard(path)
                work.check()  # what is stopped while it is written fails in the encoder's words
                raise

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._lock:
            self.running += 1
        try:
            yield
        finally:
            with self._lock:
                self.running -= 1

    def _check_model(self, name: str | None) -> None:
        """NoSuchModel for what is not shipped: a client must not name files of the server."""
        names = [card.name for card in models()]
        if name is not None and name not in names:
            raise NoSuchModel(f"there is no such model; {nearest(name, names)}")

    def _restorer(self, name: str | None) -> Restorer:
        with self._lock:
            if name not in self._restorers:
                self._restorers[name] = Restorer(
                    name or self._settings.model,
                    precision=self._settings.precision if name is None else fitting(name, self._settings.precision),
                    threads=self._settings.threads,
                    memory=self._settings.memory // (self._count + 1),  # the large one comes on top
                    max_pixels=self._settings.max_pixels,
                )
            return self._restorers[name]


def _write(restored: LazyPicture, path: Path, work: Work) -> None:
    """Write a picture to a file that nobody sees before it is whole; only a large one is flushed to the disk.

    A large one stops with `work`, unless it is WebP or AVIF, whose encoders do not stop halfway.
    """
    if restored.is_large:

        def told(_: Any, progress: Any) -> None:
            if work.is_over:
                restored.image.set_kill(True)
            else:
                work.written(progress.percent / 100)

        restored.image.set_progress(True)
        restored.image.signal_connect("eval", told)
        images.write(restored, path)
    else:
        with writing(path):
            path.write_bytes(images.encode(restored, path.suffix))


def _preview(picture: LazyPicture, side: int) -> bytes:
    picture.decode()
    image = picture.image
    factor = side / max(image.width, image.height)
    if factor < 1:
        image = image.resize(factor)
    return images.encode(replace(picture, image=image, metadata={}), ".png")


def _finish(future: Future[Result]) -> None:
    """Wait until a worker has done with what nobody wants any more, and remove its result."""
    if not future.cancel() and future.exception() is None:
        future.result().discard()
