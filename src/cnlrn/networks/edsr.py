"""EDSR: Enhanced Deep Residual Networks for Single Image Super-Resolution (Lim, Son, Kim, Nah, Lee, CVPRW 2017).

Residual blocks without normalisation at LR, a skip around them, two pixel shuffles. The default preset is the paper's
baseline (16 blocks of 64 channels); names and values are those of BasicSR's checkpoint of it, `EDSR_Mx4`, which differs
from the paper's own in its mean shift only: that is arithmetic here, not two convolutions.
"""

from dataclasses import dataclass

from cnlrn.networks.blocks import MeanShiftedNetwork, ResidualBlock


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


class EDSR(MeanShiftedNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    def __init__(self, preset: EDSRPreset) -> None:
        """Build with random weights."""
        super().__init__(
            preset.width, (ResidualBlock(preset.width, preset.residual_scale) for _ in range(preset.blocks))
        )
        self.context = 2 * preset.blocks + 4
