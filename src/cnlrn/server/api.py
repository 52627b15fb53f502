"""The routes of the HTTP API."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST

import cnlrn
from cnlrn.server.guard import COOKIE, cookie_for
from cnlrn.server.jobs import Jobs
from cnlrn.server.metrics import Metrics
from cnlrn.server.problems import Cancelled, Refused, is_closing
from cnlrn.server.responses import PictureResponse
from cnlrn.server.schemas import (
    PROBLEMS,
    About,
    Health,
    JobView,
    Limits,
    ModelView,
    Options,
    PlanView,
    Preview,
    Session,
    Wish,
)
from cnlrn.server.settings import Settings
from cnlrn.server.uploads import BODY, received
from cnlrn.server.workers import Result, Work, Workers

FORMATS = ["png", "jpg", "webp", "tif", "avif"]
_PICTURE: dict[str, Any] = {
    "description": "The restored picture. Cnlrn-Plan says what was done, in JSON.",
    "content": {f"image/{name}": {} for name in ("png", "jpeg", "webp", "tiff", "avif")},
}


def router(settings: Settings, workers: Workers, jobs: Jobs, metrics: Metrics) -> APIRouter:
    """All routes."""
    routes = APIRouter(responses=PROBLEMS)

    @routes.post("/v1/restore", openapi_extra=BODY, responses={200: _PICTURE}, response_class=Response)
    async def restore(request: Request, query: Annotated[Options, Query()]) -> Response:
        """Restore a picture, while the client waits; leaving stops the computing."""
        with workers.place():
            async with received(request, query) as (upload, options):
                work = Work(settings.seconds)
                return PictureResponse(await _unless_gone(request, workers.restore(upload, options, work)))

    @routes.post("/v1/inspect", openapi_extra=BODY)
    async def inspect(request: Request, query: Annotated[Wish, Query()]) -> PlanView:
        """Tell how a picture is blurred, what would be done with it, and how long that takes."""
        with workers.place():
            async with received(request, query) as (upload, wish):
                return PlanView.of(await workers.inspect(upload, wish))

    @routes.post(
        "/v1/preview", openapi_extra=BODY, responses={200: {"content": {"image/png": {}}}}, response_class=Response
    )
    async def preview(request: Request, query: Annotated[Preview, Query()]) -> Response:
        """Give a picture as it is, as a PNG that browsers can show: for TIFF and HEIC, and for huge ones."""
        with workers.place():
            async with received(request, query) as (upload, options):
                return Response(await workers.preview(upload, options.side), media_type="image/png")

    @routes.post("/v1/jobs", openapi_extra=BODY, status_code=202)
    async def start(request: Request, response: Response, query: Annotated[Options, Query()]) -> JobView:
        """Have a picture restored; the response tells the job's id at once."""
        async with AsyncExitStack() as held:
            held.enter_context(workers.place())
            upload, options = await held.enter_async_context(received(request, query))
            await workers.look(upload, options)
            job = jobs.start(upload, options, held.pop_all())
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return job.view()

    @routes.get("/v1/jobs/{id}")
    async def tell(id: str) -> JobView:
        """Tell how far a job is."""
        return jobs.find(id).view()

    @routes.get("/v1/jobs/{id}/events", response_class=StreamingResponse, responses={200: _EVENTS})
    async def events(id: str) -> StreamingResponse:
        """Tell how far a job is, each time it gets on, as server-sent events; the last one tells its end."""
        job = jobs.find(id)

        async def lines() -> AsyncIterator[str]:
            async for view in job.views():
                yield ": still there\n\n" if view is None else f"data: {view.model_dump_json()}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    @routes.get("/v1/jobs/{id}/result", responses={200: _PICTURE}, response_class=Response)
    async def fetch(id: str) -> Response:
        """Give the picture that a finished job has restored."""
        job = jobs.find(id)
        if job.result is None:
            problem = job.problem
            if problem is not None:
                raise Refused(problem.status, problem.code, problem.detail)
            raise Refused(409, "not-finished", "the job is not finished", {"Retry-After": "1"})
        return PictureResponse(job.result, kept=True)

    @routes.delete("/v1/jobs/{id}", status_code=204)
    async def delete(id: str) -> None:
        """Stop a job's computing, and forget its picture and result."""
        await jobs.delete(id)

    @routes.get("/v1/models")
    async def about() -> About:
        """Tell what the server can do, and what it lets in."""
        views = [
            ModelView(name=card.name, description=card.description, scales=card.scales, limits=card.limits)
            for card in cnlrn.models()
        ]
        limits = Limits(
            max_pixels=settings.max_pixels,
            max_bytes=settings.max_bytes,
            queue=settings.queue,
            seconds=settings.seconds,
        )
        return About(
            version=cnlrn.__version__, models=views, formats=FORMATS, limits=limits, follows_tabs=settings.once
        )

    @routes.post("/v1/session", status_code=204)
    async def sign_in(session: Session, request: Request, response: Response) -> None:
        """Have a browser keep the token, in a cookie that pages cannot read."""
        if settings.token is None:
            return
        if not hmac.compare_digest(session.token.encode(), settings.token.encode()):
            raise Refused(401, "wrong-token", "this is not the server's token")
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie_for(settings.token), httponly=True, samesite="strict", secure=secure)

    @routes.get("/healthz")
    async def is_alive() -> Health:
        """Tell that the server lives."""
        return Health(status="alive")

    @routes.get("/readyz")
    async def is_ready() -> Health:
        """Tell whether the server can work: it is not about to end."""
        if workers.is_closing:
            raise is_closing()
        return Health(status="ready")

    @routes.get("/metrics", response_class=Response)
    async def measure() -> Response:
        """Tell Prometheus what was done."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes


_EVENTS: dict[str, Any] = {
    "description": "Each event's data is a JobView; the last one's state is done, failed or cancelled.",
    "content": {"text/event-stream": {}},
}


async def _unless_gone(request: Request, computing: Any) -> Result:
    """What is computed; its computing stops when the client leaves."""

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, gone = asyncio.ensure_future(computing), asyncio.ensure_future(leave())
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            result: Result = task.result()
            return result
        raise Cancelled
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
