"""A before/after sheet: blurry pictures, enlarged, beside what was restored from them, as one picture for the eye."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import pyvips

from cnlrn import images
from cnlrn.errors import CannotWrite

_GAP = 16  # pixels
_LABEL_DPI = 144
_LARGEST_SIDE = 4096  # of a picture on the sheet, pixels
_MAX_PIXELS = 16 * images.MAX_PIXELS  # what `restore` makes of the largest pictures that it takes


def write_sheet(
    pairs: Iterable[tuple[str | os.PathLike[str], str | os.PathLike[str]]],
    path: str | os.PathLike[str],
    *,
    label: str = "after",
    overwrite: bool = True,
) -> None:
    """Write a sheet of one row a pair: left the blurry picture, by bicubic interpolation as large as its partner.

    Both are shown smaller where the partner has more than 4096 pixels a side.

    Args:
        pairs: files (blurry picture, restored picture).
        path: the sheet, in the format of its extension.
        label: written over the restored pictures. Where no font is installed there are no labels.
        overwrite: replace a file that is there.

    Raises:
        CnlrnError: a picture cannot be read or the sheet cannot be written.
    """
    rows: list[Any] = []
    for before_file, after_file in pairs:
        before, after = (flat(file, _MAX_PIXELS) for file in (before_file, after_file))
        text = f"before (bicubic x{after.width / before.width:g})"
        shown = min(1.0, _LARGEST_SIDE / max(after.width, after.height))
        if shown < 1:
            after = after.resize(shown)
        before = before.resize(after.width / before.width, vscale=after.height / before.height, kernel="cubic")
        before, after = _labelled(before, text), _labelled(after, label)
        rows.append(before.join(after, "horizontal", expand=True, shim=_GAP, background=255))
    sheet = reduce(lambda upper, row: upper.join(row, "vertical", expand=True, shim=_GAP, background=255), rows)
    sheet = sheet.embed(_GAP, _GAP, sheet.width + 2 * _GAP, sheet.height + 2 * _GAP, background=255)
    try:
        pixels = images.as_array(sheet)
    except pyvips.Error as error:
        raise CannotWrite(f"the sheet {path} cannot be made ({error.message.strip()})") from error
    images.write(images.Picture(pixels, is_result=True), Path(path), overwrite=overwrite)


def flat(file: str | os.PathLike[str], max_pixels: int) -> Any:
    """The picture in a file as a libvips image, 8-bit sRGB on a white ground; errors as `images.open_picture`."""
    opened = images.open_picture(file, max_pixels)
    opened.decode()
    image = opened.image
    if image.format == "float":
        image = (image * 65535.0).rint().cast("ushort")
    gray = image.bands - opened.has_alpha == 1
    interpretations = {"uchar": ("srgb", "b-w"), "ushort": ("rgb16", "grey16")}
    image = image.copy(interpretation=interpretations[image.format][gray])
    if opened.icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", opened.icc)
        image = image.icc_transform("srgb", embedded=True)
    image = image.colourspace("srgb")
    return image.flatten(background=255) if opened.has_alpha else image


def _labelled(image: Any, text: str) -> Any:
    """The picture under a line of text, or alone where no font is installed."""
    if not _has_font():
        return image
    ink = pyvips.Image.text(text, dpi=_LABEL_DPI)
    height = pyvips.Image.text("(y)", dpi=_LABEL_DPI).height + _GAP // 2  # of all labels
    line = ink.invert().embed(0, 0, image.width, height, background=255)
    return line.bandjoin([line, line]).join(image, "vertical", background=255)


def _has_font() -> bool:
    """Whether letters differ: without a font they are drawn as equal boxes."""
    narrow, wide = (pyvips.Image.text(letter, dpi=_LABEL_DPI) for letter in "iW")
    return bool(narrow.width != wide.width)
