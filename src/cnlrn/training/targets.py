"""Targets of results that are smaller than the sharp picture."""

import functools

import torch
from torch import Tensor

from cnlrn.degradation import SCALE
from cnlrn.degradation.resize import matrix


def reduced(hr: Tensor, scale: float) -> Tensor:
    """The target of a result `scale` times LR's size: `hr` (n, c, h, w) reduced to scale/4 by the protocol's bicubic.

    Height and width times scale/4 are whole numbers. Equal to `degradation.resize.bicubic`, as two matrix products on
    the whole batch; at x4 it is `hr` itself.
    """
    if scale == SCALE:
        return hr
    height, width = hr.shape[-2:]
    rows, columns = (_matrix(n, round(n * scale / SCALE), hr.device) for n in (height, width))
    with torch.autocast(hr.device.type, enabled=False):
        return rows @ (hr @ columns.T)


@functools.lru_cache(maxsize=16)
def _matrix(size: int, to: int, device: torch.device) -> Tensor:
    return torch.from_numpy(matrix(size, to).copy()).to(device)
