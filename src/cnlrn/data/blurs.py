"""Pictures whose blur is known, for training and judging an estimate of it: photos resized, cropped and degraded."""

import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from cnlrn.data import pictures
from cnlrn.data.pictures import Byte, Store
from cnlrn.data.sources import generator, turned, turns
from cnlrn.degradation import Facts, Recipe, degrade_patch, recipe
from cnlrn.errors import CnlrnError

RECIPE = replace(recipe("own"), jpeg_quality=(30, 97))
"""As photos at their own size, but with the strong compression of messengers too."""

_HELD_OUT = 0.15
FIELDS = 6
"""Numbers that `row` gives."""


def row(facts: Facts) -> tuple[float, ...]:
    """Numbers to learn from: the shake's extent, the cosine and sine of twice its direction times its elongation, the
    defocus's radius (a gaussian's as `Facts.defocus_radius` has it), noise in 255ths, JPEG quality."""
    motion = facts.motion
    across, down = (motion.elongation * float(of(2 * motion.direction)) for of in (np.cos, np.sin))
    return motion.extent, across, down, facts.defocus_radius, facts.noise, facts.jpeg_quality


def is_held_out(name: str) -> bool:
    """Whether a photo of this name is kept for judging, never trained on: about 15% are."""
    return zlib.crc32(name.encode()) / 2**32 < _HELD_OUT


class Photos:
    """Sharp photos of a folder, degraded on the fly: sample i of a seed is always the same."""

    def __init__(
        self,
        folder: Path,
        side: int,
        seed: int,
        held_out: bool | None,
        degradation: Recipe = RECIPE,
        resized: tuple[float, float] = (0.6, 1.6),
    ) -> None:
        """Samples of `side` pixels from the photos of `folder` that are held out, or are not, or from all if None.

        Photos are `resized` first by a factor between these: one that is soft where one looks closely, as those of
        phones are, is not blurred. CnlrnError where there are none, or none large enough.
        """
        self.side, self.seed, self.degradation, self.resized = side, seed, degradation, resized
        self.store: Store = pictures.decoded(folder, None)
        need = side + 2 * degradation.margin
        self.usable = [
            index
            for index, entry in enumerate(self.store.entries)
            if (held_out is None or is_held_out(entry.name) == held_out) and min(entry.shape[:2]) * resized[1] >= need
        ]
        if not self.usable:
            raise CnlrnError(f"no photo in {folder} can be used; give photos of at least {need} pixels a side")

    def __getitem__(self, index: int) -> tuple[Byte, tuple[float, ...]]:
        """The blurry picture of sample `index`, uint8 (side, side, 3), and its `row` of facts."""
        rng = generator(self.seed, index)
        photo = self.store[self.usable[int(rng.integers(len(self.usable)))]]
        need = self.side + 2 * self.degradation.margin
        least = max(self.resized[0], need / min(photo.shape[:2]))
        factor = float(np.exp(rng.uniform(np.log(least), np.log(self.resized[1]))))
        part = min(int(np.ceil(need / factor)), *photo.shape[:2])
        top, left = (int(rng.integers(length - part + 1)) for length in photo.shape[:2])
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        crop = cv2.resize(photo[top : top + part, left : left + part], (need, need), interpolation=how)
        pair = degrade_patch(turned(np.asarray(crop, np.uint8), *turns(rng)), self.degradation, rng)
        return pair.lr, row(pair.facts)
