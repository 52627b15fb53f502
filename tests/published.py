"""What the tests of published networks have in common."""

import hashlib

import torch
from torch import nn


def digest(net: nn.Module) -> tuple[int, int, str]:
    """Of a state dict: how many tensors, how many values, and a checksum of all names and shapes."""
    state = net.state_dict()
    lines = sorted(f"{name}:{'x'.join(map(str, tensor.shape))}" for name, tensor in state.items())
    checksum = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return len(lines), sum(tensor.numel() for tensor in state.values()), checksum


def make_positive(net: nn.Module) -> None:
    """Set small positive weights, in float64: ReLUs pass everything and no two paths cancel."""
    torch.manual_seed(0)
    net.double()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.uniform_(layer.weight, 0.001, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
