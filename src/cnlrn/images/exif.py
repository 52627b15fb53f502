"""EXIF: blocks of bytes and TIFF directories into values by tag, and back; and what of it is true of which pixels.

Sources: Exif 3.0 (CIPA DC-008-2023) and TIFF 6.0. Own code, as others lose data here: libexif cuts blocks at 64 kB and
adds tags of its own, Pillow fails on values of unexpected types, and both move maker notes, whose inner offsets then
point elsewhere.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

PREFIX = b"Exif\0\0"
"""What blocks begin with, in front of the head of a TIFF file."""

EXIF, GPS = 34665, 34853
"""Tags of the first directory that hold directories of their own."""

_INTEROPERABILITY = 40965  # the same in the directory EXIF
_ASCII, _SHORT, _LONG, _RATIONAL, _LONG8 = 2, 3, 4, 5, 16
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8, 129: 1}
_OF_OFFSETS = (13, 16, 17, 18)  # types that no value of EXIF has
_TURNED_BYTES = {**_BYTES, 5: 4, 10: 4}  # widths of what has a byte order
_NUMBERS = {3: "H", 4: "I", 5: "II", 11: "f", 12: "d"}  # as `struct` calls them
_MOST = 2**24  # bytes of values, which may point at the same place again and again

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296
_MAKER_NOTE = 37500
_WIDTH, _HEIGHT = (256, 40962, 4097), (257, 40963, 4098)  # of the first directory, EXIF and interoperability
_FOCAL_PLANE = (41486, 41487)  # pixels across and down in a unit of length on the sensor
_COLOUR_SPACE, _INTEROPERABILITY_INDEX = 40961, 1
_OF_THE_FILE = frozenset(
    (
        *(254, 255, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292, 293),
        *(297, 301, 317, 320, 321, 322, 323, 324, 325, 330, 332, 338, 339, 340, 341, 342, 343, 344, 345, 346, 347),
        *(512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532),  # how samples are coded, and where they are
        *(700, 33723, 34377, 34675, 37724),  # XMP, IPTC, Photoshop, profile, layers: each goes its own way
        *(33421, 33422, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113),  # of raw files and maps, by pixels
        *range(50706, 52600),  # of DNG
        *(37121, 37122, 37396, 41492),  # ComponentsConfiguration, CompressedBitsPerPixel, SubjectArea, SubjectLocation
        59932,  # padding
    )
)
_TEXTS = frozenset((269, 270, 271, 272, 285, 305, 306, 315, 316, 33432))
_DESCRIPTIVE = _TEXTS | frozenset(
    (
        *(18246, 18249, 33434, 33437, EXIF, 34850, GPS, 34855),
        *(36867, 36868, 36880, 36881, 36882, 37377, 37378, 37379, 37380, 37381, 37382, 37383, 37384, 37385, 37386),
        *range(40091, 40096),
    )
)
"""Tags of the first directory that tell about the photo, not about the file."""


class Value(NamedTuple):
    """What a tag holds: its type, by the number that TIFF gives it, and its bytes, little-endian."""

    kind: int
    data: bytes


Directory: TypeAlias = "dict[int, Value | Directory]"


@dataclass
class Exif:
    """The first directory of an EXIF block, and in it those of EXIF and GPS.

    `order`: "<" or ">", in which numbers were, and will be. `home`: where the maker note was in the block, or None.
    `damaged`: whether values were left out that could not be read.
    """

    directory: Directory
    order: str = "<"
    home: int | None = None
    damaged: bool = False

    @property
    def orientation(self) -> int:
        """How the stored pixels are to be turned, 1 to 8; 1, not at all, if nothing sensible is said."""
        told = _number(self.directory.get(_ORIENTATION))
        return told if told is not None and 1 <= told <= 8 else 1

    @property
    def resolution(self) -> tuple[float, float] | None:
        """Pixels per millimetre, horizontal and vertical, if told."""
        unit = {2: 25.4, 3: 10.0}.get(_number(self.directory.get(_RESOLUTION_UNIT, _short(2))) or 0)
        across, down = (_ratio(self.directory.get(tag)) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        return (across / unit, down / unit) if unit and across and down else None

    @resolution.setter
    def resolution(self, told: tuple[float, float]) -> None:
        for tag, per_millimetre in zip((_X_RESOLUTION, _Y_RESOLUTION), told, strict=True):
            self.directory[tag] = _rational(per_millimetre * 25.4)
        self.directory[_RESOLUTION_UNIT] = _short(2)

    def for_tiff(self) -> Directory:
        """What may stand in the first directory of a TIFF file, whose readers fail at odd values of tags they know."""
        return {
            tag: value
            for tag, value in self.directory.items()
            if tag in _DESCRIPTIVE and (tag not in _TEXTS or (isinstance(value, Value) and value.kind == _ASCII))
        }

    def make_true(self, width: int, height: int, *, srgb: bool) -> None:
        """Leave nothing that is false of upright pixels of this size; `srgb`: their colour space is sRGB."""
        turned = self.orientation > 4
        photo = _part(self.directory, EXIF)
        interoperability = _part(photo, _INTEROPERABILITY)
        if turned and all(tag in photo for tag in _FOCAL_PLANE):
            across, down = _FOCAL_PLANE
            photo[across], photo[down] = photo[down], photo[across]
        before = tuple(_number(photo.get(tag[1])) for tag in (_WIDTH, _HEIGHT))
        for tag, old, new in zip(_FOCAL_PLANE, before[::-1] if turned else before, (width, height), strict=True):
            ratio = _ratio(photo.pop(tag, None))
            if ratio and old:
                photo[tag] = _rational(ratio * new / old)
        for directory in (self.directory, photo, interoperability):
            for tag in _OF_THE_FILE & directory.keys():
                del directory[tag]
            for tags, length in ((_WIDTH, width), (_HEIGHT, height)):
                for tag in directory.keys() & set(tags):
                    directory[tag] = _short(length) if length < 2**16 else Value(_LONG, struct.pack("<I", length))
        if _ORIENTATION in self.directory:
            self.directory[_ORIENTATION] = _short(1)
        if srgb:
            if _COLOUR_SPACE in photo:
                photo[_COLOUR_SPACE] = _short(1)
            if interoperability.get(_INTEROPERABILITY_INDEX) == Value(2, b"R03\0"):  # Adobe RGB
                interoperability[_INTEROPERABILITY_INDEX] = Value(2, b"R98\0")

    def block(self, most: int | None = None) -> tuple[bytes, list[int]]:
        """These directories as a block of at most `most` bytes, and the tags that were too large for that."""
        found = self._block(self.home)
        if most is None or len(found) <= most:
            return found, []
        left_out = []
        excess = len(self._block(None)) - most
        for directory, tag, size in sorted(_sizes(self.directory), key=lambda value: -value[2]):
            if excess <= 0:
                break
            del directory[tag]
            left_out.append(tag)
            excess -= size
        return self._block(None), left_out

    def _block(self, home: int | None) -> bytes:
        note = _part(self.directory, EXIF).get(_MAKER_NOTE)
        free = range(home, home + len(note.data)) if home is not None and isinstance(note, Value) else range(0)
        layout = Layout(self.order, start=8, free=free)
        layout.directory(self.directory)
        head = struct.pack(self.order + "2sHI", b"II" if self.order == "<" else b"MM", 42, 8)
        return PREFIX + head + layout.content()


def read(data: bytes | mmap.mmap, only: Collection[int] | None = None) -> Exif | None:
    """The EXIF in a block, or in a TIFF file of 32 or 64 bits; None if it is neither.

    `only`: the tags of the first directory that matter. Whatever the bytes are, this raises nothing: values that lie
    outside of them, or of unknown types, are left out.
    """
    if data[:6] == PREFIX:
        data = data[6:]
    head = data[:4]
    if head not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    reader = _Reader(data, "<" if head[:2] == b"II" else ">", big=b"+" in head)
    directory = reader.first(only)
    if directory is None:
        return None
    return Exif(directory, reader.order, reader.home, reader.damaged)


def of_tiff(data: bytes | mmap.mmap) -> Exif | None:
    """What a TIFF file tells about the photo; None if it tells nothing."""
    found = read(data, _DESCRIPTIVE)
    if found is None or not found.directory:
        return None
    found.home = None  # an offset in the file, not in a block
    return found


class _Reader:
    """The values in bytes that may be anything."""

    def __init__(self, data: bytes | mmap.mmap, order: str, big: bool) -> None:
        self._data = data
        self.order = order
        self._big = big
        self._room = min(len(data), _MOST)
        self.home: int | None = None
        self.damaged = False

    def first(self, only: Collection[int] | None) -> Directory | None:
        """The first directory with those in it; None if there is none."""
        try:
            (at,) = struct.unpack_from(self.order + ("Q" if self._big else "I"), self._data, 8 if self._big else 4)
            directory = self._directory(at, only)
        except struct.error:
            return None
        for tag in (EXIF, GPS):
            self._open(directory, tag)
        photo = directory.get(EXIF)
        if isinstance(photo, dict):
            self._open(photo, _INTEROPERABILITY)
        return directory

    def _open(self, parent: Directory, tag: int) -> None:
        """Put a directory in the place of the offset at which it begins."""
        at = _number(parent.pop(tag, None))
        if at is None:
            return
        try:
            found = self._directory(at)
        except struct.error:
            self.damaged = True
            return
        if found:
            parent[tag] = found

    def _directory(self, at: int, only: Collection[int] | None = None) -> Directory:
        """The values of the directory at a place. struct.error if there is not even its length."""
        if at >= len(self._data):
            raise struct.error
        (count,) = struct.unpack_from(self.order + ("Q" if self._big else "H"), self._data, at)
        at, size = at + (8 if self._big else 2), 20 if self._big else 12
        whole = min(count, (len(self._data) - at) // size, 2**16)
        self.damaged |= whole < count
        found: Directory = {}
        for entry in range(at, at + whole * size, size):
            tag, kind = struct.unpack_from(self.order + "HH", self._data, entry)
            if tag in found or (only is not None and tag not in only):
                continue
            value = self._value(entry, tag, kind)
            if value is not None:
                found[tag] = value
        return found

    def _value(self, entry: int, tag: int, kind: int) -> Value | None:
        """The value of an entry; None if it cannot be had."""
        number = "Q" if self._big else "I"
        (count,) = struct.unpack_from(self.order + number, self._data, entry + 4)
        known = kind not in _OF_OFFSETS or tag in (EXIF, GPS, _INTEROPERABILITY)
        size = count * _BYTES.get(kind, 0) if known else 0
        at = entry + (12 if self._big else 8)
        if size > (8 if self._big else 4):
            (at,) = struct.unpack_from(self.order + number, self._data, at)
        if size == 0 or at + size > len(self._data) or size > self._room:
            self.damaged |= count > 0
            return None
        self._room -= size
        if tag == _MAKER_NOTE:
            self.home = at
        return Value(kind, _in_order(kind, self._data[at : at + size], self.order))


class Layout:
    """Directories and their values as bytes that begin at `start` of a file, around what is `free` for the maker note.

    `big`: of a file with 64-bit offsets.
    """

    def __init__(self, order: str, start: int, *, free: range = range(0), big: bool = False) -> None:
        """Begin with nothing."""
        self._order = order
        self._big = big
        self._start = self._at = start
        self._free = free if free.start >= start else range(0)
        self._pieces: list[tuple[int, bytes]] = []

    def content(self) -> bytes:
        """All bytes from `start` on."""
        content = bytearray(max((at + len(piece) for at, piece in self._pieces), default=self._start) - self._start)
        for at, piece in self._pieces:
            content[at - self._start : at - self._start + len(piece)] = piece
        return bytes(content)

    def directory(self, values: Directory) -> int:
        """Lay out a directory; returns where it begins."""
        count, last = ("Q", bytes(8)) if self._big else ("H", bytes(4))
        at = self._take(struct.calcsize("=" + count) + len(values) * (20 if self._big else 12) + len(last))
        entries = self.entries(values)
        packed = struct.pack(self._order + count, len(entries)) + b"".join(entries[tag] for tag in sorted(entries))
        self._pieces.append((at, packed + last))
        return at

    def entries(self, values: Directory) -> dict[int, bytes]:
        """The entries of a directory by tag; what they point at is laid out."""
        return {tag: self._entry(tag, value) for tag, value in sorted(values.items())}

    def _entry(self, tag: int, value: Value | Directory) -> bytes:
        number, room = ("Q", 8) if self._big else ("I", 4)
        if isinstance(value, dict):
            kind = _LONG8 if self._big else _LONG
            return struct.pack(self._order + "HH" + 2 * number, tag, kind, 1, self.directory(value))
        head = struct.pack(self._order + "HH" + number, tag, value.kind, len(value.data) // _BYTES[value.kind])
        data = _in_order(value.kind, value.data, self._order)
        if len(data) <= room:
            return head + data.ljust(room, b"\0")
        at = self._free.start if tag == _MAKER_NOTE and len(self._free) else self._take(len(data))
        self._pieces.append((at, data))
        return head + struct.pack(self._order + number, at)

    def _take(self, size: int) -> int:
        """Where so many bytes go."""
        if self._at < self._free.stop and self._at + size > self._free.start:
            self._at = self._free.stop + self._free.stop % 2
        at = self._at
        self._at += size + size % 2
        return at


def _in_order(kind: int, data: bytes, order: str) -> bytes:
    """Little-endian bytes of a value as bytes of this order, or the other way round."""
    width = _TURNED_BYTES[kind]
    return data if order == "<" or width == 1 else np.frombuffer(data, f"u{width}").byteswap().tobytes()


def _part(directory: Directory, tag: int) -> Directory:
    """The directory in a directory; an empty one, of which nothing is kept, if there is none."""
    part = directory.get(tag)
    return part if isinstance(part, dict) else {}


def _sizes(directory: Directory) -> Iterator[tuple[Directory, int, int]]:
    """All values: the directory of each, its tag, and the bytes that leaving it out spares."""
    for tag, value in directory.items():
        if isinstance(value, dict):
            yield from _sizes(value)
        else:
            yield directory, tag, 12 + (len(value.data) if len(value.data) > 4 else 0)


def _number(value: Value | Directory | None) -> int | None:
    """The first whole number that a value holds."""
    if not isinstance(value, Value) or value.kind not in (1, 3, 4, 13, 16, 18):
        return None
    return int.from_bytes(value.data[: _BYTES[value.kind]], "little")


def _ratio(value: Value | Directory | None) -> float | None:
    """The first number that a value holds, if it is more than 0: a fraction, or what careless programs write."""
    if not isinstance(value, Value) or value.kind not in _NUMBERS:
        return None
    above, *below = struct.unpack_from("<" + _NUMBERS[value.kind], value.data)
    number = float(above) / below[0] if below and below[0] else 0.0 if below else float(above)
    return number if 0 < number < math.inf else None


def _short(number: int) -> Value:
    return Value(_SHORT, struct.pack("<H", number))


def _rational(number: float) -> Value:
    """A fraction, as exact as 32 bits allow."""
    below = next((below for below in (1, 100, 10_000) if abs(number * below - round(number * below)) < 1e-6), 10_000)
    while below > 1 and number * below >= 2**32:
        below //= 10
    return Value(_RATIONAL, struct.pack("<II", min(round(number * below), 2**32 - 1), below))
