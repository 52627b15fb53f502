"""Weights and inputs by rule, so that golden outputs need no file of weights."""

import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def set_rule_weights() -> Callable[[nn.Module], None]:
    """Sets a network's tensors to normal draws seeded by their names, times sqrt(0.5 / fan-in), vectors times 0.1.

    Running variances get the draws' magnitudes plus 0.5, counters 0.
    """

    def set_weights(net: nn.Module) -> None:
        for name, tensor in net.state_dict().items():
            if not tensor.is_floating_point():
                tensor.zero_()
                continue
            draws = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(tensor.shape))
            spread = (0.5 / tensor[0].numel()) ** 0.5 if tensor.ndim > 1 else 0.1
            values = torch.from_numpy(draws.astype(np.float32))
            tensor.copy_(values.abs() + 0.5 if name.endswith("running_var") else values * np.float32(spread))

    return set_weights


@pytest.fixture
def rule_picture() -> Callable[..., Tensor]:
    """Makes a uniform picture in [0, 1) of a shape, float32."""

    def picture(*shape: int) -> Tensor:
        return torch.from_numpy(np.random.RandomState(0).random_sample(shape).astype(np.float32))

    return picture
