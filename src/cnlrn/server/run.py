"""The server as a process: its socket, its signals and its end.

The first signal lets what is computed be finished and fetched and refuses the rest; the second ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from cnlrn.errors import CnlrnError
from cnlrn.server.app import Application
from cnlrn.server.settings import Settings

_CONNECTIONS = 500
_FETCHED = 10.0  # seconds in which results may still be fetched when the server ends
_TAB = 3.0  # seconds for which a tab may be gone, while it is loaded again
_LAST = 3  # seconds for connections to end
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def serve(settings: Settings, say: Callable[[str], None], *, opens: bool = False) -> None:
    """Serve until a signal comes, or, if the settings say `once`, the page's last tab is closed.

    `say`: is told where the page is, once it can be reached. `opens`: open the browser at the page.

    Raises:
        CnlrnError: the port cannot be used, or a model or a folder.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # damaged forms are no news
    with _socket(settings) as listening:
        application = Application(settings)
        url = _url(settings.host, listening.getsockname()[1])

        def begin() -> None:
            say(f"The page and the API are at {url} (Ctrl-C ends the server)")
            if opens:
                page = url if settings.token is None else f"{url}#token={settings.token}"
                threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

        server = _Server(application, settings, begin)
        try:
            asyncio.run(server.serve(sockets=[listening]))
        finally:
            application.workers.close()


def _socket(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise CnlrnError(
            f"the server cannot listen at {settings.host} port {settings.port} ({reason}); "
            "choose another by --host and --port"
        ) from error


def _url(host: str, port: int) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/"


class _Server(uvicorn.Server):
    """uvicorn's, with an end of our own."""

    def __init__(self, application: Application, settings: Settings, begin: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=_protocol(settings.patience),
                ws="none",
                lifespan="on",
                log_level="error",
                access_log=False,
                server_header=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=_LAST,
            )
        )
        self._application, self._begin, self._once = application, begin, settings.once
        self._ending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._begin()
        if self._once:
            self._following = asyncio.create_task(self._follow_tabs())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Heed signals, and exit as from a job well done."""
        heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self.handle_exit) for number in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End: soon the first time, at once the second."""
        if self._loop is None or self._ending is not None:
            self.should_exit = self.force_exit = True
        else:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._finish())

    async def _finish(self) -> None:
        await self._application.drain(_FETCHED)
        self.should_exit = True

    async def _follow_tabs(self) -> None:
        """End when the last tab has been closed for a moment."""
        tabs = self._application.tabs
        while True:
            await tabs.closed.wait()
            tabs.closed.clear()
            await asyncio.sleep(_TAB)
            if not tabs.open:
                self._end()


def _protocol(patience: float) -> type[H11Protocol]:
    """HTTP that ends connections of clients that do not get on: uvicorn ends none before its first request is whole."""

    class Protocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self._timer is not None:
                self._timer.cancel()

        def _watch(self) -> None:
            """Give the client its time where a head, or a body that nobody reads any more, is not whole."""
            sending = self.conn.their_state is h11.SEND_BODY and self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)
            if self.conn.their_state is h11.IDLE or sending:
                if self._timer is None:
                    self._timer = self.loop.call_later(patience, self.transport.close)
            elif self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Protocol
