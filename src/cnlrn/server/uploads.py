"""A picture on its way in: the body of a request, or a file in a form, spooled to a file that has no name."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO, TypeVar, cast

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from cnlrn.server.problems import Refused, said

_IN_MEMORY = 2**20  # bytes of a body that are not worth a file
_FIELD = 4096  # bytes of a form's field
_FIELDS = 16
_Wanted = TypeVar("_Wanted", bound=BaseModel)


@asynccontextmanager
async def received(request: Request, query: _Wanted) -> AsyncIterator[tuple[BinaryIO, _Wanted]]:
    """The picture that a request brings, as an open file, and its options: of the query, before them those of a form.

    Raises:
        Refused: a form that is damaged or has no picture, options that make no sense, or another kind of body.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        try:
            form = await request.form(max_files=1, max_fields=_FIELDS, max_part_size=_FIELD)
        except HTTPException as error:
            raise Refused(400, "bad-form", f"the form cannot be read ({error.detail})") from error
        try:
            files = [value for value in form.values() if isinstance(value, UploadFile)]
            fields = {name: value for name, value in form.items() if not isinstance(value, UploadFile)}
            if not files:
                raise Refused(400, "no-picture", "the form has no file; send the picture in the field picture")
            yield files[0].file, with_fields(query, fields)
        finally:
            await form.close()
    elif kind in ("", "application/octet-stream") or kind.startswith("image/"):
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            async for piece in request.stream():
                file.write(piece)
            yield cast(BinaryIO, file), query
    else:
        raise Refused(
            415, "unsupported-body", "send the picture as multipart/form-data, image/... or application/octet-stream"
        )


def with_fields(query: _Wanted, fields: dict[str, Any]) -> _Wanted:
    """Options, of which a form's fields replace some; empty fields count as not given. Refused where one is wrong."""
    given = {name: value for name, value in fields.items() if value != ""}
    try:
        return type(query).model_validate(query.model_dump(exclude_unset=True) | given)
    except ValidationError as error:
        raise Refused(422, "bad-request", said(error.errors())) from error


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The picture, as the body or as a file in a form; a form's fields are options, too.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"picture": {"type": "string", "format": "binary"}},
                    "required": ["picture"],
                }
            },
        },
    }
}
"""For the description of the API."""
