"""The application: the API's routes, the page's files, and the guard around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse

import cnlrn
from cnlrn.server import api, problems
from cnlrn.server.guard import Guard
from cnlrn.server.jobs import Jobs
from cnlrn.server.metrics import Metrics
from cnlrn.server.settings import Settings
from cnlrn.server.tabs import Tabs
from cnlrn.server.workers import Workers

_LOOK = 0.1  # seconds between looks at what is not finished
PAGE = Path(__file__).parent / "page"


class Application:
    """One server's parts, an ASGI application itself."""

    def __init__(self, settings: Settings) -> None:
        """Loads the model. CnlrnError where it, or the folder, cannot be used."""
        self.settings = settings
        self.workers = Workers(settings)
        self.workers.warm()
        self.jobs = Jobs(settings, self.workers)
        self.tabs = Tabs()
        metrics = Metrics(self.workers)
        self.app = FastAPI(
            title="CNLRN",
            summary="Blurry pictures in, sharp ones out.",
            version=cnlrn.__version__,
            docs_url=None,
            redoc_url=None,
            lifespan=self._life,
        )
        problems.handle_all(self.app)
        self.app.include_router(api.router(settings, self.workers, self.jobs, metrics))
        self.app.include_router(self.tabs.router())
        _add_page(self.app)
        self._guarded = Guard(self.app, settings, metrics)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """As ASGI has it."""
        await self._guarded(scope, receive, send)

    async def drain(self, seconds: float) -> None:
        """Let no more in, and wait until what is computed is finished, and for so many seconds until it is fetched."""
        self.workers.is_closing = True
        self.jobs.refuse_queued()
        while self.workers.running:
            await asyncio.sleep(_LOOK)
        end = time.monotonic() + seconds
        while self.jobs.unfetched() and time.monotonic() < end:
            await asyncio.sleep(_LOOK)
        self.tabs.is_over = True

    @asynccontextmanager
    async def _life(self, _: FastAPI) -> AsyncIterator[None]:
        yield
        self.workers.is_closing = True
        await self.jobs.close()
        self.workers.close()


def _add_page(app: FastAPI) -> None:
    """Routes for the page's files, of which no name comes from a client."""

    def add(place: str, path: Path) -> None:
        async def give() -> FileResponse:
            return FileResponse(path)

        app.add_api_route(place, give, methods=["GET", "HEAD"], include_in_schema=False)

    for path in PAGE.rglob("*"):
        if path.is_file():
            add(f"/{path.relative_to(PAGE).as_posix()}", path)
    add("/", PAGE / "index.html")
    add("/docs", PAGE / "docs.html")
