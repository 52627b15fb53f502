"""`cnlrn restore --server URL`: the same as a `Restorer`, computed by a server. It needs no extra."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast

from cnlrn import errors, images
from cnlrn.errors import CnlrnError
from cnlrn.images import LazyPicture
from cnlrn.restoration.blur import Blur
from cnlrn.restoration.computing import Progress
from cnlrn.restoration.plan import Plan
from cnlrn.restoration.size import AUTOMATIC, Size

_SILENCE = 60  # seconds; a server that computes is heard of more often
_LONGEST_WAIT = 30  # seconds before a server with a full queue is asked again
_IN_MEMORY = 64 * 2**20
_PIECE = 2**20
_ENLARGEMENT = 16  # result pixels for each of the most input pixels


class RemoteRestorer:
    """A server's models, for `batch.restore_all` and the like. Files are read and written here."""

    def __init__(self, url: str, token: str | None = None, model: str | None = None) -> None:
        """`url`: that of the server's page. `token`: what it asks for. `model`: one of the server's, or its choice.

        Raises:
            CnlrnError: this is no URL, or no server answers there.
        """
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise CnlrnError(f"--server takes a URL such as http://127.0.0.1:8765/, not {errors.shown(url)}")
        self._url, self._model = url.rstrip("/"), model
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.max_pixels = images.MAX_PIXELS
        self.damaged: Literal["refuse", "keep"] = "refuse"
        about = self._json("GET", "/v1/models")
        scales = {one["name"]: one["scales"] for one in about["models"]}
        if model is not None and model not in scales:
            raise errors.NoSuchModel(f"the server has no model {model!r}; {errors.nearest(model, scales)}")
        self._scales = AUTOMATIC if model is None else tuple(scales[model])

    def settled(self, size: Size, picture: LazyPicture) -> Size:
        """What an automatic size comes to for a picture."""
        return size.settled(picture.width, picture.height, self._scales)

    def plan(self, picture: LazyPicture, size: Size, *, force: bool = False) -> Plan:
        """What the server would do with a picture; CnlrnError where it cannot be restored."""
        told = self._json("POST", "/v1/inspect", _sent(picture), picture.name, **self._wish(size, force))
        seen = {one.name: told.pop(one.name) for one in fields(Blur)}
        blur = None if seen["kind"] is None else Blur(**seen)
        del told["words"]
        return Plan(blur=blur, size=size, **told)

    @contextmanager
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
    ) -> Iterator[LazyPicture]:
        """Have the server do what was planned, and hold the result for as long as the context lasts.

        Leaving while it computes cancels it. Arguments and errors are those of `Restorer.compute`.
        """
        suffix = (target.suffix if target else suffix).lower()
        images.format_of(suffix)
        options = self._wish(plan.size, plan.action == "deblur") | {
            "strength": strength,
            "strip": strip,
            "format": {".jpeg": "jpg", ".tiff": "tif"}.get(suffix, suffix[1:]),
        }
        job = self._json("POST", "/v1/jobs", _sent(picture), picture.name, **options)["id"]
        try:
            view = self._watched(job, picture.name, progress)
            with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
                with self._asked("GET", f"/v1/jobs/{job}/result") as response:
                    while piece := response.read(_PIECE):
                        file.write(piece)
                file.seek(0)
                result = images.open_picture(cast(BinaryIO, file), self.max_pixels * _ENLARGEMENT)
            yield replace(result, name=picture.name, notes=tuple(view["notes"]), is_untouched=True)
        finally:
            with contextlib.suppress(CnlrnError):
                self._asked("DELETE", f"/v1/jobs/{job}").close()

    def _wish(self, size: Size, force: bool) -> dict[str, Any]:
        wish = {"scale": size.scale, "width": size.width, "height": size.height, "model": self._model}
        return {name: value for name, value in wish.items() if value is not None} | {"force": force}

    def _watched(self, job: str, name: str, progress: Progress | None) -> dict[str, Any]:
        """The last view of a job, which is done; its problem as CnlrnError."""
        with self._asked("GET", f"/v1/jobs/{job}/events") as events, self._reaching():
            for line in events:
                if line.startswith(b"data: "):
                    view: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                    if progress is not None:
                        progress(view["progress"])
                    if view["problem"] is not None:
                        raise _error(view["problem"], name)
                    if view["state"] == "done":
                        return view
        raise CnlrnError(f"the server at {self._url} ended before {name} was done; try again")

    def _json(self, method: str, path: str, body: BinaryIO | bytes | None = None, name: str = "", **query: Any) -> Any:
        with self._asked(method, path, body, name, **query) as response, self._reaching():
            return json.loads(response.read())

    def _asked(
        self, method: str, path: str, body: BinaryIO | bytes | None = None, name: str = "the picture", **query: Any
    ) -> IO[bytes]:
        """A response; where the server's queue is full it is asked again. CnlrnError for what is no success."""
        place = f"{self._url}{path}?{urllib.parse.urlencode(query)}" if query else f"{self._url}{path}"
        headers = self._headers | ({} if body is None else {"Content-Type": "application/octet-stream"})
        while True:
            with self._reaching():
                try:
                    request = urllib.request.Request(place, body, headers, method=method)
                    response: IO[bytes] = urllib.request.urlopen(request, timeout=_SILENCE)
                    return response
                except urllib.error.HTTPError as refusal:
                    with refusal:
                        if refusal.code != 429:
                            raise _error(_document(refusal), name) from None
                        wait = refusal.headers.get("Retry-After", "")
            time.sleep(min(int(wait) if wait.isdecimal() else 2, _LONGEST_WAIT))

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Say which server it is that cannot be reached, or is none of ours."""
        try:
            yield
        except OSError as error:
            reason = getattr(error, "reason", None) or error
            words = getattr(reason, "strerror", None) or reason
            raise CnlrnError(f"no server answers at {self._url} ({words}); is it running?") from error
        except ValueError as error:
            raise CnlrnError(f"what answers at {self._url} is no server of cnlrn") from error


def _sent(picture: LazyPicture) -> bytes:
    """The bytes of a picture's file."""
    if picture.content is None:
        raise CnlrnError(f"{picture.name} is no file that could be sent to a server")
    return bytes(picture.content)


def _document(refusal: urllib.error.HTTPError) -> dict[str, Any]:
    """The problem document of a response, or one made of its status."""
    with contextlib.suppress(ValueError, OSError):
        document = json.loads(refusal.read())
        if isinstance(document, dict) and isinstance(document.get("detail"), str):
            return document
    return {"code": "", "detail": f"the server refuses with status {refusal.code} ({refusal.reason})"}


def _error(problem: dict[str, Any], name: str) -> CnlrnError:
    """The exception that a problem document stands for, in words that name the file."""
    kind = getattr(errors, "".join(part.capitalize() for part in str(problem.get("code")).split("-")), CnlrnError)
    detail = problem["detail"]
    return kind(f"{name}{detail.removeprefix('the picture')}" if detail.startswith("the picture ") else detail)
