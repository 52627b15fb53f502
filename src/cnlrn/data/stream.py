"""The endless stream of training batches, made by worker processes; the same whatever their number."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cnlrn.data.sources import Source, generator, with_one_thread
from cnlrn.errors import CnlrnError

Item = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], int]
Batch = tuple[Tensor, Tensor, Tensor]
"""LR and HR patches, uint8 NHWC, and the samples' indices in the stream, int64 N."""

_AHEAD = 4
"""Batches that each worker makes ahead."""
_SHARED = Path("/dev/shm")

log = logging.getLogger(__name__)


class Samples(Dataset[Item]):
    """The samples of a source by their index in the stream `seed`."""

    def __init__(self, source: Source, seed: int) -> None:
        """Sample i is `source`'s with `generator(seed, i)`."""
        self.source = source
        self.seed = seed

    def __getitem__(self, index: int) -> Item:
        """LR and HR patch, uint8 HWC, and the index."""
        sample = self.source.sample(generator(self.seed, index))
        return sample.lr, sample.hr, index

    def name(self, index: int) -> str:
        """What a person needs to find sample `index` again: the picture and the place in it."""
        return self.source.sample(generator(self.seed, index)).name


class BatchIndices(Sampler[list[int]]):
    """Sample indices of batch after batch without end, from `position`; of each batch every `world`-th from `rank`."""

    def __init__(self, batch: int, rank: int = 0, world: int = 1) -> None:
        """`batch` counts the samples of all ranks together; CnlrnError where it cannot be shared equally."""
        if batch % world:
            raise CnlrnError(f"a batch of {batch} cannot be shared by {world} devices; choose a multiple of {world}")
        self.batch, self.rank, self.world = batch, rank, world
        self.position = 0

    def __iter__(self) -> Iterator[list[int]]:
        """From the batch at `position` onwards."""
        position = self.position
        while True:
            yield list(range(position * self.batch, (position + 1) * self.batch))[self.rank :: self.world]
            position += 1


def loader(
    samples: Samples, indices: BatchIndices, workers: int, pin: bool = False, shared: Path = _SHARED
) -> DataLoader[Item]:
    """Loads `Batch`es made by `workers` processes (0: in this one), each of one thread; `pin` speeds the way to a GPU.

    Workers are spawned: a forked one would wait for ever for threads that OpenCV has in the parent only. Batches come
    through shared memory or, where its folder `shared` has too little room, as in Docker's containers, through pipes.
    """
    with_one_thread()
    return DataLoader(
        samples,
        batch_sampler=indices,
        num_workers=workers,
        collate_fn=None if not workers or _fits(samples, indices, workers, shared) else _piped,
        worker_init_fn=_single_threaded if workers else None,
        pin_memory=pin,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=_AHEAD if workers else None,
    )


def _fits(samples: Samples, indices: BatchIndices, workers: int, shared: Path) -> bool:
    """Whether the batches that are there at once fit into shared memory twice; where it has no folder, they do."""
    if not shared.is_dir():
        return True
    lr, hr, _ = samples[0]
    needed = 2 * workers * (_AHEAD + 1) * indices.batch * (lr.nbytes + hr.nbytes)
    free = shutil.disk_usage(shared).free
    if needed > free:
        log.info(
            "%s has %d MB free and %d are needed, so batches come through pipes, which is slower; give it more room "
            "(docker run --shm-size=...) or lower `workers`",
            *(shared, free // 10**6, -(-needed // 10**6)),
        )
    return needed <= free


class _Piped:
    """An array that is a tensor when it arrives in another process, whole, without shared memory."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.from_numpy, (self.array,)


def _piped(items: list[Item]) -> list[_Piped]:
    return [_Piped(np.stack(parts)) for parts in zip(*items, strict=True)]


def _single_threaded(worker: int) -> None:
    cv2.setNumThreads(1)
