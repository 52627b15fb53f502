"""How much work a reader takes on for one picture, checked before the work; all of it grows with one limit of pixels.

A file may be small and claim to be huge, or be huge and hold little.
"""

from __future__ import annotations

from cnlrn.errors import TooLarge
from cnlrn.images.picture import MAX_PIXELS

_BYTES = 2**30  # of a file, for MAX_PIXELS or less
_DECODER_BYTES = 2**30  # of memory for a decoder that holds the whole picture


def max_bytes(max_pixels: int) -> int:
    """The largest file in bytes that is read where pictures of at most `max_pixels` pixels are: 1 GiB or more."""
    return max(_BYTES, _BYTES * max_pixels // MAX_PIXELS)


def check_bytes(size: int, max_pixels: int, name: str) -> None:
    """CnlrnError if a file of `size` bytes is larger than `max_bytes`."""
    limit = max_bytes(max_pixels)
    if size > limit:
        raise TooLarge(
            f"{name} has more than {limit / 1e6:.0f} MB, the limit for a picture file; "
            "if it is what you want, raise the limit (--max-pixels, in proportion)"
        )


def check_decoder(width: int, height: int, pixel: int, max_pixels: int, name: str) -> None:
    """CnlrnError if a decoder that takes `pixel` bytes of memory a pixel needs more than 1 GiB for MAX_PIXELS."""
    need, limit = width * height * pixel, max(_DECODER_BYTES, _DECODER_BYTES * max_pixels // MAX_PIXELS)
    if need > limit:
        raise TooLarge(
            f"{name} has {width}x{height} pixels, and reading it would take {need / 1e9:.1f} GB of memory; "
            f"if it is what you want, raise the limit (--max-pixels {-(-need * MAX_PIXELS // _DECODER_BYTES)})"
        )
