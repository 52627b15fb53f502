"""Targets of results that are smaller than the sharp picture."""

import functools

import torch
from torch import Tensor

from cnlrn.degradation.resize import matrix


def reduced(hr: Tensor, width: int) -> Tensor:
    """The target of a result `width` pixels wide: `hr` (n, c, h, w) reduced by the protocol's bicubic, or `hr` itself.

    Equal to `degradation.resize.bicubic`, as two matrix products on the whole batch.
    """
    if width == hr.shape[-1]:
        return hr
    rows, columns = (_matrix(n, n * width // hr.shape[-1], hr.device) for n in hr.shape[-2:])
    with torch.autocast(hr.device.type, enabled=False):
        return rows @ (hr @ columns.T)


@functools.lru_cache(maxsize=16)
def _matrix(size: int, to: int, device: torch.device) -> Tensor:
    return torch.from_numpy(matrix(size, to).copy()).to(device)
