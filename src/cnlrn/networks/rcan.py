"""RCAN: Image Super-Resolution Using Very Deep Residual Channel Attention Networks (Zhang et al., ECCV 2018).

Yulun Zhang, Kunpeng Li, Kai Li, Lichen Wang, Bineng Zhong, Yun Fu. Residual in residual: groups of blocks with channel
attention, each level with its own skip. Names and values are those of BasicSR's checkpoint, whose mean shift is
arithmetic, not two convolutions as in the paper's code.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from cnlrn.networks.blocks import MeanShiftedNetwork, conv3


@dataclass(frozen=True)
class RCANPreset:
    """Hyper-parameters of `RCAN`, the paper's with these defaults (15,592,355 parameters)."""

    width: int = 64
    """Channels everywhere."""
    groups: int = 10
    """Residual groups."""
    blocks: int = 20
    """Residual channel-attention blocks in each group."""
    reduction: int = 16
    """Channel attention works on width / reduction channels."""


RCAN_S = RCANPreset(width=16, groups=5, blocks=7, reduction=4)


class RCAN(MeanShiftedNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w). Channel attention averages over the whole picture."""

    context = None

    def __init__(self, preset: RCANPreset) -> None:
        """Build with random weights."""
        super().__init__(preset.width, (ResidualGroup(preset) for _ in range(preset.groups)))


class ResidualGroup(nn.Module):
    """Residual channel-attention blocks and a convolution, plus skip (paper, sec. 3.2)."""

    def __init__(self, preset: RCANPreset) -> None:
        """Channels and counts from the preset."""
        super().__init__()
        blocks = (ChannelAttentionBlock(preset.width, preset.reduction) for _ in range(preset.blocks))
        self.residual_group = nn.Sequential(*blocks)
        self.conv = conv3(preset.width, preset.width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        residual: Tensor = self.conv(self.residual_group(x))
        return x + residual


class ChannelAttentionBlock(nn.Module):
    """RCAB: two convolutions weighted by channel attention, plus skip (paper, sec. 3.4)."""

    def __init__(self, width: int, reduction: int) -> None:
        """`width`: channels in and out, a multiple of `reduction`."""
        super().__init__()
        attention = ChannelAttention(width, reduction)
        self.rcab = nn.Sequential(conv3(width, width), nn.ReLU(inplace=True), conv3(width, width), attention)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        residual: Tensor = self.rcab(x)
        return x + residual


class ChannelAttention(nn.Module):
    """Weights every channel by a value in [0, 1] drawn from all channels' averages over the picture (sec. 3.3)."""

    def __init__(self, width: int, reduction: int) -> None:
        """`width`: channels in and out, a multiple of `reduction`."""
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width // reduction, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        weights: Tensor = self.attention(x)
        return x * weights
