"""Which tabs have the page open: each holds a connection for as long as it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

_PING = 5.0  # seconds after which a tab that is gone is noticed


class Tabs:
    """`open`: how many there are. `closed`: set when there are none any more."""

    def __init__(self) -> None:
        """None yet."""
        self.open = 0
        self.closed = asyncio.Event()
        self.is_over = False

    def router(self) -> APIRouter:
        """The route that tabs hold."""
        routes = APIRouter(include_in_schema=False)

        @routes.get("/v1/tab")
        async def tab() -> StreamingResponse:
            return StreamingResponse(self._pings(), media_type="text/event-stream")

        return routes

    async def _pings(self) -> AsyncIterator[str]:
        self.open += 1
        try:
            while not self.is_over:
                yield ": still there\n\n"
                await asyncio.sleep(_PING)
        finally:
            self.open -= 1
            if not self.open:
                self.closed.set()
