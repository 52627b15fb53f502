"""What goes wrong, as problem documents of RFC 9457: a status, a code from the tree of errors, and the words."""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cnlrn import errors
from cnlrn.errors import CnlrnError

MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("cnlrn.server")

_STATUS: dict[type[Exception], int] = {
    errors.UnreadablePicture: 422,
    errors.UnsupportedPicture: 415,
    errors.TooLarge: 413,
    errors.NoSuchModel: 422,
    errors.DamagedModel: 503,
    errors.OutOfMemory: 503,
    errors.CannotWrite: 507,
    CnlrnError: 422,
    MemoryError: 503,
}
_NOT_THE_CLIENTS = {
    errors.CannotWrite: "the server's disk has no room for this picture; try again later, or a smaller result",
    errors.DamagedModel: "a model of the server is damaged; tell those who run it",
    MemoryError: "the server has not enough memory for this picture; try again later, or a smaller result",
}
"""Words for errors whose own would tell of the server's files."""


class Problem(BaseModel):
    """What went wrong. `code` is for programs, `detail` for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str


class Refused(Exception):
    """A request that the server does not serve; not a mistake in a picture."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        """`code`: for programs. `detail`: what is wrong and what to do. `headers`: of the response."""
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers or {}


class Cancelled(Refused):
    """Nobody waits for the result any more."""

    def __init__(self) -> None:
        """The same for everyone."""
        super().__init__(410, "cancelled", "this was cancelled, and its computing stopped")


class OutOfTime(Refused):
    """Computing took longer than the server allows."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: the limit."""
        super().__init__(
            504, "out-of-time", f"it took longer than the server's limit of {seconds:g} s; ask for a smaller result"
        )


def is_busy(seconds: int = 2) -> Refused:
    """The refusal of a server with a full queue, to be asked again in so many seconds."""
    return Refused(
        429,
        "queue-full",
        f"as many pictures wait as the server lets in; try again in {seconds} s",
        {"Retry-After": str(seconds)},
    )


def is_closing() -> Refused:
    """The refusal of a server that is about to end."""
    return Refused(503, "closing", "the server is being shut down; try again in a while", {"Retry-After": "10"})


def of(error: BaseException) -> Problem:
    """The problem that an exception is; one that nobody has foreseen is logged, and told without its words."""
    if isinstance(error, Refused):
        return _problem(error.status, error.code, error.detail)
    if isinstance(error, ClientDisconnect):  # nobody reads this
        return _problem(400, "bad-request", "the request ended before its body did")
    if isinstance(error, HTTPException):
        return _problem(error.status_code, _kebab(HTTPStatus(error.status_code).phrase), str(error.detail))
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            detail = _NOT_THE_CLIENTS.get(kind)
            if detail is not None:
                _log.error("%s: %s", type(error).__name__, error)
            return _problem(status, _code(error), detail or str(error))
    _log.error("failed unexpectedly", exc_info=error)
    return _problem(500, "unexpected", "the server failed unexpectedly; its log says where")


def response(error: BaseException) -> JSONResponse:
    """The problem document of an exception."""
    problem = of(error)
    headers = getattr(error, "headers", None)
    return JSONResponse(problem.model_dump(), problem.status, headers, media_type=MEDIA_TYPE)


def handle_all(app: FastAPI) -> None:
    """Have every exception become a problem document."""

    async def handle(_: Request, error: Exception) -> JSONResponse:
        return response(error)

    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return response(Refused(422, "bad-request", said(error.errors())))

    for kind in (Refused, CnlrnError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(kind, handle)
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]


def said(mistakes: Any) -> str:
    """Pydantic's list of mistakes in a sentence."""
    parts = [f"{errors.cut(str(mistake['loc'][-1]))}: {mistake['msg']}" for mistake in mistakes]
    return "; ".join(parts[:5])


def _problem(status: int, code: str, detail: str) -> Problem:
    return Problem(
        type=f"urn:cnlrn:problem:{code}", title=HTTPStatus(status).phrase, status=status, code=code, detail=detail
    )


def _code(error: BaseException) -> str:
    """ "too-large" of `TooLarge`; what has no class of its own there is a bad request."""
    kind = next((kind for kind in type(error).__mro__ if kind.__module__ == errors.__name__), type(error))
    return "bad-request" if kind is CnlrnError else _kebab(kind.__name__)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|[ _]+", "-", name).lower()
