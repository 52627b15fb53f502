"""How much memory a network takes on a picture, counted without computing anything, and whether memory ran out.

Restoring in tiles is not here: see `cnlrn.networks.base.restore`.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cnlrn.restoration import tiling as tiles

if TYPE_CHECKING:
    from cnlrn.networks.base import RestorationNetwork

_KERNELS = 2
"""Times as much as its tensors a network was seen to take: convolutions lay their input out anew."""

_known: weakref.WeakKeyDictionary[RestorationNetwork, dict[tuple[int, int, int], int]] = weakref.WeakKeyDictionary()


def needed(network: RestorationNetwork, height: int, width: int, scale: int) -> int:
    """Bytes that the exit `scale` takes on one picture of height x width LR pixels, weights not counted.

    Sides are multiples of the network's. An estimate, by the tensors that there are at once; 0 where a network
    does what cannot be counted so.
    """
    sizes = _known.setdefault(network, {})
    if (height, width, scale) not in sizes:
        state = {
            name: torch.empty_like(tensor, device="meta")
            for name, tensor in (*network.named_parameters(), *network.named_buffers())
        }
        try:
            with torch.no_grad(), torch.device("meta"), _Counting() as counting:
                functional_call(network, state, (torch.empty(1, 3, height, width), scale))
            sizes[height, width, scale] = _KERNELS * counting.most
        except (NotImplementedError, RuntimeError):  # such as one that looks at values
            sizes[height, width, scale] = 0
    return sizes[height, width, scale]


def free(device: torch.device) -> int:
    """Bytes that can still be had on a device."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return tiles.free_memory()


def ran_out(error: BaseException) -> bool:
    """Whether it says that memory ran out; torch has an exception of its own for that on GPUs only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the tensors that operations make, for as long as each lives."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._alive:
            self._alive.add(storage._cdata)
            self._now += storage.nbytes()
            self.most = max(self.most, self._now)
            weakref.finalize(storage, self._end, storage._cdata, storage.nbytes())

    def _end(self, storage: int, size: int) -> None:
        self._alive.discard(storage)
        self._now -= size
