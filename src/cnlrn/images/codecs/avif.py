"""Large AVIF files as a grid of tiles, each encoded by itself: an encoder holds a whole picture, 35 bytes a pixel.

Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (items, their properties and references, the grid) and AV1 Image
File Format 1.1 (AOM, 2022). Nothing here looks into samples: tiles are small AVIF files whose parts are put together
anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnlrn.images.codecs.heif_items import container

SMALLEST = 512
"""Least width and height of a tile in pixels. Tiles at the right and the bottom are filled up and cut by the reader."""

_MOST = 120
"""Tiles in a picture: readers such as libheif refuse files of more than 256 items, and alpha has tiles of its own."""
_STEP = 64
_ADDED = ("Exif", "mime")  # types of the items that hold EXIF and XMP
_OF_TILES_ONLY = (b"av1C", b"ispe")  # properties of the coded picture, which a grid does not have, or has of its own


@dataclass
class _Item:
    """One item: a coded picture, a grid of them, or metadata.

    `details` are what follows the type in its entry; a property comes with whether a reader must know it.
    """

    kind: str
    content: bytes
    details: bytes = b"\0"
    hidden: bool = False
    properties: list[tuple[bytes, bool]] = field(default_factory=list)
    references: list[tuple[bytes, list[int]]] = field(default_factory=list)


def grid(image: Any, encode: Callable[[Any], bytes], exif: bytes | None = None) -> list[bytes]:
    """The bytes of an AVIF file of `image`, a libvips image that may be readable from top to bottom only, in pieces.

    `encode` makes an AVIF file of one still picture, with or without alpha, of any libvips image like it. Metadata and
    profile are those of the first tile's file, and a block of EXIF. No more than a row of tiles is held uncompressed.
    """
    side = _side(image.width, image.height)
    colours: list[_Item] = []
    alphas: list[_Item] = []
    added: list[_Item] = []
    for tile in _tiles(image, side):
        items, primary = _items(encode(tile))
        colours.append(items[primary])
        alphas += [item for item in items.values() if (b"auxl", [primary]) in item.references]
        added = added or [item for item in items.values() if item.kind in _ADDED]
    whole = 1
    ordered = [_grid_of(colours, side, image, whole + 1)]
    ordered += colours
    if alphas:
        ordered.append(_grid_of(alphas, side, image, len(ordered) + 2, of=whole))
        ordered += alphas
    ordered += [_Item(item.kind, item.content, item.details, references=[(b"cdsc", [whole])]) for item in added]
    if exif:
        ordered.append(_exif(exif, whole))
    return _file(ordered)


def with_exif(data: bytes, exif: bytes) -> list[bytes]:
    """The bytes of an AVIF file, written by libheif, with a block of EXIF, in pieces."""
    items, primary = _items(data)
    ordered = [items.pop(primary)]
    numbers = {number: place for place, number in enumerate((primary, *items), 1)}
    ordered += items.values()
    for item in ordered:
        item.references = [(kind, [numbers[number] for number in to]) for kind, to in item.references]
    return _file([*ordered, _exif(exif, 1)])


def _exif(block: bytes, of: int) -> _Item:
    """The item of a block of EXIF, which begins with "Exif" and two zeros; `of`: the number of the picture."""
    return _Item("Exif", struct.pack(">I", 6) + block, references=[(b"cdsc", [of])])


def _side(width: int, height: int) -> int:
    """Width and height of the tiles of a picture: small, but not too many."""
    side = SMALLEST
    while -(-width // side) * -(-height // side) > _MOST:
        side += _STEP
    return side


def _tiles(image: Any, side: int) -> Iterator[Any]:
    """The tiles of `image`, a row after the other, all of `side` x `side` pixels; the border pixel fills them up."""
    for top in range(0, image.height, side):
        row = image.crop(0, top, image.width, min(side, image.height - top)).copy_memory()
        for left in range(0, image.width, side):
            tile = row.crop(left, 0, min(side, image.width - left), row.height)
            yield tile.embed(0, 0, side, side, extend="copy")


def _grid_of(tiles: Sequence[_Item], side: int, image: Any, first: int, of: int | None = None) -> _Item:
    """The item that puts `tiles`, which are numbered from `first`, together; `of`: the item whose alpha it is."""
    width, height = image.width, image.height
    columns = -(-width // side)
    rows = len(tiles) // columns
    own = [(data, essential) for data, essential in tiles[0].properties if data[4:8] not in _OF_TILES_ONLY]
    own.append((_box(b"ispe", struct.pack(">III", 0, width, height)), False))
    references = [(b"dimg", list(range(first, first + len(tiles))))]
    for tile in tiles:
        tile.hidden, tile.references = True, []
    content = struct.pack(">BBBBII", 0, 1, rows - 1, columns - 1, width, height)
    return _Item("grid", content, properties=own, references=references + ([(b"auxl", [of])] if of else []))


# -- reading


def _items(data: bytes) -> tuple[dict[int, _Item], int]:
    """The items of a small AVIF file by their numbers, and the number of the primary one."""
    read = container(data)
    items = {
        number: _Item(
            item.kind.decode(),
            read.content(number),
            item.details,
            properties=[(_box(each.kind, each.value), each.needed) for each in item.properties],
        )
        for number, item in read.items.items()
    }
    for kind, source, to in read.references:
        items[source].references.append((kind, to))
    return items, read.primary


# -- writing


def _file(items: Sequence[_Item]) -> list[bytes]:
    """A file of items numbered from 1, the first of them the primary one, in pieces."""
    head = _box(b"ftyp", b"avif" + bytes(4) + b"mif1avifmiaf")
    size = len(head) + len(_meta(items, 0))  # as long, wherever contents begin
    length = sum(len(item.content) for item in items)
    data = struct.pack(">I4s", 8 + length, b"mdat")
    return [head, _meta(items, size + 8), data, *(item.content for item in items)]


def _meta(items: Sequence[_Item], start: int) -> bytes:
    """The box that describes `items`, whose contents lie one after the other from `start` in the file."""
    places, entries, links, references = b"", b"", b"", b""
    properties: dict[bytes, int] = {}
    for number, item in enumerate(items, 1):
        places += struct.pack(">HHHII", number, 0, 1, start, len(item.content))
        start += len(item.content)
        entry = struct.pack(">BBHHH4s", 2, 0, item.hidden, number, 0, item.kind.encode()) + item.details
        entries += _box(b"infe", entry)
        if item.properties:
            marked = [
                properties.setdefault(data, len(properties) + 1) | needed << 7 for data, needed in item.properties
            ]
            links += struct.pack(f">HB{len(marked)}B", number, len(marked), *marked)
        for kind, to in item.references:
            references += _box(kind, struct.pack(f">HH{len(to)}H", number, len(to), *to))
    linked = sum(bool(item.properties) for item in items)
    return _box(
        b"meta",
        bytes(4)
        + _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
        + _box(b"pitm", struct.pack(">IH", 0, 1))
        + _box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, len(items)) + places)
        + _box(b"iinf", struct.pack(">IH", 0, len(items)) + entries)
        + _box(b"iprp", _box(b"ipco", b"".join(properties)) + _box(b"ipma", struct.pack(">II", 0, linked) + links))
        + _box(b"iref", bytes(4) + references),
    )


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
