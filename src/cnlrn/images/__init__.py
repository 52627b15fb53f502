"""Picture files in and out, by libvips.

A file is opened as a `LazyPicture`, whose samples are decoded when they are asked for, and read whole as a `Picture`:
upright pixels with the alpha channel apart, and what the file said besides (ICC profile, EXIF, XMP, resolution). Either
becomes a file in one step. A `Spool` holds rows that are being computed. This room does not compute on pixels beyond
what a file format asks for (CMYK to RGB, fewer bits a sample, no alpha).
"""

from cnlrn.images.colour import from_cmyk
from cnlrn.images.picture import MAX_PIXELS, LazyPicture, Picture, Pixels, as_array, as_vips
from cnlrn.images.reading import SUFFIXES, open_picture, read
from cnlrn.images.spool import Spool
from cnlrn.images.writing import check_target, encode, format_of, left_out, result_format, write

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
    "left_out",
    "open_picture",
    "read",
    "result_format",
    "write",
]
