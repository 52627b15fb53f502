"""Decides what to do with a picture before anything is computed, from its size, its blur and what is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from cnlrn.restoration.blur import Blur
from cnlrn.restoration.size import Size

_SURE = 0.5
"""Certainty from which a picture counts as sharp."""

_ENLARGED = 9.0
"""Extent of a shake in pixels up to which a picture is enlarged without being deblurred first."""
_LONGEST = 64.0
"""Longest shake in pixels that cnlrn-own knows."""
_WORKING_SCALES = (1, 2, 4)

Action = Literal["enlarge", "deblur", "leave"]


@dataclass(frozen=True)
class Plan:
    """What is done with a picture.

    Attributes:
        width: width of the picture in pixels.
        height: height of the picture in pixels.
        blur: the estimate of its blur. None if a model was named, so that nothing depends on the blur.
        action: "enlarge", "deblur" at its own size, or "leave" a sharp picture as it is.
        model: name of the model that computes. None to leave.
        size: the size that was asked for.
        result_width: width of the result in pixels.
        result_height: height of the result in pixels.
        working_scale: by how much the picture is reduced for cnlrn-own, which deblurs it, also before it is enlarged.
            None if that model takes no part, or if it was named.
        seconds: the time that `Restorer.inspect` expects on this machine.
        memory: the memory that `Restorer.inspect` expects at most, in bytes.
    """

    width: int
    height: int
    blur: Blur | None
    action: Action
    model: str | None
    size: Size
    result_width: int
    result_height: int
    working_scale: int | None = None
    seconds: float | None = None
    memory: int | None = None

    def facts(self) -> dict[str, Any]:
        """The same as a flat dictionary, for JSON."""
        facts = asdict(self)
        del facts["size"]
        return facts | (facts.pop("blur") or {})

    def words(self) -> str:
        """What is done, as a sentence for people."""
        before, after = f"{self.width}x{self.height}", f"{self.result_width}x{self.result_height}"
        if self.action == "leave":
            return f"{before}, sharp already and left as it is (--force deblurs it)"
        if before == after:
            blur = "" if self.blur is None else f" ({_seen(self.blur)})"
            return f"{before}, deblurred at its size{blur}"
        return f"{before} -> {after}" + (", deblurred first" if self.working_scale else "")

    def expectation(self) -> str:
        """What the picture is and what would be done, as a sentence for people."""
        blur = "" if self.blur is None else f", {self.blur.words()}"
        costs = ""
        if self.seconds and self.memory:
            costs = f", in about {self.seconds:.2g} s and {_size(self.memory)} of memory"
        done = {
            "leave": "sharp already and would be left as it is",
            "deblur": f"{self.model} would deblur it at its size",
            "enlarge": f"{self.model} would enlarge it to {self.result_width}x{self.result_height}"
            + (", deblurred first" if self.working_scale else ""),
        }[self.action]
        return f"{self.width}x{self.height}{blur}; {done}{costs}"


def _size(memory: int) -> str:
    return f"{memory / 1e9:.1f} GB" if memory >= 1e9 else f"{memory / 1e6:.0f} MB"


def _seen(blur: Blur) -> str:
    extent = f"about {blur.extent:.0f} pixels"
    return {"sharp": "hardly blurred", "shake": f"shake of {extent}", "defocus": f"out of focus by {extent}"}[blur.kind]


def working_scale_for(blur: Blur, action: Action) -> int | None:
    """The working scale at which cnlrn-own deblurs a picture of this blur. None if it does not.

    cnlrn-own handles shakes of up to 64 pixels, the models that enlarge only shorter ones.
    """
    extent = blur.extent if blur.kind == "shake" else 0.0
    if action == "enlarge" and extent <= _ENLARGED:
        return None
    return next((scale for scale in _WORKING_SCALES if extent <= scale * _LONGEST), _WORKING_SCALES[-1])


def action(blur: Blur | None, *, grows: bool, force: bool) -> Action:
    """What to do with a picture of this blur. `grows`: the result is larger than the picture. `force`: restore a sharp
    picture too.
    """
    if grows:
        return "enlarge"
    is_sharp = blur is not None and blur.kind == "sharp" and blur.certainty >= _SURE
    return "leave" if is_sharp and not force else "deblur"
