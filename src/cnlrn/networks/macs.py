"""What a network costs, counted, not timed."""

import math
from collections.abc import Mapping

import torch
from torch.utils.flop_counter import FlopCounterMode

from cnlrn.networks.base import RestorationNetwork


def macs_per_pixel(network: RestorationNetwork, exits: Mapping[int, float] | None = None) -> float:
    """Multiply-accumulates per LR pixel of the given exits together, or of the largest alone.

    Counted on one square of at least 48 LR pixels a side; attention over the whole picture costs more on larger ones.
    """
    side = network.multiple * math.ceil(48 / network.multiple)
    lr = torch.zeros(1, 3, side, side, device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if exits is None or len(exits) == 1:
            network(lr, max(exits or network.scales))
        else:
            network.outputs(lr)
    return float(counter.get_total_flops()) / 2 / side**2
