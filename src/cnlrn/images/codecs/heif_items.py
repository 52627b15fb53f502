"""What the boxes of a HEIF or AVIF file say of its pictures: which is the primary one, how coded, of which colours.

Sources: ISO/IEC 14496-12 (boxes) and ISO/IEC 23008-12 (items, properties, references). Nothing is decoded here, and
numbers in a file are never trusted: what points beyond its end is a `struct.error`.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cnlrn.images.codecs import video_headers

Data = bytes | mmap.mmap
_APPLE_GAIN_MAP = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"
_DERIVED = (b"grid", b"iden", b"iovl")  # pictures that are made of others
_PICTURES = (*_DERIVED, b"av01", b"hvc1", b"jpeg", b"avc1", b"unci", b"j2k1", b"vvc1", b"evc1")
_COMPANIONS = (b"auxl", b"thmb")  # references from alpha, depth and previews
_MOST_ITEMS = 100_000
_HEADERS = 512  # bytes of a coded picture, before its samples
_BLOCK = 64  # pixels a side, of HEVC and less of AV1


class Property(NamedTuple):
    """What is told of an item; `needed`: a reader must know it."""

    kind: bytes
    value: bytes
    needed: bool


@dataclass
class Item:
    """A picture, coded or made of others, or metadata; `details`: what follows the kind in its entry."""

    kind: bytes
    hidden: bool = False
    details: bytes = b""
    properties: list[Property] = field(default_factory=list)
    pieces: list[range] = field(default_factory=list)


@dataclass(frozen=True)
class Container:
    """The items of a file by their numbers, `primary` among them, and references: kind, from, to. `data` is the file.

    `is_sequence`: the file is a clip, of which no picture is the primary one. `has_video`: one lies behind the picture
    ("mpvd" of Android's Motion Photo).
    """

    data: Data
    items: dict[int, Item]
    references: list[tuple[bytes, int, list[int]]]
    primary: int
    is_sequence: bool
    has_video: bool

    def coding(self) -> bytes:
        """The type of coded item that the primary picture is, or is made of."""
        return self.items[self._coded(self.primary)].kind

    def size(self) -> tuple[int, int]:
        """Width and height of the primary picture before it is turned; 0x0 if not told."""
        told, cut = self._property(b"ispe"), self._property(b"clap")
        width, height = struct.unpack_from(">II", told, 4) if told else (0, 0)
        if cut is not None:  # a few rows or columns, which only fill up the last block
            across, across_of, down, down_of = struct.unpack_from(">IIII", cut)
            clean = across // max(1, across_of), down // max(1, down_of)
            if 0 <= width - clean[0] < _BLOCK and 0 <= height - clean[1] < _BLOCK:
                return clean
        return width, height

    def code_points(self) -> tuple[int, int] | None:
        """Primaries and transfer characteristics of the primary picture, unless it has an ICC profile.

        They are those of "nclx", and without it those that the coded picture tells by itself.
        """
        coded = self._coded(self.primary)
        for number in (self.primary, coded):
            told = [each.value for each in self.items[number].properties if each.kind == b"colr"]
            if any(value[:4] in (b"prof", b"rICC") for value in told):
                return None
            for value in told:
                if value[:4] == b"nclx":
                    return struct.unpack_from(">HH", value, 4)
        with contextlib.suppress(struct.error, IndexError):  # whoever decodes it finds out what is wrong
            for each in self.items[coded].properties:
                if each.kind == b"hvcC":
                    return video_headers.hevc_code_points(each.value)
                if each.kind == b"av1C":
                    return video_headers.av1_code_points(each.value[4:] + self.content(coded, _HEADERS))
        return None

    def content(self, number: int, most: int | None = None) -> bytes:
        """The bytes of an item, or the first of them."""
        found = b""
        for piece in self.items[number].pieces:
            found += self.data[piece.start : piece.stop if most is None else min(piece.stop, piece.start + most)]
            if most is not None and len(found) >= most:
                break
        return found

    def is_premultiplied(self) -> bool:
        """Whether the colours of the primary picture are multiplied by its alpha."""
        return any(kind == b"prem" and source == self.primary for kind, source, _ in self.references)

    def others(self) -> int:
        """How many pictures lie beside the primary one: not hidden, no part, preview or companion of another."""
        parts = {number for kind, _, to in self.references if kind == b"dimg" for number in to}
        companions = {source for kind, source, _ in self.references if kind in _COMPANIONS}
        return sum(
            item.kind in _PICTURES and not item.hidden and number not in parts | companions | {self.primary}
            for number, item in self.items.items()
        )

    def has_gain_map(self) -> bool:
        """Whether the file says how to brighten the picture on an HDR screen."""
        return any(
            item.kind == b"tmap"
            or any(each.kind == b"auxC" and _APPLE_GAIN_MAP in each.value for each in item.properties)
            for item in self.items.values()
        )

    def _coded(self, number: int) -> int:
        """The item itself, or the first coded one that it is made of."""
        for _ in range(8):  # deeper ones are nonsense, or go round in circles
            if self.items[number].kind not in _DERIVED:
                break
            made_of = [to for kind, source, to in self.references if kind == b"dimg" and source == number and to]
            if not made_of:
                break
            number = made_of[0][0]
        return number

    def _property(self, wanted: bytes) -> bytes | None:
        return next((each.value for each in self.items[self.primary].properties if each.kind == wanted), None)


def container(data: Data) -> Container:
    """Read what a file says of its items.

    Raises:
        struct.error, KeyError, IndexError, ValueError: nonsense, or cut short.
    """
    top = dict(reversed(list(_boxes(data, 0, len(data)))))
    brand = data[8:12]
    is_sequence = brand in (b"avis", b"hevc", b"hevx", b"msf1") or (b"meta" not in top and b"moov" in top)
    if is_sequence:
        return Container(data, {}, [], 0, True, False)
    parts = dict(_boxes(data, top[b"meta"].start + 4, top[b"meta"].stop))
    (primary,) = _numbers(data, parts[b"pitm"], wide=data[parts[b"pitm"].start] > 0)[:1]
    items = _items(data, parts[b"iinf"])
    _assign(items, data, parts[b"iprp"])
    references = list(_references(data, parts[b"iref"])) if b"iref" in parts else []
    if primary not in items:
        raise KeyError(primary)
    if b"iloc" in parts:
        _place(items, data, parts[b"iloc"], parts.get(b"idat", range(0)))
    return Container(data, items, references, primary, False, b"mpvd" in top)


def _boxes(data: Data, start: int, stop: int) -> Iterator[tuple[bytes, range]]:
    """Types of the boxes one after the other between two places, and where in `data` the content of each lies."""
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start + 8)
            head = 16
        end = start + size if size else stop
        if (size and size < head) or end > stop:
            raise struct.error("a box ends beyond the one around it")
        yield kind, range(start + head, end)
        start = end


def _numbers(data: Data, box: range, wide: bool, skip: int = 4) -> list[int]:
    """The numbers, of 2 or 4 bytes, in a box from `skip` on."""
    size = 4 if wide else 2
    return [int.from_bytes(data[at : at + size]) for at in range(box.start + skip, box.stop - size + 1, size)]


def _items(data: Data, box: range) -> dict[int, Item]:
    items: dict[int, Item] = {}
    wide = data[box.start] > 0
    for _, entry in _boxes(data, box.start + (8 if wide else 6), box.stop):
        version, hidden = data[entry.start], bool(data[entry.start + 3] & 1)
        form = ">I2x4s" if version == 3 else ">H2x4s"
        number, kind = struct.unpack_from(form, data, entry.start + 4)
        details = data[entry.start + (14 if version == 3 else 12) : entry.stop]
        _check_text(details)
        items[number] = Item(kind, hidden, details)
        if len(items) > _MOST_ITEMS:
            raise struct.error("too many items")
    return items


def _check_text(text: bytes) -> None:
    """struct.error if it is no UTF-8, at which pi-heif would bring down the process."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise struct.error("letters that are none") from error


def _assign(items: dict[int, Item], data: Data, box: range) -> None:
    """Give items the properties that are associated with them."""
    inner = list(_boxes(data, box.start, box.stop))
    store = dict(inner)[b"ipco"]
    properties = [(kind, data[place.start : place.stop]) for kind, place in _boxes(data, store.start, store.stop)]
    for kind, value in properties:
        if kind == b"auxC":
            _check_text(value[4:].partition(b"\0")[0])
    for kind, place in inner:
        if kind != b"ipma":
            continue
        version, wide = data[place.start], data[place.start + 3] & 1
        (count,) = struct.unpack_from(">I", data, place.start + 4)
        at = place.start + 8
        for _ in range(count):
            number, length = struct.unpack_from(">HB" if version == 0 else ">IB", data, at)
            at += 3 if version == 0 else 5
            mark = 0x8000 if wide else 0x80
            for told in struct.unpack_from(f">{length}{'H' if wide else 'B'}", data, at):
                index = told & (mark - 1)
                if index and number in items:
                    kind, value = properties[index - 1]
                    items[number].properties.append(Property(kind, value, bool(told & mark)))
            at += length * (2 if wide else 1)


def _place(items: dict[int, Item], data: Data, box: range, inside: range) -> None:
    """Tell items where in the file, or in the box `inside`, their bytes are."""
    version, sizes, base_size = data[box.start], data[box.start + 4], data[box.start + 5]
    at = box.start + 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > box.stop:
            raise struct.error("a place is missing")
        return int.from_bytes(data[at - size : at])

    wide = 4 if version == 2 else 2
    for _ in range(number(wide)):
        item = items.get(number(wide))
        method = number(2) & 15 if version else 0
        number(2)  # of a file elsewhere
        base = number(base_size >> 4)
        extents = number(2)
        if extents > 1 and not sizes:
            raise struct.error("pieces without places")
        for _ in range(extents):
            number(base_size & 15 if version else 0)
            start, length = base + number(sizes >> 4), number(sizes & 15)
            if method == 1:
                start += inside.start
            if item is not None and method < 2:
                stop = start + length if length else len(data)
                item.pieces.append(range(min(start, len(data)), min(stop, len(data))))


def _references(data: Data, box: range) -> Iterator[tuple[bytes, int, list[int]]]:
    wide = data[box.start] > 0
    for kind, place in _boxes(data, box.start + 4, box.stop):
        size = 4 if wide else 2
        (source,) = _numbers(data, place[:size], wide, skip=0)
        yield kind, source, _numbers(data, place, wide, skip=size + 2)
