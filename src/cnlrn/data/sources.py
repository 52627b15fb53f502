"""Where training samples come from: sharp pictures degraded on the fly, prepared pairs, pairs of files, databases.

Every source gives a sample as a pure function of a random generator, so a sample is known by (seed, index) alone: any
worker on any machine makes the same one, and a resumed run sees the stream it would have seen.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from cnlrn.data import pictures
from cnlrn.data.pictures import Byte, Store
from cnlrn.data.sets import Pair
from cnlrn.data.shards import Database, Packed, PackedPair
from cnlrn.data.text import draw_text
from cnlrn.degradation import SCALE, Recipe, degrade_patch
from cnlrn.errors import CnlrnError

log = logging.getLogger(__name__)

_ATTEMPTS = 100
_FEW = 500  # pairs that are made sooner than other processes start


@dataclass(frozen=True)
class Sample:
    """A training pair, uint8 HWC RGB: `hr` is 4 times as wide and high as `lr`, or as large for a network whose only
    scale is 1; `name` tells the picture and place."""

    lr: Byte
    hr: Byte
    name: str


class Source(Protocol):
    """Anything that draws training samples."""

    def sample(self, rng: np.random.Generator) -> Sample:
        """The sample that this generator's state stands for; the same state gives the same bytes."""
        ...


def generator(seed: int, index: int) -> np.random.Generator:
    """The random generator of sample `index` of the stream `seed`."""
    return np.random.default_rng([seed, index])


class SharpFolder:
    """Crops of sharp pictures, degraded on the fly, never twice the same.

    Every picture is as likely as any other: large ones, which are smoother, do not crowd out the small. With `texture`
    k > 1, k crops are drawn and the one with most gradient energy is kept. Crops are flipped and turned before the
    degradation, whose recipe's margin they contain.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path | None,
        degradation: Recipe,
        patch: int,
        texture: int = 1,
        text: float = 0.0,
        fonts: Sequence[str] = (),
    ) -> None:
        """Decode `folder` into `cache` if need be; `patch` is the HR patch's side, a multiple of 4.

        `text` is the share of samples that get text in one of the `fonts` (see `text.draw_text`). `folder` may be a
        database of sharp pictures (see `shards`), which is read where it is. CnlrnError where no picture is large
        enough; smaller ones are left out and a warning names them.
        """
        _check_patch(patch)
        self.degradation = degradation
        self.texture = texture
        self.text, self.fonts = text, fonts
        self.side = patch + 2 * degradation.margin
        self.store: Store | Database = (
            Database(folder, "sharp") if folder.is_file() else pictures.decoded(folder, cache)
        )
        large = np.array([min(entry.shape[:2]) >= self.side for entry in self.store.entries])
        self.usable = np.flatnonzero(large)
        small = [self.store.entries[index].name for index in np.flatnonzero(~large)]
        if small:
            log.warning(
                "skipped %d pictures of less than %d pixels a side: %s", len(small), self.side, ", ".join(small)
            )
        if not large.any():
            raise CnlrnError(f"no picture in {folder} has {self.side} pixels a side; choose a smaller `data.patch`")

    def sample(self, rng: np.random.Generator) -> Sample:
        """A fresh crop, freshly degraded."""
        candidates = [self._crop(rng) for _ in range(self.texture)]
        crop, name = max(candidates, key=lambda candidate: _energy(candidate[0])) if self.texture > 1 else candidates[0]
        crop = turned(crop, *turns(rng))
        if self.text and rng.random() < self.text:
            crop = draw_text(crop, rng, self.fonts)
        pair = degrade_patch(crop, self.degradation, rng)
        return Sample(pair.lr, pair.sharp, name)

    def _crop(self, rng: np.random.Generator) -> tuple[Byte, str]:
        index = int(rng.choice(self.usable))
        picture = self.store[index]
        top, left = (int(rng.integers(length - self.side + 1)) for length in picture.shape[:2])
        name = f"{self.store.entries[index].name} at row {top}, column {left}"
        return picture[top : top + self.side, left : left + self.side], name


class PreparedPairs:
    """Degraded pairs made once and kept in a memory-mapped file; each sample is a random crop, flip and turn of one.

    Cheaper than degrading on the fly, and less varied. The file holds `count` pairs of HR side `patch` + `slack`.
    """

    def __init__(self, sharp: SharpFolder, cache: Path | None, count: int, patch: int, seed: int) -> None:
        """Prepare `count` pairs of `sharp` (whose patches are at least `patch`) into `cache` unless they are there."""
        self.patch = patch
        drawn = sharp.side, sharp.texture, sharp.text, sharp.fonts
        name = pictures.key([sharp.store.file], repr(sharp.degradation), *drawn, count, seed)
        file = pictures.cache_folder(cache) / f"pairs-{name}.u8"
        store = pictures.open_store(file)
        if store is None:
            log.info("preparing %d pairs once into %s", count, file)
            store = pictures.write_store(file, _pairs(sharp, count, seed))
        self.store: Store = store

    def sample(self, rng: np.random.Generator) -> Sample:
        """A crop of one of the prepared pairs, flipped and turned."""
        index = int(rng.integers(len(self.store) // 2))
        lr, hr = self.store[2 * index], self.store[2 * index + 1]
        return _cut(lr, hr, self.patch, self.store.entries[2 * index].name, rng)


def _pairs(sharp: SharpFolder, count: int, seed: int) -> Iterator[tuple[str, Byte]]:
    """LR and HR patch of sample after sample, made by as many processes as there are cores."""
    cores = os.cpu_count() or 1
    numbered = partial(_numbered, sharp, seed)
    if count < _FEW or cores == 1:
        yield from _named(map(numbered, range(count)))
        return
    with_one_thread()
    context = multiprocessing.get_context("spawn")  # a forked one would wait for threads that OpenCV has here only
    with context.Pool(cores, single_threaded) as pool:
        yield from _named(pool.imap(numbered, range(count), chunksize=16))


def _named(samples: Iterable[Sample]) -> Iterator[tuple[str, Byte]]:
    for sample in samples:
        yield sample.name, sample.lr
        yield sample.name, sample.hr


def _numbered(sharp: SharpFolder, seed: int, index: int) -> Sample:
    return sharp.sample(generator(seed, index))


def with_one_thread() -> None:
    """Have processes started from here compute NumPy's small products on one thread; two cost five times as much."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"


def single_threaded() -> None:
    """In a process beside others: one thread, and the first process alone answers Ctrl-C, by ending all."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class PairFiles:
    """Pairs read at each draw, from files or a database; one that cannot be used is named once, and another drawn."""

    def __init__(self, pairs: Sequence[Pair | PackedPair], patch: int) -> None:
        """`patch` is the HR patch's side, a multiple of 4."""
        _check_patch(patch)
        self.pairs = pairs
        self.patch = patch
        self.unusable: set[int] = set()

    def sample(self, rng: np.random.Generator) -> Sample:
        """A crop of a pair, flipped and turned; CnlrnError where pair after pair cannot be used."""
        reason = ""
        for _ in range(_ATTEMPTS):
            index = int(rng.integers(len(self.pairs)))
            pair = self.pairs[index]
            try:
                lr, hr = pair.read()
                if min(hr.shape[:2]) >= self.patch:
                    return _cut(lr, hr, self.patch, pair.name, rng)
                reason = f"it has less than {self.patch} HR pixels a side"
            except CnlrnError as error:
                reason = str(error)
            if index not in self.unusable:
                self.unusable.add(index)
                log.warning("skipped the pair %s: %s", pair.name, reason)
        raise CnlrnError(f"{_ATTEMPTS} pairs in a row cannot be used, the last, {pair.name}: {reason}")


def _check_patch(patch: int) -> None:
    if patch % SCALE:
        raise CnlrnError(f"a patch of {patch} HR pixels is no multiple of {SCALE}; choose another `data.patch`")


def _cut(lr: Byte | Packed, hr: Byte | Packed, patch: int, name: str, rng: np.random.Generator) -> Sample:
    scale = hr.shape[0] // lr.shape[0]
    side = patch // scale
    top, left = (int(rng.integers(length - side + 1)) for length in lr.shape[:2])
    how = turns(rng)
    return Sample(
        turned(lr[top : top + side, left : left + side], *how),
        turned(hr[scale * top : scale * top + patch, scale * left : scale * left + patch], *how),
        f"{name} at row {scale * top}, column {scale * left}",
    )


def turns(rng: np.random.Generator) -> tuple[int, bool]:
    """How many quarters to turn a picture, and whether to flip it then, at random."""
    return int(rng.integers(4)), bool(rng.integers(2))


def turned(picture: Byte, quarters: int, flip: bool) -> Byte:
    """A copy of the picture turned by so many quarters, and flipped left to right then."""
    result = np.rot90(picture, quarters)
    return np.array(result[:, ::-1] if flip else result, order="C")


def _energy(picture: Byte) -> float:
    """Mean absolute difference of neighbours in green, on every second row and column."""
    green = np.ascontiguousarray(picture[::2, ::2, 1])
    down, across = cv2.absdiff(green[1:], green[:-1]), cv2.absdiff(green[:, 1:], green[:, :-1])
    return float(np.mean(down) + np.mean(across))
