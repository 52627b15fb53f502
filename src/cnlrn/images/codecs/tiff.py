"""The little of the TIFF format that libvips leaves out: rows before they are all there, wholeness, and EXIF.

Sources: TIFF 6.0 (Adobe, 1992), and BigTIFF, which has 64-bit offsets. Nothing here looks into samples.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import struct
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Exif

_FORMS = {3: "H", 4: "I", 16: "Q"}  # types of numbers, as `struct` writes them
_PIECES = ((273, 324), (279, 325))  # StripOffsets or TileOffsets, StripByteCounts or TileByteCounts
_MOST_ENTRIES, _MOST_NUMBERS = 4096, 2**20  # of a directory, as libtiff's limit, and of an entry
_KIND = 254  # NewSubfileType: bit 0 of a reduced version of another picture in the file
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965  # directories of their own, by their tags
_SIZE = (40962, 40963)  # PixelXDimension, PixelYDimension
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)  # of the first directory: what, by what, when, by whom


def header(height: int, width: int, bands: int, dtype: np.dtype[Any]) -> bytes:
    """What goes before the samples in an uncompressed BigTIFF (little-endian; TIFF 6.0).

    A row a strip, or in pictures of more than a million rows 16, as libvips reads them again only so far back.
    """
    short, long, long8 = _FORMS
    row = width * bands * dtype.itemsize
    rows = 1 if height <= _MOST_NUMBERS else 16
    strips = -(-height // rows)
    sizes = np.full(strips, rows * row, "<u8")
    sizes[-1] = (height - rows * (strips - 1)) * row
    numbers: dict[int, tuple[int, list[int]]] = {
        256: (long, [width]),
        257: (long, [height]),
        258: (short, [8 * dtype.itemsize] * bands),
        259: (short, [1]),  # no compression
        262: (short, [1 if bands < 3 else 2]),  # gray or RGB
        277: (short, [bands]),
        278: (long, [rows]),
        284: (short, [1]),  # the bands of a pixel side by side
        338: (short, [2]),  # alpha, not premultiplied
        339: (short, [3 if dtype.kind == "f" else 1] * bands),
    }
    if bands in (1, 3):
        del numbers[338]
    tags = {
        tag: (kind, len(values), struct.pack(f"<{len(values)}{_FORMS[kind]}", *values))
        for tag, (kind, values) in numbers.items()
    }
    values_at = 16 + 8 + 20 * (len(tags) + 2) + 8
    samples_at = values_at + 2 * sizes.nbytes
    starts = samples_at + rows * row * np.arange(strips, dtype="<u8")
    tags[273] = (long8, strips, starts.tobytes())
    tags[279] = (long8, strips, sizes.tobytes())
    directory, values = struct.pack("<4sHHQQ", b"II+\0", 8, 0, 16, len(tags)), b""
    for tag, (kind, count, packed) in sorted(tags.items()):
        directory += struct.pack("<HHQ", tag, kind, count)
        if len(packed) > 8:
            directory += struct.pack("<Q", values_at + len(values))
            values += packed
        else:
            directory += packed.ljust(8, b"\0")
    return directory + bytes(8) + values.ljust(2 * sizes.nbytes, b"\0")


def is_whole(data: bytes | mmap.mmap) -> bool:
    """Whether the first picture's strips or tiles lie within the file; libtiff makes up what is missing of them."""
    try:
        tags = _Tags(data)
        starts, sizes = (tags[strips if strips in tags else cells] for strips, cells in _PIECES)
    except (struct.error, OverflowError):  # beyond the end
        return False
    except KeyError:  # not told
        return True
    return all(start + size <= len(data) for start, size in zip(starts, sizes, strict=False))


def is_raw(data: bytes | mmap.mmap) -> bool:
    """Whether this is a camera's raw file, whose first picture is a small version of the one in it (DNG, NEF, CR2)."""
    try:
        tags = _Tags(data)
        return data[8:10] == b"CR" or (_KIND in tags and bool(tags[_KIND][0] & 1))
    except (struct.error, OverflowError, KeyError):
        return False


class _Tags:
    """The numbers in the first directory of a TIFF file, by tag.

    Raises:
        struct.error, OverflowError: they are beyond the end of the file, or too many to be a picture's.
        KeyError: there is no such tag, or it holds no numbers.
    """

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._order = "<" if data[:2] == b"II" else ">"
        big = 43 in data[2:4]
        self._number, entry_size = ("Q", 20) if big else ("I", 12)
        directory = self._unpack(self._number, 8 if big else 4)[0]
        entries = directory + (8 if big else 2)
        count = self._unpack("Q" if big else "H", directory)[0]
        if count > _MOST_ENTRIES:
            raise OverflowError
        self._entries = {
            self._unpack("H", at)[0]: at for at in range(entries, entries + count * entry_size, entry_size)
        }

    def __contains__(self, tag: int) -> bool:
        return tag in self._entries

    def __getitem__(self, tag: int) -> tuple[int, ...]:
        entry = self._entries[tag]
        kind, count = self._unpack("H" + self._number, entry + 2)
        if count > _MOST_NUMBERS:
            raise OverflowError
        form = f"{count}{_FORMS[kind]}"
        place = entry + 4 + struct.calcsize("=" + self._number)
        fits = struct.calcsize("=" + form) <= struct.calcsize("=" + self._number)
        return self._unpack(form, place if fits else self._unpack(self._number, place)[0])

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self._order + form, self._data, at)


def exif(data: bytes | mmap.mmap) -> bytes | None:
    """What a TIFF file tells about the photo, as an EXIF block; None if it tells nothing, or nothing readable."""
    from PIL.TiffImagePlugin import TiffImageFile

    file: Any = data if isinstance(data, mmap.mmap) else io.BytesIO(data)
    with _tolerant():
        with TiffImageFile(file) as picture:
            told = _told(picture.getexif())
        return told.tobytes() if told else None
    return None


def add_exif(file: BinaryIO, block: bytes, width: int, height: int) -> None:
    """Add what an EXIF block tells about the photo to a TIFF file, open for reading and writing, that says none of it.

    If it tells a size, that becomes `width` x `height`.

    The entries that are there and those of EXIF become a new first directory at the end of the file. What cannot be
    read of the block is left out.
    """
    from PIL.Image import Exif

    given, told = Exif(), Exif()
    with _tolerant():
        given.load(block)
        told = _told(given)
    if not told:
        return
    for tag, length in zip(_SIZE, (width, height), strict=True):
        if tag in told.get(_EXIF, {}):
            told[_EXIF][tag] = length
    file.seek(0)
    start = file.read(16)
    order, big = "<" if start[:2] == b"II" else ">", 43 in start[2:4]
    told.endian, told.bigtiff = order, big
    number, count, size = ("Q", "Q", 20) if big else ("I", "H", 12)

    def entries(at: int) -> dict[int, bytes]:
        file.seek(at)
        (length,) = struct.unpack(order + count, file.read(struct.calcsize("=" + count)))
        read = [file.read(size) for _ in range(length)]
        return {struct.unpack_from(order + "H", entry)[0]: entry for entry in read}

    def append(content: bytes) -> int:
        end = file.seek(0, io.SEEK_END)
        file.write(bytes(end % 2) + content)
        return end + end % 2

    end = file.seek(0, io.SEEK_END)
    block = told.tobytes(end + end % 2)
    added = append(block[6 + (16 if big else 8) :])  # after "Exif" and the head of a file
    (first,) = struct.unpack_from(order + number, start, 8 if big else 4)
    directory = dict(sorted((entries(added) | entries(first)).items()))
    last = bytes(struct.calcsize("=" + number))
    at = append(struct.pack(order + count, len(directory)) + b"".join(directory.values()) + last)
    file.seek(8 if big else 4)
    file.write(struct.pack(order + number, at))


@contextlib.contextmanager
def _tolerant() -> Iterator[None]:
    """Leave out what Pillow cannot read: its parsers let through whatever they stumble over, and warn of the rest."""
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _told(given: Exif) -> Exif:
    """The part of EXIF that tells about the photo, not about the file."""
    from PIL.Image import Exif

    told = Exif()
    told.update({tag: given[tag] for tag in _DESCRIPTIVE if tag in given})
    for place in (_EXIF, _GPS):
        part = {tag: value for tag, value in given.get_ifd(place).items() if tag != _INTEROPERABILITY}
        if part:
            told[place] = part
    return told
