import logging
import pickle
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from cnlrn.data.sources import Sample
from cnlrn.data.stream import BatchIndices, Samples, loader
from cnlrn.errors import CnlrnError


class Numbers:
    """A source whose samples are one random number."""

    def sample(self, rng: np.random.Generator) -> Sample:
        value = rng.integers(0, 256, (1, 1, 1), np.uint8)
        return Sample(value, value.repeat(4, 0).repeat(4, 1), f"number {value.item()}")


def batches(workers: int, position: int, count: int, **options: Path) -> list[list[int]]:
    indices = BatchIndices(batch=3)
    indices.position = position
    stream = islice(loader(Samples(Numbers(), seed=1), indices, workers, **options), count)
    return [[*lr.flatten().tolist(), *index.tolist()] for lr, _, index in stream]


def test_the_stream_is_the_same_with_workers_and_from_the_middle() -> None:
    alone = batches(workers=0, position=0, count=4)
    assert batches(workers=2, position=2, count=2) == alone[2:]
    assert [row[3:] for row in alone] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]


@pytest.mark.skipif(sys.platform != "linux", reason="shared memory is files on Linux only")
def test_batches_come_through_pipes_where_shared_memory_is_short(caplog: pytest.LogCaptureFixture) -> None:
    full = Path("/proc")  # where nothing is free
    with caplog.at_level(logging.INFO):
        assert batches(workers=1, position=2, count=2, shared=full) == batches(workers=0, position=2, count=2)
    assert "/proc has 0 MB free and 1 are needed" in caplog.text
    assert "lower `workers`" in caplog.text
    stream = loader(Samples(Numbers(), 0), BatchIndices(2), workers=1, shared=full)
    assert stream.collate_fn is not None
    lr, hr, index = pickle.loads(pickle.dumps(stream.collate_fn([stream.dataset[number] for number in (3, 4)])))
    assert (lr.dtype, lr.shape, hr.shape, index.tolist()) == (torch.uint8, (2, 1, 1, 1), (2, 4, 4, 1), [3, 4])
    lr.zero_()  # not read-only


def test_batches_are_bytes_in_nhwc() -> None:
    lr, hr, _ = next(iter(loader(Samples(Numbers(), 0), BatchIndices(2), workers=0)))
    assert (lr.dtype, lr.shape, hr.shape) == (torch.uint8, (2, 1, 1, 1), (2, 4, 4, 1))


def test_ranks_share_each_batch_without_overlap() -> None:
    shares = [next(iter(BatchIndices(6, rank, 2))) for rank in (0, 1)]
    assert shares == [[0, 2, 4], [1, 3, 5]]
    with pytest.raises(CnlrnError, match="multiple of 4"):
        BatchIndices(6, 0, 4)


def test_a_sample_can_be_named_by_its_index() -> None:
    samples = Samples(Numbers(), 0)
    assert samples.name(5) == f"number {samples[5][0].item()}"
