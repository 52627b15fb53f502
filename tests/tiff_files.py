"""TIFF files of every layout and kind of sample, which no library of this project writes."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tag = tuple[int, Sequence[Any]]
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
GRAY, RGB, PALETTE, INKS, YCBCR, CIELAB, ICCLAB = 1, 2, 3, 5, 6, 8, 9
WHITE_IS_ZERO = 0
_FORMS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "II", UNDEFINED: "B", LONG8: "Q"}


def tiff(
    samples: NDArray[Any],
    photometric: int,
    *,
    bits: int | None = None,
    order: str = "<",
    big: bool = False,
    tile: int = 0,
    rows: int = 0,
    separate: bool = False,
    deflate: bool = False,
    predictor: int = 1,
    tags: Mapping[int, Tag] | None = None,
) -> bytes:
    """The bytes of a TIFF of `samples`, height x width x samples a pixel: integers of `bits` bits, or floats."""
    height, width, count = samples.shape
    bits = bits or 8 * samples.dtype.itemsize
    planes = [samples[..., i : i + 1] for i in range(count)] if separate else [samples]
    pieces = []
    for plane in planes:
        for piece in _cut(plane, tile, rows):
            data = _packed(piece, bits, order, predictor)
            pieces.append(zlib.compress(data) if deflate else data)
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    given: dict[int, Tag] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * count),
        259: (SHORT, [8 if deflate else 1]),
        262: (SHORT, [photometric]),
        277: (SHORT, [count]),
        284: (SHORT, [2 if separate else 1]),
        317: (SHORT, [predictor]),
        339: (SHORT, [kind] * count),
    }
    if tile:
        given |= {322: (LONG, [tile]), 323: (LONG, [tile])}
    else:
        given |= {278: (LONG, [rows or height])}
    return of_pieces(pieces, given | dict(tags or {}), order=order, big=big, tiled=bool(tile))


def of_pieces(
    pieces: Sequence[bytes], tags: Mapping[int, Tag], *, order: str = "<", big: bool = False, tiled: bool = False
) -> bytes:
    """The bytes of a TIFF whose strips or tiles are `pieces`, compressed already."""
    head = 16 if big else 8
    starts = [head + sum(len(piece) + len(piece) % 2 for piece in pieces[:i]) for i in range(len(pieces))]
    places = (324, 325) if tiled else (273, 279)
    wide = LONG8 if big else LONG
    entries = {places[0]: (wide, starts), places[1]: (wide, [len(piece) for piece in pieces])} | dict(tags)
    body = b"".join(piece + bytes(len(piece) % 2) for piece in pieces)
    at = head + len(body)
    directory = packed_directory(entries, at, order=order, big=big)
    if big:
        start = struct.pack(f"{order}2sHHHQ", b"II" if order == "<" else b"MM", 43, 8, 0, at)
    else:
        start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, at)
    return start + body + directory


def packed_directory(
    entries: Mapping[int, Tag], at: int, *, order: str = "<", big: bool = False, following: int = 0
) -> bytes:
    """A directory that stands at `at` in the file, and its values behind it."""
    number, count, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    size = (20 if big else 12) * len(entries) + struct.calcsize("=" + count + number)
    table, values = struct.pack(order + count, len(entries)), b""
    for tag, (kind, given) in sorted(entries.items()):
        form = _FORMS[kind]
        packed = struct.pack(f"{order}{form * len(given) if kind != RATIONAL else 'I' * len(given)}", *given)
        length = len(given) // 2 if kind == RATIONAL else len(given)
        table += struct.pack(f"{order}HH{number}", tag, kind, length)
        if len(packed) <= inline:
            table += packed.ljust(inline, b"\0")
        else:
            table += struct.pack(order + number, at + size + len(values))
            values += packed + bytes(len(packed) % 2)
    return table + struct.pack(order + number, following) + values


def _cut(plane: NDArray[Any], tile: int, rows: int) -> list[NDArray[Any]]:
    height, width, _ = plane.shape
    if not tile:
        rows = rows or height
        return [plane[top : top + rows] for top in range(0, height, rows)]
    padded = np.pad(plane, ((0, -height % tile), (0, -width % tile), (0, 0)), mode="edge")
    return [
        padded[top : top + tile, left : left + tile] for top in range(0, height, tile) for left in range(0, width, tile)
    ]


def _packed(piece: NDArray[Any], bits: int, order: str, predictor: int) -> bytes:
    height, width, count = piece.shape
    size = piece.dtype.itemsize
    if predictor == 2:
        words = piece.view(f"u{size}").astype(f"u{size}")
        words[:, 1:] -= words[:, :-1].copy()
        return words.astype(f"{order}u{size}").tobytes()
    if predictor == 3:
        planes = piece.astype(f">f{size}").reshape(height, width * count).view("u1")
        planes = planes.reshape(height, width * count, size).transpose(0, 2, 1).reshape(height, -1).copy()
        planes[:, count:] -= planes[:, :-count].copy()
        return planes.tobytes()
    if bits == 8 * size:
        return piece.astype(piece.dtype.newbyteorder(order)).tobytes()
    single = (piece.reshape(height, -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(single.reshape(height, -1).astype(np.uint8), axis=1).tobytes()
