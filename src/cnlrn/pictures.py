"""The public names of `cnlrn.images`."""

from cnlrn.images import (
    MAX_PIXELS,
    SUFFIXES,
    LazyPicture,
    Picture,
    Pixels,
    Spool,
    as_array,
    as_vips,
    check_target,
    encode,
    format_of,
    from_cmyk,
    open_picture,
    read,
    write,
)

__all__ = [
    "MAX_PIXELS",
    "SUFFIXES",
    "LazyPicture",
    "Picture",
    "Pixels",
    "Spool",
    "as_array",
    "as_vips",
    "check_target",
    "encode",
    "format_of",
    "from_cmyk",
    "open_picture",
    "read",
    "write",
]
