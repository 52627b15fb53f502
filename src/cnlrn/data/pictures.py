"""Folders of pictures for training: found, read, and decoded once into a memory-mapped file.

For users' pictures (alpha, profiles, 16 bits) there is `cnlrn.images`; here every picture becomes 8-bit RGB.
"""

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from cnlrn.errors import CnlrnError, writing
from cnlrn.files import make_folder
from cnlrn.images import MAX_PIXELS
from cnlrn.leftovers import is_leftover

Byte = npt.NDArray[np.uint8]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})

_BYTES = 16
"""Of a file for each pixel; four floating point numbers, not compressed, take so many."""

log = logging.getLogger(__name__)


def find(folder: Path) -> list[Path]:
    """The picture files directly in `folder`, in the order of their names; CnlrnError where there are none.

    Leftovers of macOS (`._NAME`) are no pictures.
    """
    if not folder.is_dir():
        raise CnlrnError(f"there is no folder {folder}; give a folder of pictures")
    files = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not is_leftover(Path(path.name))
    )
    if not files:
        raise CnlrnError(f"no pictures in {folder}; expected files that end in {', '.join(sorted(SUFFIXES))}")
    return files


def read(path: Path, max_pixels: int = MAX_PIXELS) -> Byte | None:
    """The picture as uint8 HWC RGB, or None where it cannot be decoded.

    CnlrnError where it has more than `max_pixels` pixels, or the file more than 16 bytes for each of these: neither is
    looked at further.
    """
    try:
        size = path.stat().st_size
        if size > _BYTES * max_pixels:
            raise CnlrnError(f"{path} has {size} bytes, too many for a picture of at most {max_pixels} pixels")
        width, height = _size(path)
        if width * height > max_pixels:
            raise CnlrnError(
                f"{path} has {width}x{height} pixels, more than the limit of {max_pixels}; make it smaller"
            )
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB)
    except (OSError, SyntaxError, ValueError, cv2.error):
        return None
    return None if picture is None else np.asarray(picture, np.uint8)


def _size(path: Path) -> tuple[int, int]:
    """Width and height by the header alone, whatever they are; OSError and others where it is no picture's."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # or Pillow would warn, and refuse from its own limit
    try:
        with Image.open(path) as image:
            return image.size
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def cache_folder(folder: Path | None) -> Path:
    """`folder`, or where it is None the user's cache (XDG_CACHE_HOME, by default ~/.cache, /cnlrn); made if absent.

    CnlrnError where it cannot be made.
    """
    if folder is None:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnlrn"
    make_folder(folder)
    return folder


def key(files: Sequence[Path], *more: object) -> str:
    """A name for what is derived from these files: changes with their names, sizes and times, and with `more`."""
    facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((facts, more)).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Entry:
    """One array in a store: its name, shape, and the place of its first byte."""

    name: str
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True)
class Store:
    """uint8 arrays one after the other in a file, memory-mapped when read, so that workers share one copy."""

    file: Path
    entries: tuple[Entry, ...]

    def __len__(self) -> int:
        """How many arrays there are."""
        return len(self.entries)

    def __getitem__(self, index: int) -> Byte:
        """The array at `index`, read-only, backed by the file."""
        entry = self.entries[index]
        return _mapped(self.file)[entry.offset : entry.offset + math.prod(entry.shape)].reshape(entry.shape)


@lru_cache(maxsize=8)
def _mapped(file: Path) -> Byte:
    """The bytes of a store's file; opened once, since that takes as long as cropping and turning a picture."""
    return np.memmap(file, np.uint8, "r")


def open_store(file: Path) -> Store | None:
    """The store at `file` (and `file`.json, its index), or None where it was never completed."""
    index = file.with_suffix(".json")
    if not (file.exists() and index.exists()):
        return None
    entries = json.loads(index.read_text(encoding="utf-8"))
    return Store(file, tuple(Entry(name, tuple(shape), offset) for name, shape, offset in entries))


def write_store(file: Path, arrays: Iterable[tuple[str, Byte]]) -> Store:
    """Write named uint8 arrays to `file`; both its parts appear only when complete, the index last.

    CnlrnError where they cannot be written.
    """
    entries: list[Entry] = []
    partial, partial_index = (file.with_suffix(f".{os.getpid()}.{part}") for part in ("partial", "index"))
    try:
        with writing(file):
            with partial.open("wb") as out:
                for name, array in arrays:
                    entries.append(Entry(name, array.shape, out.tell()))
                    out.write(np.ascontiguousarray(array).data)
            partial_index.write_text(
                json.dumps([(entry.name, entry.shape, entry.offset) for entry in entries]), encoding="utf-8"
            )
            partial.replace(file)
            partial_index.replace(file.with_suffix(".json"))
    finally:
        partial.unlink(missing_ok=True)
        partial_index.unlink(missing_ok=True)
    return Store(file, tuple(entries))


def decoded(folder: Path, cache: Path | None) -> Store:
    """All pictures of `folder` as uint8 HWC RGB, decoded once; re-used while names, sizes and times stay the same.

    Pictures that cannot be decoded or are too large are left out, and a warning names them. CnlrnError where none is
    left, or the cache cannot be written.
    """
    files = find(folder)
    file = cache_folder(cache) / f"pictures-{key(files)}.u8"
    store = open_store(file)
    if store is None:
        log.info("decoding %d pictures of %s once into %s", len(files), folder, file)
        store = write_store(file, _readable(files))
    if not len(store):
        raise CnlrnError(f"none of the {len(files)} pictures in {folder} can be decoded")
    return store


def _readable(files: Sequence[Path]) -> Iterable[tuple[str, Byte]]:
    for path in files:
        try:
            picture = read(path)
        except CnlrnError as error:
            log.warning("skipped %s", error)
            continue
        if picture is None:
            log.warning("skipped %s: not a picture that can be decoded", path)
        else:
            yield path.name, picture
