"""The size of a result as users give it: a scale, or a width and height. What computes it is elsewhere."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cnlrn.errors import CnlrnError

_LARGEST = 100_000_000  # width, height or scale
AUTOMATIC = (4, 2, 1)
"""Scales to choose from where no size is given."""
_AUTOMATIC_PIXELS = 36_000_000
"""A result that nobody asked to be larger has at most so many pixels, unless the picture itself has more."""


@dataclass(frozen=True)
class Size:
    """The size of the result: `scale` times the input, or `width` and `height` in pixels.

    One of `width` and `height` is enough; the other follows. Both together may change the picture's proportions.
    Without any of the three, the size is automatic: it follows from the picture's own size, see `settled`.

    Raises:
        CnlrnError: a value is not a number, not positive or far too large, a width or height is not whole, or a scale
            is given with a width or height.
    """

    scale: float | None = None
    width: int | None = None
    height: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense; numbers of other libraries become Python's."""
        for name in ("scale", "width", "height"):
            value = getattr(self, name)
            if value is None:
                continue
            number = whole(name, value) if name != "scale" else _real(name, value)
            if not 0 < number <= _LARGEST:
                raise CnlrnError(f"{name} must be more than 0 and at most {_LARGEST}, not {shown(value)}")
            object.__setattr__(self, name, number if name != "scale" else float(number))
        if self.scale is not None and (self.width or self.height):
            raise CnlrnError("give either a scale or a width and height, not both")

    @property
    def is_automatic(self) -> bool:
        """Whether nothing was given."""
        return self.scale is self.width is self.height is None

    def settled(self, width: int, height: int, scales: Sequence[int] = AUTOMATIC) -> Size:
        """The size for a picture of `width` x `height` pixels: itself, unless it is automatic.

        An automatic size becomes the largest of `scales` at which the result has at most 36 megapixels, or the smallest
        of them.
        """
        if not self.is_automatic:
            return self
        fitting = [scale for scale in scales if width * height * scale**2 <= _AUTOMATIC_PIXELS]
        return Size(max(fitting, default=min(scales)))

    @property
    def tag(self) -> str:
        """For file names: x4, w1920, h1080 or 1920x1080; "restored" if the size is automatic."""
        if self.is_automatic:
            return "restored"
        if self.width and self.height:
            return f"{self.width}x{self.height}"
        if self.width or self.height:
            return f"w{self.width}" if self.width else f"h{self.height}"
        return f"x{self.scale:g}"

    def enlarges(self, width: int, height: int) -> bool:
        """Whether a picture of `width` x `height` pixels becomes wider or higher."""
        result_width, result_height = self.of(width, height)
        return result_width > width or result_height > height

    def of(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what a picture of `width` x `height` pixels becomes, at least 1x1."""
        if self.is_automatic:
            return self.settled(width, height).of(width, height)
        if self.width or self.height:
            factor = (self.width / width) if self.width else (self.height or 1) / height
            wanted = (self.width or width * factor, self.height or height * factor)
        else:
            assert self.scale is not None
            wanted = (width * self.scale, height * self.scale)
        return max(1, round(wanted[0])), max(1, round(wanted[1]))


def whole(name: str, value: Any) -> int:
    """A whole number that was given as `name`, as Python's; CnlrnError where it is none."""
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise CnlrnError(f"{name} must be a whole number, not {shown(value)}")


def count(name: str, value: Any) -> Any:
    """A number of at least 1 that was given as `name`, or None; CnlrnError where it is neither."""
    if value is None:
        return None
    number = whole(name, value)
    if number < 1:
        raise CnlrnError(f"{name} must be at least 1, not {shown(value)}")
    return number


def shown(value: Any) -> str:
    """What was given, short enough for a sentence."""
    try:
        text = repr(value) if not isinstance(value, numbers.Number) else str(value)
    except ValueError:  # Python writes no more than 4300 digits
        return "a number of thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:37]}..."


def _real(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise CnlrnError(f"{name} must be a number, not {shown(value)}")
    return value  # type: ignore[return-value]
