"""DBPN: Deep Back-Projection Networks for Super-Resolution (Haris, Shakhnarovich, Ukita, CVPR 2018).

Dense up- and down-projections by turns: each corrects its result by the error of projecting it back. All HR features
together make the picture, without a skip from the input. Names are those of the authors' checkpoint of D-DBPN x4.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import he_initialise

KERNEL, STRIDE, PADDING = 8, 4, 2  # of projections by 4


@dataclass(frozen=True)
class DBPNPreset:
    """Hyper-parameters of `DBPN`, those of the paper's D-DBPN with these defaults (10,426,358 parameters)."""

    stages: int = 7
    """Up-projections; there is one down-projection less. At least 2."""
    width: int = 64
    """Channels of every projection's result."""
    features: int = 256
    """Channels of the first convolution."""


DBPN_S = DBPNPreset(stages=4, width=12, features=48)


class DBPN(RestorationNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    scales = (4,)
    multiple = 1

    def __init__(self, preset: DBPNPreset) -> None:
        """Build with He's random weights, as the paper does."""
        super().__init__()
        width = preset.width
        self.stages = preset.stages
        self.context = 3 * preset.stages
        self.feat0 = _Conv(3, preset.features, 3, padding=1)
        self.feat1 = _Conv(preset.features, width, 1)
        for stage in range(1, preset.stages + 1):  # a projection sees all earlier results of the other resolution
            self.add_module(f"up{stage}", UpProjection(width, max(stage - 1, 1)))
            if stage < preset.stages:
                self.add_module(f"down{stage}", DownProjection(width, stage))
        self.output_conv = _Conv(preset.stages * width, 3, 3, padding=1, prelu=False)
        he_initialise(self)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        high = self.get_submodule("up1")(self.feat1(self.feat0(lr)))
        low = self.get_submodule("down1")(high)
        for stage in range(2, self.stages + 1):
            high = torch.cat((self.get_submodule(f"up{stage}")(low), high), dim=1)
            if stage < self.stages:
                low = torch.cat((self.get_submodule(f"down{stage}")(high), low), dim=1)
        restored: Tensor = self.output_conv(high)
        return restored


class UpProjection(nn.Module):
    """LR to HR features, corrected by what is lost on the way back (paper, sec. 3.2)."""

    def __init__(self, width: int, inputs: int) -> None:
        """`inputs`: earlier results of `width` channels each that come joined."""
        super().__init__()
        self.conv = _merge(width, inputs)
        self.up_conv1 = _Deconv(width)
        self.up_conv2 = _Conv(width, width, KERNEL, STRIDE, PADDING)
        self.up_conv3 = _Deconv(width)

    def forward(self, joined: Tensor) -> Tensor:
        """(n, inputs * width, h, w) to (n, width, 4h, 4w)."""
        low = self.conv(joined)
        high: Tensor = self.up_conv1(low)
        correction: Tensor = self.up_conv3(self.up_conv2(high) - low)
        return high + correction


class DownProjection(nn.Module):
    """HR to LR features, corrected by what is lost on the way back (paper, sec. 3.2)."""

    def __init__(self, width: int, inputs: int) -> None:
        """`inputs`: earlier results of `width` channels each that come joined."""
        super().__init__()
        self.conv = _merge(width, inputs)
        self.down_conv1 = _Conv(width, width, KERNEL, STRIDE, PADDING)
        self.down_conv2 = _Deconv(width)
        self.down_conv3 = _Conv(width, width, KERNEL, STRIDE, PADDING)

    def forward(self, joined: Tensor) -> Tensor:
        """(n, inputs * width, 4h, 4w) to (n, width, h, w)."""
        high = self.conv(joined)
        low: Tensor = self.down_conv1(high)
        correction: Tensor = self.down_conv3(self.down_conv2(low) - high)
        return low + correction


class _Conv(nn.Module):
    """Convolution, and PReLU with one slope for all channels."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, padding: int = 0, prelu: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding)
        self.act = nn.PReLU() if prelu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv(x))
        return out


class _Deconv(nn.Module):
    """Transposed convolution that enlarges by 4, and PReLU with one slope for all channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.deconv = nn.ConvTranspose2d(width, width, KERNEL, STRIDE, PADDING)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.deconv(x))
        return out


def _merge(width: int, inputs: int) -> nn.Module:
    """Joined results back to `width` channels; nothing for a single one."""
    return _Conv(inputs * width, width, 1) if inputs > 1 else nn.Identity()
