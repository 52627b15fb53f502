"""A restored picture on its way out: its file, streamed, and what there is to say about it in headers."""

from __future__ import annotations

import json
import mimetypes

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from cnlrn.server.schemas import PlanView
from cnlrn.server.workers import Result

_TYPES = {".tif": "image/tiff", ".tiff": "image/tiff", ".webp": "image/webp", ".avif": "image/avif"}


def media_type(suffix: str) -> str:
    """Of the files with an extension."""
    return _TYPES.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")


class PictureResponse(FileResponse):
    """The file of a result, removed afterwards unless it is `kept`.

    The header `Cnlrn-Plan` tells what was done, `Cnlrn-Notes` what of the source is not in the result, both in JSON.
    """

    def __init__(self, result: Result, *, kept: bool = False) -> None:
        """Nothing is read yet."""
        headers = {
            "Cnlrn-Plan": PlanView.of(result.plan).model_dump_json(ensure_ascii=True),
            "Cnlrn-Notes": json.dumps(result.notes),
        }
        super().__init__(
            result.path, headers=headers, media_type=media_type(result.suffix), filename=f"restored{result.suffix}"
        )
        self._result = None if kept else result

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._result is not None:
                self._result.discard()
