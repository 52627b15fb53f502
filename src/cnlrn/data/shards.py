"""Training pictures packed into one LMDB database, for sets too large to lie decoded in a cache or as loose files.

Pictures are cut into pieces of 256x256 pixels, each a lossless WebP, so that a random crop decodes only the pieces it
touches. What is read is what was packed, byte for byte: sources draw the same samples from a database as from the
files it was made of. Written once, then only read, by any number of processes.
"""

import json
import logging
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple
from weakref import WeakValueDictionary

import cv2
import lmdb
import numpy as np

from cnlrn.data import pictures
from cnlrn.data.pictures import Byte
from cnlrn.data.sets import Pair, read
from cnlrn.errors import CnlrnError
from cnlrn.files import replacing

Kind = Literal["sharp", "pairs"]

_FORMAT = 1
_PIECE = 256
_INDEX = b"index"
_FIRST_SIZE = 1 << 24
_WORDS: dict[Kind, str] = {"sharp": "sharp pictures", "pairs": "pairs"}

log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A picture's name and its shape, HWC."""

    name: str
    shape: tuple[int, int, int]


class Database:
    """The pictures of a packed file; of pairs, LR at 2 i and sharp at 2 i + 1."""

    def __init__(self, file: Path, kind: Kind) -> None:
        """Open `file`, which must hold pictures of this kind; CnlrnError where it does not or is damaged."""
        self.file = file
        self.kind = kind
        self._environment = _environment(file)
        value = self._get(_INDEX)
        index = json.loads(value) if value else {}
        if index.get("format") != _FORMAT:
            raise CnlrnError(f"{file} is not a database that this version packed; pack the pictures again")
        if index["kind"] != kind:
            raise CnlrnError(
                f"{file} holds {_WORDS[index['kind']]}, but {_WORDS[kind]} are asked for; choose another `data.kind`"
            )
        self.entries = tuple(Entry(name, (height, width, 3)) for name, height, width in index["pictures"])

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.entries)

    def __getitem__(self, index: int) -> "Packed":
        """The picture at `index`, of which nothing is decoded yet."""
        return Packed(self, index, self.entries[index].shape)

    def __reduce__(self) -> tuple[type["Database"], tuple[Path, Kind]]:
        """Another process opens the file itself."""
        return Database, (self.file, self.kind)

    def piece(self, index: int, row: int, column: int) -> Byte:
        """The piece of picture `index` that begins at 256 times (row, column), uint8 HWC RGB; CnlrnError if damaged."""
        value = self._get(_key(index, row, column))
        piece = None if value is None else cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR_RGB)
        if piece is None:
            raise CnlrnError(f"{self.entries[index].name} in {self.file} is damaged; pack the pictures again")
        return np.asarray(piece, np.uint8)

    def _get(self, key: bytes) -> bytes | None:
        try:
            with self._environment.begin() as transaction:
                return transaction.get(key)
        except lmdb.Error as error:
            raise CnlrnError(f"{self.file} is damaged ({error}); pack the pictures again") from error


@dataclass(frozen=True)
class Packed:
    """A picture in a database: it has the shape of an array, and a slice of rows and columns of it is one."""

    database: Database
    index: int
    shape: tuple[int, int, int]

    def __getitem__(self, window: tuple[slice, slice]) -> Byte:
        """The pixels in a window of rows and columns, of step 1, uint8 HWC RGB."""
        (top, bottom, _), (left, right, _) = (
            part.indices(length) for part, length in zip(window, self.shape[:2], strict=True)
        )
        out = np.empty((bottom - top, right - left, 3), np.uint8)
        for row in range(top // _PIECE, -(-bottom // _PIECE)):
            for column in range(left // _PIECE, -(-right // _PIECE)):
                y, x = row * _PIECE - top, column * _PIECE - left
                place = out[max(y, 0) : y + _PIECE, max(x, 0) : x + _PIECE]
                piece = self.database.piece(self.index, row, column)[max(-y, 0) :, max(-x, 0) :]
                place[:] = piece[: place.shape[0], : place.shape[1]]
        return out


@dataclass(frozen=True)
class PackedPair:
    """A pair in a database of pairs."""

    database: Database
    index: int

    @property
    def name(self) -> str:
        """The name that the pair was packed with."""
        return self.database.entries[2 * self.index].name

    @property
    def scale(self) -> int:
        """How many times as wide and high as the blurry picture the sharp one is: 4, or 1."""
        blurry, sharp = self.read()
        return sharp.shape[0] // blurry.shape[0]

    def read(self) -> tuple[Packed, Packed]:
        """LR and sharp picture, of which nothing is decoded yet."""
        return self.database[2 * self.index], self.database[2 * self.index + 1]


def packed_pairs(file: Path) -> list[PackedPair]:
    """The pairs of a database that `pack_pairs` wrote; CnlrnError where it is none or damaged."""
    database = Database(file, "pairs")
    return [PackedPair(database, index) for index in range(len(database) // 2)]


def pack_sharp(folder: Path, file: Path) -> int:
    """Pack the pictures of `folder` into the database `file`, which appears when complete; how many they are.

    Pictures that cannot be decoded are left out, and a warning names them. CnlrnError where none is left or the file
    cannot be written.
    """
    return _pack("sharp", ((path.name, partial(_single, path)) for path in pictures.find(folder)), file)


def pack_pairs(pairs: Iterable[Pair], file: Path) -> int:
    """Pack pairs, such as a set's training split, as they are read into the database `file`; how many they are.

    What cannot be used is left out, and a warning says why. CnlrnError where nothing is left or the file cannot be
    written.
    """
    return _pack("pairs", ((pair.name, pair.read) for pair in pairs), file)


def _single(file: Path) -> tuple[Byte]:
    return (read(file),)


def _pack(kind: Kind, items: Iterable[tuple[str, Callable[[], tuple[Byte, ...]]]], file: Path) -> int:
    entries: list[tuple[str, int, int]] = []
    packed = 0
    with _writing(file) as environment:
        for name, read_item in items:
            try:
                arrays = read_item()
            except CnlrnError as error:
                log.warning("skipped %s: %s", name, error)
                continue
            for array in arrays:
                _put(environment, _pieces(len(entries), array))
                entries.append((name, *array.shape[:2]))
            packed += 1
        if not packed:
            raise CnlrnError(f"there is nothing to pack into {file}")
        index = {"format": _FORMAT, "kind": kind, "pictures": entries}
        _put(environment, [(_INDEX, json.dumps(index).encode())])
    log.info("packed %d %s into %s", packed, _WORDS[kind], file)
    return packed


def _pieces(index: int, picture: Byte) -> list[tuple[bytes, bytes]]:
    pieces = []
    for row in range(-(-picture.shape[0] // _PIECE)):
        for column in range(-(-picture.shape[1] // _PIECE)):
            piece = picture[row * _PIECE :, column * _PIECE :][:_PIECE, :_PIECE]
            bgr = cv2.cvtColor(np.ascontiguousarray(piece), cv2.COLOR_RGB2BGR)
            lossless = [cv2.IMWRITE_WEBP_QUALITY, 101]
            pieces.append((_key(index, row, column), cv2.imencode(".webp", bgr, lossless)[1].tobytes()))
    return pieces


def _key(index: int, row: int, column: int) -> bytes:
    return struct.pack(">QII", index, row, column)


@contextmanager
def _writing(file: Path) -> Iterator[lmdb.Environment]:
    """A new database to be written without locks and flushes, which becomes `file` at the end, flushed."""
    try:
        with (
            replacing(file) as temporary,
            lmdb.open(str(temporary), map_size=_FIRST_SIZE, subdir=False, mode=0o644, lock=False, sync=False) as new,
        ):
            yield new
    except (lmdb.Error, OSError) as error:
        raise CnlrnError(f"cannot write {file}: {error}") from error


def _put(environment: lmdb.Environment, values: list[tuple[bytes, bytes]]) -> None:
    """All values or none; the database's limit grows as need be, for on Windows it is the size of the file."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in values:
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


_environments: WeakValueDictionary[tuple[int, int], lmdb.Environment] = WeakValueDictionary()
"""Databases open in this process by device and inode: LMDB must not open a file twice."""


def _environment(file: Path) -> lmdb.Environment:
    try:
        facts = file.stat()
        environment = _environments.get((facts.st_dev, facts.st_ino))
        if environment is None:
            environment = lmdb.open(str(file), subdir=False, readonly=True, lock=False, readahead=False)
            _environments[facts.st_dev, facts.st_ino] = environment
        whole = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    except (lmdb.Error, OSError) as error:
        raise CnlrnError(f"{file} cannot be opened as a database of packed pictures: {error}") from error
    if facts.st_size < whole:
        raise CnlrnError(f"{file} is cut short: {facts.st_size} of {whole} bytes are there; copy it again")
    return environment
