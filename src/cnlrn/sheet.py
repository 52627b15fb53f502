"""A before/after sheet: blurry LR pictures, enlarged, beside what was restored from them, as one PNG for the eye."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import pyvips

from cnlrn import pictures

_GAP = 16  # pixels
_LABEL_DPI = 144


def write_sheet(
    pairs: Iterable[tuple[str | os.PathLike[str], str | os.PathLike[str]]],
    path: str | os.PathLike[str],
    *,
    label: str = "after",
) -> None:
    """Write a sheet of one row a pair: on the left the LR picture, by bicubic interpolation as large as its partner.

    Args:
        pairs: files (LR picture, restored picture).
        path: the sheet, in the format of its extension.
        label: written over the restored pictures. Where no font is installed there are no labels.

    Raises:
        CnlrnError: a picture cannot be read or the sheet cannot be written.
    """
    rows: list[Any] = []
    for before_file, after_file in pairs:
        before, after = (_flat(pictures.read(file)) for file in (before_file, after_file))
        scale = after.width / before.width
        before = before.resize(scale, vscale=after.height / before.height, kernel="cubic")
        before, after = _labelled(before, f"before (bicubic x{scale:g})"), _labelled(after, label)
        rows.append(before.join(after, "horizontal", expand=True, shim=_GAP, background=255))
    sheet = reduce(lambda upper, row: upper.join(row, "vertical", expand=True, shim=_GAP, background=255), rows)
    sheet = sheet.embed(_GAP, _GAP, sheet.width + 2 * _GAP, sheet.height + 2 * _GAP, background=255)
    pictures.write(pictures.Picture(pictures.as_array(sheet)), Path(path))


def _flat(picture: pictures.Picture) -> Any:
    """The picture as 8-bit sRGB on a white ground."""
    image = pyvips.Image.new_from_buffer(pictures.encode(picture), "")
    if picture.icc is not None:
        image = image.icc_transform("srgb", embedded=True)
    image = image.colourspace("srgb")
    return image.flatten(background=255) if image.hasalpha() else image


def _labelled(image: Any, text: str) -> Any:
    """The picture under a line of text, or alone where no font is installed."""
    if not _has_font():
        return image
    ink = pyvips.Image.text(text, dpi=_LABEL_DPI)
    line = ink.invert().embed(0, 0, image.width, ink.height + _GAP // 2, background=255)
    return line.bandjoin([line, line]).join(image, "vertical", background=255)


def _has_font() -> bool:
    """Whether letters differ: without a font they are drawn as equal boxes."""
    narrow, wide = (pyvips.Image.text(letter, dpi=_LABEL_DPI) for letter in "iW")
    return bool(narrow.width != wide.width)
