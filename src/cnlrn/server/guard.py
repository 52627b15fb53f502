"""Who may ask, for how long, and what every response says about itself: a layer around the application.

Web pages of other sites must not use a server on this machine (Host and Origin are checked), clients must not keep it
waiting, and pages that it sends may load nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnlrn.server import problems
from cnlrn.server.metrics import Metrics
from cnlrn.server.problems import Refused
from cnlrn.server.settings import Settings

COOKIE = "cnlrn-token"
_SLOWEST = 16 * 2**10  # bytes a second that an upload makes at least, after its first minute
_CHANGING = ("POST", "PUT", "PATCH", "DELETE")
_OPEN = ("/v1/session",)
_PROTECTED = ("/v1/", "/metrics", "/openapi.json")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def cookie_for(token: str) -> str:
    """What a browser that knows the token keeps: it proves so, and does not tell it."""
    return hashlib.sha256(b"cnlrn cookie " + token.encode()).hexdigest()


class Guard:
    """The layer."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        """Around `app`."""
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500
        patience = self._settings.patience

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store" if scope["path"].startswith("/v1/") else "no-cache")
            async with asyncio.timeout(patience):  # a client that takes nothing ends the connection
                await send(message)

        try:
            self._check(scope, Headers(scope=scope))
        except Refused as refused:
            await problems.response(refused)(scope, receive, answer)
        else:
            await self._app(scope, _Body(receive, self._settings), answer)
        finally:
            self._metrics.count(scope, status, time.perf_counter() - began)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._settings.allows_host(host):
            raise Refused(
                421, "other-host", "this server has another name; those who run it can add one by --allow-host"
            )
        if scope["method"] in _CHANGING:
            origin = headers.get("origin")
            foreign = origin is not None and urlsplit(origin).netloc.lower() != host.lower()
            if foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
                raise Refused(403, "other-origin", "pages of other sites may not use this server")
        token = self._settings.token
        protected = scope["path"].startswith(_PROTECTED) and scope["path"] not in _OPEN
        if token is not None and protected and not _knows(headers, token):
            raise Refused(
                401,
                "no-token",
                "this server asks for its token: send the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )


class _Body:
    """Receives a request's body, which has so many bytes at most, and does not come too slowly."""

    def __init__(self, receive: Receive, settings: Settings) -> None:
        self._receive, self._settings = receive, settings
        self._bytes, self._began = 0, time.monotonic()
        self._complete = False

    async def __call__(self) -> Message:
        if self._complete:  # what comes now is the client's leaving
            return await self._receive()
        try:
            async with asyncio.timeout(self._settings.patience):
                message = await self._receive()
        except TimeoutError:
            raise self._too_slow() from None
        self._complete = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._settings.max_bytes:
            limit = self._settings.max_bytes / 1e6
            raise Refused(413, "too-large", f"the picture has more than {limit:.0f} MB, the server's limit")
        if self._bytes < _SLOWEST * (time.monotonic() - self._began - 60):
            raise self._too_slow()
        return message

    def _too_slow(self) -> Refused:
        return Refused(408, "too-slow", "the upload came too slowly; try again", {"Connection": "close"})


def _knows(headers: Headers, token: str) -> bool:
    """Whether a request presents the token, or the cookie that stands for it."""
    given: Any = headers.get("authorization", "")
    scheme, _, value = given.partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(value.strip().encode(), token.encode()):
        return True
    cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
    return hmac.compare_digest(cookie.encode(), cookie_for(token).encode())
