"""Pictures that are restored while nobody holds a connection: each is asked about, watched, fetched and cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import BinaryIO

from cnlrn.server import problems
from cnlrn.server.problems import Cancelled, Problem, Refused
from cnlrn.server.responses import media_type
from cnlrn.server.schemas import JobView, Options, PlanView, State
from cnlrn.server.settings import Settings
from cnlrn.server.workers import Result, Work, Workers

_PING = 15.0  # seconds after which a watcher hears that the connection lives
_STOPPING = 2.0  # seconds for which a cancelled job is waited for; its worker may need longer to come to a stop
_PACE = 0.1  # seconds at least between two reports of progress


class Job:
    """One picture. `result` once it is done, `problem` once it has failed."""

    def __init__(self, settings: Settings) -> None:
        """Queued."""
        self.id = secrets.token_urlsafe(16)
        self.state = State.QUEUED
        self.result: Result | None = None
        self.problem: Problem | None = None
        self.finished = float("inf")
        self.task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self.work = Work(settings.seconds, self._tell)

    def view(self) -> JobView:
        """How far it is."""
        state = State.RUNNING if self.state is State.QUEUED and self.work.is_running else self.state
        view = JobView(id=self.id, state=state, progress=self.work.part, problem=self.problem)
        if self.work.plan is not None:
            view.plan = PlanView.of(self.work.plan)
        if self.result is not None:
            view.notes = list(self.result.notes)
            view.suffix, view.media_type = self.result.suffix, media_type(self.result.suffix)
            view.bytes = self.result.path.stat().st_size
        return view

    async def views(self) -> AsyncIterator[JobView | None]:
        """Views, each time something has changed, to the final one; None from time to time when nothing has."""
        while True:
            changed = self._changed
            view = self.view()
            yield view
            if view.state.is_final:
                return
            await asyncio.sleep(_PACE)
            while True:
                try:
                    await asyncio.wait_for(changed.wait(), _PING)
                    break
                except TimeoutError:
                    yield None

    def end(self, state: State, *, result: Result | None = None, problem: Problem | None = None) -> None:
        """Nothing more will happen."""
        self.state, self.result, self.problem = state, result, problem
        self.finished = time.monotonic()
        self._wake()

    def _tell(self) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Jobs:
    """All jobs of a server; those that are finished are forgotten after a while."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        """None yet."""
        self._settings, self._workers = settings, workers
        self._jobs: dict[str, Job] = {}
        self._tasks = set[asyncio.Task[None]]()

    def start(self, upload: BinaryIO, options: Options, held: AsyncExitStack) -> Job:
        """Restore a picture; `held` is closed when it is not needed any more."""
        self._forget()
        job = Job(self._settings)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._run(job, upload, options, held))
        self._tasks.add(job.task)
        job.task.add_done_callback(self._tasks.discard)
        return job

    def find(self, id_: str) -> Job:
        """Refused where there is no such job."""
        self._forget()
        try:
            return self._jobs[id_]
        except KeyError:
            raise Refused(404, "no-such-job", "there is no such job; finished ones are kept for a while only") from None

    async def delete(self, id_: str) -> None:
        """Stop a job, and forget it."""
        job = self.find(id_)
        await self._stop(job)
        self._drop(job)

    def unfetched(self) -> int:
        """How many jobs run, or have a result that nobody has deleted."""
        return sum(not job.state.is_final or job.result is not None for job in self._jobs.values())

    def refuse_queued(self) -> None:
        """End the jobs that have not begun, since the server closes."""
        for job in self._jobs.values():
            if job.view().state is State.QUEUED:
                job.work.cancel()
                if job.task is not None:
                    job.task.cancel()
                job.end(State.FAILED, problem=problems.of(problems.is_closing()))

    async def close(self) -> None:
        """Stop and forget all."""
        await asyncio.gather(*(self._stop(job) for job in self._jobs.values()))
        for job in list(self._jobs.values()):
            self._drop(job)

    async def _run(self, job: Job, upload: BinaryIO, options: Options, held: AsyncExitStack) -> None:
        async with held:
            try:
                result = await self._workers.restore(upload, options, job.work)
            except (Cancelled, asyncio.CancelledError) as error:
                if not job.state.is_final:
                    job.end(State.CANCELLED, problem=problems.of(Cancelled()))
                if isinstance(error, asyncio.CancelledError):
                    raise
            except Exception as error:
                job.end(State.FAILED, problem=problems.of(error))
            else:
                job.end(State.DONE, result=result)

    async def _stop(self, job: Job) -> None:
        job.work.cancel()
        if job.task is not None and not job.task.done():
            job.task.cancel()
            await asyncio.wait([job.task], timeout=_STOPPING)
        if not job.state.is_final:  # it had not begun
            job.end(State.CANCELLED, problem=problems.of(Cancelled()))

    def _drop(self, job: Job) -> None:
        self._jobs.pop(job.id, None)
        if job.result is not None:
            job.result.discard()

    def _forget(self) -> None:
        """Drop what has waited for too long."""
        oldest = time.monotonic() - self._settings.keep
        for job in [job for job in self._jobs.values() if job.finished < oldest]:
            self._drop(job)
