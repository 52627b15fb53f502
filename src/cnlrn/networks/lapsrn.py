"""LapSRN: Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution (Lai, Huang, Ahuja, Yang, CVPR 2017).

Two levels, each doubles: convolutions at the smaller size, a transposed one, and a residual that is added to the
luminance enlarged by a small learned kernel of its own; Cb and Cr are bicubic. Tables that give 812 k parameters fit
3x3 transposed convolutions; the paper describes them as 4x4, as they are here.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import Bicubic, conv3, he_initialise, luminance, with_luminance

SLOPE = 0.2  # of all LeakyReLUs
BILINEAR = (0.25, 0.75, 0.75, 0.25)  # enlargement by 2 as a transposed convolution


@dataclass(frozen=True)
class LapSRNPreset:
    """Hyper-parameters of `LapSRN`, the paper's x4 network with these defaults (871,586 parameters)."""

    width: int = 64
    """Channels everywhere."""
    depth: int = 10
    """Convolutions of a level."""


LAPSRN_S = LapSRNPreset(width=20)


class LapSRN(RestorationNetwork):
    """Super-resolution x2 and x4, one exit a level of the pyramid."""

    scales = (2, 4)
    multiple = 1

    def __init__(self, preset: LapSRNPreset) -> None:
        """Build with He's random weights, the enlarging kernels bilinear, as the paper does."""
        super().__init__()
        depth = preset.depth
        self.context = (depth + 3) // 2 + depth + 1
        self.conv_first = conv3(1, preset.width)
        levels = [Level(preset) for _ in self.scales]
        self.levels = nn.ModuleList(levels)
        self.bicubics = nn.ModuleList(Bicubic(scale) for scale in self.scales)
        he_initialise(self)
        for level in levels:
            level.enlarge.weight.data.copy_(torch.outer(torch.tensor(BILINEAR), torch.tensor(BILINEAR)))

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        return self._pyramid(lr, scale)[scale]

    def outputs(self, lr: Tensor) -> dict[int, Tensor]:
        """See `RestorationNetwork.outputs`: both in one pass."""
        return self._pyramid(lr, max(self.scales))

    def project_target(self, lr: Tensor, target: Tensor, scale: int) -> Tensor:
        """See `RestorationNetwork.project_target`: Cb and Cr stay bicubic, so the loss is one on the luminance."""
        enlarged: Tensor = self.bicubics[self.scales.index(scale)](lr)
        return with_luminance(enlarged, luminance(target))

    def _pyramid(self, lr: Tensor, largest: int) -> dict[int, Tensor]:
        """Pictures of all exits up to `largest`."""
        y = luminance(lr)
        features = F.leaky_relu(self.conv_first(y), SLOPE)
        pictures = {}
        for scale, level, bicubic in zip(self.scales, self.levels, self.bicubics, strict=True):
            if scale <= largest:
                features, y = level(features, y)
                pictures[scale] = with_luminance(bicubic(lr), y)
        return pictures


class Level(nn.Module):
    """One level of the pyramid: features and luminance to twice their size (paper, fig. 1 and sec. 3.1)."""

    def __init__(self, preset: LapSRNPreset) -> None:
        """Channels and counts from the preset."""
        super().__init__()
        width = preset.width
        self.body = nn.Sequential()
        for _ in range(preset.depth):
            self.body.extend((conv3(width, width), nn.LeakyReLU(SLOPE, inplace=True)))
        self.body.extend((nn.ConvTranspose2d(width, width, 4, 2, 1), nn.LeakyReLU(SLOPE, inplace=True)))
        self.residual = conv3(width, 1)
        self.enlarge = nn.ConvTranspose2d(1, 1, 4, 2, 1, bias=False)

    def forward(self, features: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, width, h, w) and luminance (n, 1, h, w), both to twice the height and width."""
        doubled: Tensor = self.body(features)
        return doubled, self.enlarge(y) + self.residual(doubled)
