"""What the directories of a TIFF file say: pages, how samples are laid out, and whether the file can hold them.

Sources: TIFF 6.0 (Adobe, 1992), TIFF Technical Notes 1 and 2, and BigTIFF, which has 64-bit offsets. Nothing here
decodes samples. Numbers in a file are never trusted: what points beyond its end is a `Damaged`, and counts are compared
with what the picture needs before anything is read.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Data = bytes | mmap.mmap
Numbers = NDArray[Any]
"""int64 or float64."""

KIND, OLD_KIND = 254, 255  # NewSubfileType: bits; SubfileType: a number
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_SIZES = 273, 274, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR, RESOLUTION_UNIT = 282, 283, 284, 296
TRANSFER, PREDICTOR, WHITE, PRIMARIES, PALETTE = 301, 317, 318, 319, 320
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES = 322, 323, 324, 325
INK_SET, INKS, EXTRA, FORMAT, COEFFICIENTS, SUBSAMPLING, REFERENCE = 332, 334, 338, 339, 529, 530, 532
INNER_PAGES, XMP, ICC, DNG = 330, 700, 34675, 50706
EXIF, INTEROPERABILITY, COLOUR_SPACE = 34665, 40965, 40961

NONE, LZW, JPEG, PACKBITS = 1, 5, 7, 32773
"""Compressions."""

DEFLATE, FAX = (8, 32946), (2, 3, 4)

_TYPES = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 11: "f4", 12: "f8", 13: "u4", 16: "u8", 18: "u8"}
_BYTES, _RATIONALS = (1, 2, 6, 7), {5: "u4", 10: "i4"}
_MOST_PAGES = 10_000
_MOST_ENTRIES = 200_000  # of all directories
_MOST_PIECES = 2**22
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType


class Damaged(Exception):
    """The file contradicts itself or is cut short; the text says how, in a few words."""


@dataclass(frozen=True)
class Page:
    """One directory: its entries by tag as type, count, and where the values lie in `data`."""

    data: Data
    order: Literal["<", ">"]
    big: bool
    entries: dict[int, tuple[int, int, int]]

    def __contains__(self, tag: int) -> bool:
        """Whether there is such an entry."""
        return tag in self.entries

    def numbers(self, tag: int, default: tuple[float, ...] = (), most: int = 2**16 * 3) -> Numbers:
        """The numbers of a tag; Damaged if they are more than `most`, no numbers, or beyond the end."""
        if tag not in self.entries:
            return np.array(default)
        kind, count, place = self.entries[tag]
        if count > most:
            raise Damaged(f"tag {tag} has {count} values")
        pair = kind in _RATIONALS
        form = _RATIONALS.get(kind) or _TYPES.get(kind)
        if form is None:
            raise Damaged(f"tag {tag} holds no numbers")
        dtype = np.dtype(form).newbyteorder(self.order)
        raw = self._bytes(place, count * dtype.itemsize * (2 if pair else 1))
        values = np.frombuffer(raw, dtype)
        if pair:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.nan_to_num(values[::2] / values[1::2].astype(np.float64))
        return values.astype(np.float64 if dtype.kind == "f" else np.int64)

    def whole_numbers(self, tag: int, default: tuple[int, ...] = (), most: int = 2**16 * 3) -> NDArray[np.int64]:
        """The numbers of a tag; Damaged as `numbers`, or if they have fractions."""
        values = self.numbers(tag, default, most)
        if len(values) and values.dtype != np.int64:
            raise Damaged(f"tag {tag} holds no whole numbers")
        return values.astype(np.int64)

    def number(self, tag: int, default: int) -> int:
        """The first whole number of a tag."""
        values = self.whole_numbers(tag)
        return int(values[0]) if len(values) else default

    def block(self, tag: int) -> bytes | None:
        """The bytes of a tag that holds bytes, None if there is none or it lies beyond the end."""
        kind, count, place = self.entries.get(tag, (0, 0, 0))
        whole = kind in _BYTES and place + count <= len(self.data)
        return self.data[place : place + count] if count and whole else None

    def text(self, tag: int) -> bytes:
        """The text of a tag without its final zeros; nothing if it holds no text."""
        return (self.block(tag) or b"").rstrip(b"\0")

    def inner(self, tag: int) -> Page | None:
        """The directory that a tag points to, None if it points nowhere."""
        if tag not in self.entries:
            return None
        try:
            return _page(self.data, self.order, self.big, self.number(tag, 0))[0]
        except Damaged:
            return None

    def _bytes(self, start: int, length: int) -> bytes:
        if start + length > len(self.data):
            raise Damaged("a value lies beyond its end")
        return self.data[start : start + length]

    @property
    def width(self) -> int:
        """In pixels."""
        return self.number(WIDTH, 0)

    @property
    def height(self) -> int:
        """In pixels."""
        return self.number(HEIGHT, 0)

    @property
    def samples(self) -> int:
        """How many a pixel has."""
        return self.number(SAMPLES, 1)

    @cached_property
    def bits(self) -> int:
        """Of a sample; 0 if they differ."""
        given = set(self.whole_numbers(BITS, (1,)).tolist())
        return given.pop() if len(given) == 1 else 0

    @property
    def compression(self) -> int:
        """As TIFF numbers them; 1 is none."""
        return self.number(COMPRESSION, 1)

    @property
    def photometric(self) -> int:
        """What samples mean, as TIFF numbers it; gray or RGB if the file does not say."""
        return self.number(PHOTOMETRIC, 2 if self.samples >= 3 else 1)

    @property
    def is_separate(self) -> bool:
        """Whether each channel is stored by itself."""
        return self.number(PLANAR, 1) == 2 and self.samples > 1

    @property
    def is_tiled(self) -> bool:
        """Whether it is stored in tiles instead of strips."""
        return TILE_WIDTH in self.entries

    @property
    def is_reduced(self) -> bool:
        """Whether it is a small version of another picture in the file."""
        return bool(self.number(KIND, 0) & _REDUCED) or self.number(OLD_KIND, 1) == 2

    @property
    def is_mask(self) -> bool:
        """Whether it only says which pixels of another are transparent."""
        return bool(self.number(KIND, 0) & _MASK) or self.photometric == 4

    @property
    def piece(self) -> tuple[int, int]:
        """Width and height of a strip or tile in pixels."""
        if self.is_tiled:
            return self.number(TILE_WIDTH, 0), self.number(TILE_HEIGHT, 0)
        return self.width, min(self.number(ROWS, self.height), self.height)

    @property
    def subsampling(self) -> tuple[int, int]:
        """How many pixels share a sample of chroma, across and down; 1 and 1 unless the samples are YCbCr."""
        if self.photometric != 6:
            return 1, 1
        told = self.whole_numbers(SUBSAMPLING, (2, 2)).tolist()
        return (told[0], told[1]) if len(told) > 1 else (0, 0)

    @property
    def fault(self) -> str:
        """What libvips calls the faults of the page at which samples are lost."""
        return "warning" if self.is_tiled or self.compression in (JPEG, PACKBITS) else "error"  # it warns of old LZW

    @property
    def predictor(self) -> int:
        """How samples are told from those before them, as TIFF numbers it; 1 is not at all."""
        return self.number(PREDICTOR, 1) if self.compression in (LZW, *DEFLATE) else 1


def pages(data: Data) -> Iterator[Page]:
    """The directories of the file, in order. Damaged where one lies beyond the end or they go round in circles."""
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    form, at = (order + "Q", 8) if big else (order + "I", 4)
    if len(data) < 16:
        raise Damaged("it ends too soon")
    (start,) = struct.unpack_from(form, data, at)
    seen: set[int] = set()
    entries = 0
    while start:
        if start in seen or len(seen) >= _MOST_PAGES:
            raise Damaged("its directories go round in circles")
        seen.add(start)
        page, start, count = _page(data, order, big, start)
        entries += count
        if entries > _MOST_ENTRIES:
            raise Damaged("its directories have too many entries")
        yield page


def _page(data: Data, order: Literal["<", ">"], big: bool, start: int) -> tuple[Page, int, int]:
    """The directory at a place, the place of the next one, and how many entries it has."""
    form, wide, size = ("Q", "Q", 20) if big else ("H", "I", 12)
    try:
        (count,) = struct.unpack_from(order + form, data, start)
        at = start + struct.calcsize("=" + form)
        if at + count * size > len(data):
            raise Damaged("its directory lies beyond its end")
        if count > 2**16:  # as many as there are tags
            raise Damaged("its directory has too many entries")
        entries: dict[int, tuple[int, int, int]] = {}
        for place in range(at, at + count * size, size):
            tag, kind, length = struct.unpack_from(order + "HH" + wide, data, place)
            values = place + 4 + struct.calcsize("=" + wide)
            if length * _size_of(kind) > struct.calcsize("=" + wide):
                (values,) = struct.unpack_from(order + wide, data, values)
            entries.setdefault(tag, (kind, length, values))
        tail = data[at + count * size : at + count * size + struct.calcsize("=" + wide)]
        following = struct.unpack(order + wide, tail)[0] if len(tail) == struct.calcsize("=" + wide) else 0
    except (struct.error, OverflowError) as error:
        raise Damaged("its directory lies beyond its end") from error
    return Page(data, order, big, entries), following, count


def _size_of(kind: int) -> int:
    if kind in _RATIONALS:
        return 8
    return np.dtype(_TYPES[kind]).itemsize if kind in _TYPES else 1


def pieces(page: Page) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the strips or tiles of the page begin, and how many bytes each has.

    Raises:
        Damaged: some are missing, too short, or out of all proportion to the picture.
    """
    across, down = page.piece
    if across < 1 or down < 1:
        raise Damaged("its strips or tiles have no size")
    columns, rows = -(-page.width // across), -(-page.height // down)
    count = columns * rows * (page.samples if page.is_separate else 1)
    if count > _MOST_PIECES or columns * rows * across * down > 4 * page.width * page.height + 2**22:
        raise Damaged("its strips or tiles do not fit its size")
    places, sizes = (TILES, TILE_SIZES) if page.is_tiled and TILES in page else (STRIPS, STRIP_SIZES)
    starts = page.whole_numbers(places, most=2 * _MOST_PIECES)[:count]
    least = _uncompressed(page, columns, rows) if page.compression == NONE else np.full(count, 1)
    lengths = least
    if sizes in page:
        lengths = page.whole_numbers(sizes, most=2 * _MOST_PIECES)[:count]
    elif page.compression != NONE:  # as old programs write it
        lengths = len(page.data) - starts
    if len(starts) < count or len(lengths) < count or (starts < 8).any() or (lengths < least).any():
        raise Damaged("strips or tiles are missing or too short")
    if (starts > len(page.data)).any() or (lengths > len(page.data) - starts).any():
        raise Damaged("it ends before its last strip or tile")
    if sizes in page and lengths.sum() > 4 * len(page.data) + 2**20:
        raise Damaged("its strips or tiles overlap")
    return starts, lengths


def _uncompressed(page: Page, columns: int, rows: int) -> NDArray[np.int64]:
    """The bytes that each strip or tile needs without compression."""
    across, down = page.piece
    h, v = page.subsampling
    samples = 1 if page.is_separate else page.samples
    if (h, v) != (1, 1) and not page.is_separate:
        unit = h * v + 2
        lines = np.full(rows, -(-down // v) * -(-across // h) * unit)
        last = -(-(page.height - (rows - 1) * down) // v) * -(-across // h) * unit
    else:
        row = (across * samples * page.bits + 7) // 8
        lines, last = np.full(rows, down * row), (page.height - (rows - 1) * down) * row
    if not page.is_tiled:
        lines[-1] = last
    return np.tile(np.repeat(lines, columns), page.samples if page.is_separate else 1)
