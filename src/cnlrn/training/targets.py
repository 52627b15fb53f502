"""Targets of results that are smaller than the sharp picture."""

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
    weights = (matrix(n, round(n * scale / SCALE)).copy() for n in (height, width))
    rows, columns = (torch.from_numpy(array).to(hr.device) for array in weights)
    with torch.autocast(hr.device.type, enabled=False):
        return rows @ (hr @ columns.T)
