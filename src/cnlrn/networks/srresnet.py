"""SRResNet, the generator of SRGAN: Photo-Realistic Single Image Super-Resolution Using a GAN (CVPR 2017).

Christian Ledig, Lucas Theis, Ferenc Huszar, and others. This is the form in which it is compared with today, BasicSR's
`MSRResNet`: no batch normalisation, LeakyReLU(0.1) in place of PReLU, 3x3 in place of 9x9 convolutions, no skip around
the blocks, and the bilinear enlargement added to the result. Names are those of BasicSR's checkpoint.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import ResidualBlock, conv3, he_initialise

SLOPE = 0.1  # of all LeakyReLUs


@dataclass(frozen=True)
class SRResNetPreset:
    """Hyper-parameters of `SRResNet`, the paper's counts with these defaults (1,517,571 parameters)."""

    width: int = 64
    """Channels everywhere."""
    blocks: int = 16
    """Residual blocks."""


SRRESNET_S = SRResNetPreset(width=16, blocks=28)


class SRResNet(RestorationNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    scales = (4,)
    multiple = 1

    def __init__(self, preset: SRResNetPreset) -> None:
        """Build with random weights, a tenth of He's, so that training begins at the bilinear enlargement."""
        super().__init__()
        width = preset.width
        self.context = 2 * preset.blocks + 3
        self.conv_first = conv3(3, width)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(preset.blocks)))
        self.upconv1 = conv3(width, 4 * width)
        self.upconv2 = conv3(width, 4 * width)
        self.conv_hr = conv3(width, width)
        self.conv_last = conv3(width, 3)
        he_initialise(self, 0.1)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        x = self.body(F.leaky_relu(self.conv_first(lr), SLOPE))
        for conv in (self.upconv1, self.upconv2):
            x = F.leaky_relu(F.pixel_shuffle(conv(x), 2), SLOPE)
        residual: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(x), SLOPE))
        return F.interpolate(lr, scale_factor=4, mode="bilinear", align_corners=False) + residual
