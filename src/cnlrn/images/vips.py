"""pyvips, set up for this package before its first call, and its errors in the words of `CnlrnError`.

Nothing here knows a file format. The other modules of this room take `pyvips` from here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

from cnlrn.errors import CnlrnError

os.environ.setdefault("VIPS_WARNING", "0")  # libvips shall print no warnings
import pyvips

__all__ = ["because", "damage", "failure", "pyvips"]

pyvips.cache_set_max(0)  # a file may change between two readings of it


def _text(message: Any) -> str:
    """A message of libvips. It may quote bytes of a file or its name that are no UTF-8, at which pyvips' own fails."""
    return "" if message == pyvips.ffi.NULL else str(pyvips.ffi.string(message).decode(errors="replace"))


pyvips._remove_log_handler()  # Python called back from C swallows the exception of a signal that comes then
pyvips.error._to_string = _text  # or libvips would keep the message, and every later call would fail at it


@contextlib.contextmanager
def damage(name: str) -> Iterator[None]:
    """Name the picture that libvips could not decode."""
    try:
        yield
    except pyvips.Error as error:
        raise failure(name, error) from error


def failure(name: str, error: Exception) -> CnlrnError:
    """The error of a picture that a library could not decode, which is damage unless the library says otherwise."""
    unsupported = re.search("unsupported|not supported|not configured", str(getattr(error, "detail", error)), re.I)
    what = "is of an unsupported kind" if unsupported else "is damaged or cut short"
    return CnlrnError(f"{name} {what}{because(error)}")


def because(error: Exception) -> str:
    """The first line of libvips' message, or of another's, in brackets; nothing if it has none."""
    lines = [line.strip() for line in str(getattr(error, "detail", error)).splitlines() if line.strip()]
    return f" ({lines[0]})" if lines else ""
