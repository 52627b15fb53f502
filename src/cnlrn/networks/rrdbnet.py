"""RRDBNet, the generator of ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks (ECCVW 2018).

Xintao Wang, Ke Yu, Shixiang Wu, Jinjin Gu, Yihao Liu, Chao Dong, Yu Qiao, Chen Change Loy. Residual-in-residual dense
blocks at LR, then twice nearest-neighbour enlargement and a convolution. Names are those of BasicSR's checkpoints.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import conv3, he_initialise

SLOPE = 0.2  # of all LeakyReLUs
RESIDUAL_SCALE = 0.2


@dataclass(frozen=True)
class RRDBNetPreset:
    """Hyper-parameters of `RRDBNet`, ESRGAN's with these defaults (16,697,987 parameters)."""

    width: int = 64
    """Channels between blocks."""
    growth: int = 32
    """Channels that each convolution of a dense block adds."""
    blocks: int = 23
    """Residual-in-residual dense blocks."""


RRDBNET_S = RRDBNetPreset(width=16, growth=8, blocks=3)


class RRDBNet(RestorationNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    scales = (4,)
    multiple = 1

    def __init__(self, preset: RRDBNetPreset) -> None:
        """Build with random weights, those of the dense blocks a tenth of He's (paper, sec. 3.1)."""
        super().__init__()
        width = preset.width
        self.context = 15 * preset.blocks + 4
        self.conv_first = conv3(3, width)
        self.body = nn.Sequential(*(ResidualInResidual(width, preset.growth) for _ in range(preset.blocks)))
        self.conv_body = conv3(width, width)
        self.conv_up1 = conv3(width, width)
        self.conv_up2 = conv3(width, width)
        self.conv_hr = conv3(width, width)
        self.conv_last = conv3(width, 3)
        he_initialise(self.body, 0.1)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        x = self.conv_first(lr)
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2, mode="nearest")), SLOPE)
        restored: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(x), SLOPE))
        return restored


class ResidualInResidual(nn.Module):
    """RRDB: three residual dense blocks whose result is scaled and added to the input (paper, fig. 4)."""

    def __init__(self, width: int, growth: int) -> None:
        """`width`: channels in and out."""
        super().__init__()
        self.rdb1 = ResidualDenseBlock(width, growth)
        self.rdb2 = ResidualDenseBlock(width, growth)
        self.rdb3 = ResidualDenseBlock(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        residual: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + residual * RESIDUAL_SCALE


class ResidualDenseBlock(nn.Module):
    """Five convolutions, each on the input and all earlier results; the last is scaled and added to the input."""

    def __init__(self, width: int, growth: int) -> None:
        """`width`: channels in and out."""
        super().__init__()
        self.conv1 = conv3(width, growth)
        self.conv2 = conv3(width + growth, growth)
        self.conv3 = conv3(width + 2 * growth, growth)
        self.conv4 = conv3(width + 3 * growth, growth)
        self.conv5 = conv3(width + 4 * growth, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        dense = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            dense = torch.cat((dense, F.leaky_relu(conv(dense), SLOPE)), dim=1)
        residual: Tensor = self.conv5(dense)
        return x + residual * RESIDUAL_SCALE
