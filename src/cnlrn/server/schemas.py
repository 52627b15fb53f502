"""What clients ask for and what they are told: the types of the HTTP API."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from cnlrn.restoration.plan import Plan
from cnlrn.restoration.size import Size
from cnlrn.server.problems import Problem

_Side = Annotated[int, Field(ge=1, le=10_000_000)]


class Wish(BaseModel):
    """What is asked of a picture's size, and of the model."""

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str | None, Field(max_length=100, description="One that /v1/models lists.")] = None
    scale: Annotated[
        float | None, Field(gt=0, le=1000, allow_inf_nan=False, description="Times as wide and high; 1 only deblurs.")
    ] = None
    width: Annotated[_Side | None, Field(description="Of the result in pixels, instead of a scale.")] = None
    height: Annotated[_Side | None, Field(description="Of the result in pixels, instead of a scale.")] = None
    force: Annotated[bool, Field(description="Deblur pictures that are sharp already, too.")] = False

    def size(self) -> Size:
        """CnlrnError where it makes no sense."""
        return Size(self.scale, self.width, self.height)


class Options(Wish):
    """What is asked for."""

    strength: Annotated[
        float,
        Field(ge=0, le=1, allow_inf_nan=False, description="How much of the restored picture is in the result."),
    ] = 1.0
    format: Annotated[
        Literal["png", "jpg", "webp", "tif", "avif"] | None,
        Field(description="Of the result; that of the picture, or PNG, if not given."),
    ] = None
    strip: Annotated[bool, Field(description="Leave out EXIF, XMP and IPTC metadata.")] = False


class Preview(BaseModel):
    """What is asked of a preview."""

    model_config = ConfigDict(extra="forbid")

    side: Annotated[int, Field(ge=1, le=8192, description="Pixels that it is wide and high at the most.")] = 2048


class PlanView(BaseModel):
    """What a picture is, how it is blurred, and what is done with it.

    Sizes in pixels; `extent` and `direction` (degrees) of the blur, `noise` in 255ths; `seconds` are expected on this
    server. `words` say it to a person.
    """

    width: int
    height: int
    action: Literal["enlarge", "deblur", "leave"]
    model: str | None
    result_width: int
    result_height: int
    seconds: float | None
    memory: int | None
    kind: Literal["sharp", "shake", "defocus"] | None = None
    extent: float | None = None
    direction: float | None = None
    noise: float | None = None
    jpeg_quality: int | None = None
    certainty: float | None = None
    words: str

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """The same facts as `plan` holds."""
        return cls(**plan.facts(), words=plan.expectation())


class State(StrEnum):
    """Of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (State.QUEUED, State.RUNNING)


class JobView(BaseModel):
    """How far a job is; `progress` is the part that is computed, 0 to 1.

    `plan` is known once it runs; `notes` tell what of the file is not in the result; `problem` says why it failed.
    """

    id: str
    state: State
    progress: float
    plan: PlanView | None = None
    notes: list[str] = []
    media_type: str | None = None
    suffix: str | None = None
    bytes: int | None = None
    problem: Problem | None = None


class ModelView(BaseModel):
    """A model that can be asked for; `limits` say what it does badly, a sentence each."""

    name: str
    description: str
    scales: list[int]
    limits: list[str]


class Limits(BaseModel):
    """What the server lets in."""

    max_pixels: int
    max_bytes: int
    queue: int
    seconds: float


class About(BaseModel):
    """The server: its version, the models, its limits, and whether it ends with the page's last tab."""

    version: str
    models: list[ModelView]
    formats: list[str]
    limits: Limits
    follows_tabs: bool


class Health(BaseModel):
    """Whether it lives, or can work."""

    status: str


class Session(BaseModel):
    """The token, to be kept in a cookie."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=1000)]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description, "content": {"application/problem+json": {}}}
    for status, description in {
        400: "The body is no form or the request makes no sense.",
        401: "The token is missing or wrong.",
        403: "The request comes from another site.",
        404: "There is no such thing here.",
        408: "The upload is too slow.",
        409: "The job is not finished.",
        410: "It was cancelled.",
        413: "Too many pixels or bytes.",
        415: "A kind of picture, or of body, that cannot be read.",
        421: "This server has another name.",
        422: "The picture cannot be read, or an option makes no sense.",
        429: "Too many pictures wait.",
        503: "No memory, or the server is being shut down.",
        504: "It takes too long.",
        507: "The server's disk is full.",
    }.items()
}
"""Responses that any route may give, for its description."""
