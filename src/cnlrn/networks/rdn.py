"""RDN: Residual Dense Network for Image Super-Resolution (Zhang, Tian, Kong, Zhong, Fu, CVPR 2018).

Residual dense blocks whose results are all fused before the enlargement by two pixel shuffles. The picture enters as it
is, in [0, 1], without a mean shift.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import conv3, pixel_shuffle_x4


@dataclass(frozen=True)
class RDNPreset:
    """Hyper-parameters of `RDN`, the paper's with these defaults (22,271,107 parameters)."""

    width: int = 64
    """Channels between blocks (the paper's G0)."""
    growth: int = 64
    """Channels that each convolution of a block adds (G)."""
    blocks: int = 16
    """Residual dense blocks (D)."""
    layers: int = 8
    """Convolutions of a block (C)."""


RDN_S = RDNPreset(width=16, growth=16, blocks=6, layers=4)


class RDN(RestorationNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    scales = (4,)
    multiple = 1

    def __init__(self, preset: RDNPreset) -> None:
        """Build with random weights."""
        super().__init__()
        width = preset.width
        self.context = preset.blocks * preset.layers + 5
        self.shallow1 = conv3(3, width)
        self.shallow2 = conv3(width, width)
        self.blocks = nn.ModuleList(ResidualDenseBlock(preset) for _ in range(preset.blocks))
        self.fusion = nn.Sequential(nn.Conv2d(preset.blocks * width, width, 1), conv3(width, width))
        self.upsample = pixel_shuffle_x4(width)
        self.conv_last = conv3(width, 3)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        shallow = self.shallow1(lr)
        x = self.shallow2(shallow)
        results = []
        for block in self.blocks:
            x = block(x)
            results.append(x)
        deep = shallow + self.fusion(torch.cat(results, dim=1))
        restored: Tensor = self.conv_last(self.upsample(deep))
        return restored


class ResidualDenseBlock(nn.Module):
    """Convolutions with ReLU, each on the input and all earlier results, fused by 1x1 and added (paper, sec. 3.2)."""

    def __init__(self, preset: RDNPreset) -> None:
        """Channels and counts from the preset."""
        super().__init__()
        width, growth = preset.width, preset.growth
        self.layers = nn.ModuleList(conv3(width + i * growth, growth) for i in range(preset.layers))
        self.fusion = nn.Conv2d(width + preset.layers * growth, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        dense = x
        for layer in self.layers:
            dense = torch.cat((dense, torch.relu(layer(dense))), dim=1)
        residual: Tensor = self.fusion(dense)
        return x + residual
