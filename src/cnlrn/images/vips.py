"""pyvips, set up for this package before its first call, and its errors in the words of `CnlrnError`.

Nothing here knows a file format. The other modules of this room take `pyvips` from here.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import re
from collections.abc import Iterator
from typing import Any

from cnlrn.errors import CnlrnError, UnreadablePicture, UnsupportedPicture
from cnlrn.images.room import no_room_for

os.environ.setdefault("VIPS_WARNING", "0")  # libvips shall print no warnings
os.environ.setdefault(
    "VIPS_CONCURRENCY", str(min(4, os.cpu_count() or 1))
)  # it holds more rows the more threads it has
import pyvips

_BELOW_ERRORS = 0b11111000  # GLib's levels: what ends no program

__all__ = ["Damaged", "damage", "failure", "load", "pyvips"]

pyvips.cache_set_max(0)  # a file may change between two readings of it


def _text(message: Any) -> str:
    """A message of libvips. It may quote bytes of a file or its name that are no UTF-8, at which pyvips' own fails."""
    return "" if message == pyvips.ffi.NULL else str(pyvips.ffi.string(message).decode(errors="replace"))


pyvips._remove_log_handler()  # Python called back from C swallows the exception of a signal that comes then
_NOTHING = ctypes.cast(ctypes.pythonapi.Py_IsInitialized, ctypes.c_void_p).value  # a function in C without effects
pyvips.glib_lib.g_log_set_handler(b"VIPS", _BELOW_ERRORS, pyvips.ffi.cast("GLogFunc", _NOTHING), pyvips.ffi.NULL)
pyvips.error._to_string = _text  # or libvips would keep the message, and every later call would fail at it


_STRICT = {"jpegload": "warning"}
"""What libvips calls the faults at which a loader has to fail, those that lose samples, if not "error"."""


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOENT, errno.EACCES, errno.EROFS)
"""What can go wrong with a temporary file: sources are read before libvips sees them."""


class Damaged(UnreadablePicture):
    """A picture file that is damaged or cut short."""

    @classmethod
    def named(cls, name: str) -> Damaged:
        """The error of the picture that is called so."""
        return cls(f"{name} is damaged or cut short")


def load(
    loader: str, content: bytes | mmap.mmap, *, keep: bool = False, fail_on: str | None = None, **options: Any
) -> Any:
    """The libvips image in the bytes of a file, which are not copied.

    `loader`: such as "pngload". `keep`: what cannot be decoded of a damaged file is left blank. `fail_on`: the faults
    at which it fails otherwise, by libvips' names; those that lose samples if None.
    """
    source = pyvips.Source.new_from_memory(content)
    if loader == "tiffload" and not keep:  # it refuses strips of more than 50 MB, `tiff_directory` what is no picture
        options["unlimited"] = True
    fail_on = "none" if keep else fail_on or _STRICT.get(loader, "error")
    image = getattr(pyvips.Image, f"{loader}_source")(source, fail_on=fail_on, **options)
    image._references.append(source)  # or the bytes could be gone before samples are asked for
    return image


@contextlib.contextmanager
def damage(name: str) -> Iterator[None]:
    """Name the picture that libvips could not decode, or the disk that has no room for what it decodes.

    libvips' own words are left out: those of all threads are in one place, so they may be about another picture.
    """
    try:
        yield
    except pyvips.Error as error:
        for code in _NO_ROOM:
            if os.strerror(code) in str(error.detail):
                raise no_room_for(name, os.strerror(code)) from error
        raise failure(name, error) from error


def failure(name: str, error: Exception) -> CnlrnError:
    """The error of a picture that a library could not decode, which is damage unless the library says otherwise."""
    if re.search("unsupported|not supported|not configured", str(getattr(error, "detail", error)), re.IGNORECASE):
        return UnsupportedPicture(f"{name} is of an unsupported kind; convert it to PNG or JPEG")
    return Damaged.named(name)
