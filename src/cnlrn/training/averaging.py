"""The exponential moving average of a network's weights, which is what is validated and kept."""

import copy

import torch

from cnlrn.networks.base import RestorationNetwork


def averaged_copy(network: RestorationNetwork) -> RestorationNetwork:
    """A copy of `network` that holds the average: without gradients, in evaluation mode."""
    return copy.deepcopy(network).requires_grad_(False).eval()


@torch.no_grad()
def update_average(average: RestorationNetwork, network: RestorationNetwork, decay: float, step: int) -> None:
    """Move the averaged weights towards those after step `step`, counted from 0.

    The decay rises to `decay`, since the first weights are bad. Buffers, such as the running statistics of a
    normalisation, are averages already and are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for averaged, new in zip(average.buffers(), network.buffers(), strict=True):
        averaged.copy_(new)
