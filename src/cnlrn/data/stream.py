"""The endless stream of training batches, made by worker processes; the same whatever their number."""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cnlrn.data.sources import Source, generator, with_one_thread
from cnlrn.errors import CnlrnError

Item = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], int]
Batch = tuple[Tensor, Tensor, Tensor]
"""LR and HR patches, uint8 NHWC, and the samples' indices in the stream, int64 N."""


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


def loader(samples: Samples, indices: BatchIndices, workers: int, pin: bool = False) -> DataLoader[Item]:
    """Loads `Batch`es made by `workers` processes (0: in this one), each of one thread; `pin` speeds the way to a GPU.

    Workers are spawned: a forked one would wait for ever for threads that OpenCV has in the parent only.
    """
    with_one_thread()
    return DataLoader(
        samples,
        batch_sampler=indices,
        num_workers=workers,
        worker_init_fn=_single_threaded if workers else None,
        pin_memory=pin,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=4 if workers else None,
    )


def _single_threaded(worker: int) -> None:
    cv2.setNumThreads(1)
