"""What torch makes of a picture that is padded as `cnlrn.Restorer` pads it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cnlrn.networks.base import RestorationNetwork
from cnlrn.restoration.tiling import BORDER


@torch.no_grad()
def restore(network: RestorationNetwork, lr: Tensor, scale: int) -> Tensor:
    """`lr` (1, 3, h, w) in [0, 1] to (1, 3, scale*h, scale*w), by a network with a survey."""
    (top, bottom), (left, right) = (_added(side, network.multiple) for side in lr.shape[2:])
    beyond = [-side % network.multiple for side in lr.shape[2:]]
    survey = network.survey(F.pad(lr, (0, beyond[1], 0, beyond[0]), mode="reflect"))
    restored = network(F.pad(lr, (left, right, top, bottom), mode="replicate"), scale, survey)
    height, width = (scale * side for side in lr.shape[2:])
    return restored[..., scale * top : scale * top + height, scale * left : scale * left + width]


def _added(side: int, multiple: int) -> tuple[int, int]:
    """How many pixels are added before and behind a side."""
    added = -(side + 2 * BORDER) % multiple + 2 * BORDER
    return added // 2, added - added // 2
