"""The kernels of a step as CUDA graphs: where networks are small, to launch them takes longer than they do."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class Captured(Generic[Result]):
    """Two functions of tensors alone, captured once and replayed: what makes gradients, and what learns from them."""

    def __init__(
        self, gradients: Callable[[Tensor, Tensor], Result], update: Callable[[], None], lr: Tensor, hr: Tensor
    ) -> None:
        """`gradients` takes a batch on the GPU, here any of the later ones' shape; it and `update` have run before, so
        that all that they keep between steps is there. `update` is not run here, `gradients` is."""
        self._batch = lr.clone(), hr.clone()
        self._first, self._second = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            gradients(*self._batch)
        torch.cuda.current_stream().wait_stream(stream)
        torch.clear_autocast_cache()  # weights that are cast before the capture would stay as they are
        # the thread that pins batches takes memory meanwhile, which only a capture of this thread alone allows
        with torch.cuda.graph(self._first, capture_error_mode="thread_local"):
            self._result = gradients(*self._batch)
        with torch.cuda.graph(self._second, pool=self._first.pool(), capture_error_mode="thread_local"):
            update()

    def gradients(self, lr: Tensor, hr: Tensor) -> Result:
        """What `gradients` gives, overwritten by the next call."""
        for own, given in zip(self._batch, (lr, hr), strict=True):
            own.copy_(given)
        self._first.replay()
        return self._result

    def update(self) -> None:
        """What `update` does."""
        self._second.replay()
