"""EDSR: Enhanced Deep Residual Networks for Single Image Super-Resolution (Lim, Son, Kim, Nah, Lee, CVPRW 2017).

Residual blocks without normalisation at LR, a skip around them, two pixel shuffles. The default preset is the paper's
baseline (16 blocks of 64 channels); names and values are those of BasicSR's checkpoint of it, `EDSR_Mx4`, which differs
from the paper's own in its mean shift only: that is arithmetic here, not two convolutions.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import MeanShift, ResidualBlock, conv3, pixel_shuffle_x4


@dataclass(frozen=True)
class EDSRPreset:
    """Hyper-parameters of `EDSR`; the paper's baseline with these defaults (1,517,571 parameters)."""

    width: int = 64
    """Channels everywhere."""
    blocks: int = 16
    """Residual blocks."""
    residual_scale: float = 1.0
    """Factor of each block's residual, which keeps wide networks stable."""


EDSR_L = EDSRPreset(width=256, blocks=32, residual_scale=0.1)
EDSR_S = EDSRPreset(width=24, blocks=10)


class EDSR(RestorationNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    scales = (4,)
    multiple = 1

    def __init__(self, preset: EDSRPreset) -> None:
        """Build with random weights."""
        super().__init__()
        width = preset.width
        self.context = 2 * preset.blocks + 4
        self.mean_shift = MeanShift()
        self.conv_first = conv3(3, width)
        self.body = nn.Sequential(*(ResidualBlock(width, preset.residual_scale) for _ in range(preset.blocks)))
        self.conv_after_body = conv3(width, width)
        self.upsample = pixel_shuffle_x4(width)
        self.conv_last = conv3(width, 3)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        shallow = self.conv_first(self.mean_shift(lr))
        deep = shallow + self.conv_after_body(self.body(shallow))
        return self.mean_shift.inverse(self.conv_last(self.upsample(deep)))
