"""GFN: a gated fusion network for joint deblurring and super-resolution (Zhang, Dong, Hu, Lai, Wang, Yang, BMVC 2018).

An encoder-decoder makes deblurring features, a second branch super-resolution features; a gate weighs the former pixel
by pixel before both are added and enlarged x4. The deblurring branch's own picture is the exit at x1, which the paper
trains beside the one at x4. Attributes are named, and misspelt, as in the published checkpoint of the x4 network, so
that it loads as it is. Leaky ReLUs have a slope of 0.2, but 0.1 behind the first enlargement. The authors' program
stretches pictures whose sides are no multiples of 4, this package pads them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import conv3


@dataclass(frozen=True)
class GFNPreset:
    """Hyper-parameters of the paper's network (12,210,438 parameters with these defaults)."""

    width: int = 64
    """Channels at LR and above; the deblurring branch has twice as many at LR/2, four times as many at LR/4."""
    deblurring_blocks: int = 6
    """Residual blocks at each of the deblurring branch's three resolutions."""
    features_blocks: int = 8
    """Residual blocks of the super-resolution branch."""
    reconstruction_blocks: int = 8
    """Residual blocks behind the gate."""


GFN_S = GFNPreset(width=16, deblurring_blocks=4, features_blocks=5, reconstruction_blocks=6)


class GFN(RestorationNetwork):
    """The whole network, (n, 3, h, w) to (n, 3, 4h, 4w) or, deblurred only, (n, 3, h, w); h and w multiples of 4."""

    scales = (1, 4)
    multiple = 4
    deblurring = "deblurMoudle"

    def __init__(self, preset: GFNPreset) -> None:
        """All parts with random weights."""
        super().__init__()
        self.context = -(-_reach(preset) // self.multiple) * self.multiple
        self.deblurMoudle = nn.Sequential(DeblurringBranch(preset.width, preset.deblurring_blocks))
        self.srMoudle = nn.Sequential(FeaturesBranch(preset.width, preset.features_blocks))
        self.geteMoudle = nn.Sequential(Gate(preset.width))
        self.reconstructMoudle = nn.Sequential(Reconstruction(preset.width, preset.reconstruction_blocks))

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        branch, start, clear = self._deblur(lr)
        return branch.picture(start, clear) if scale == 1 else self._enlarge(lr, clear)

    def outputs(self, lr: Tensor) -> dict[int, Tensor]:
        """See `RestorationNetwork.outputs`: both in one pass."""
        branch, start, clear = self._deblur(lr)
        return {1: branch.picture(start, clear), 4: self._enlarge(lr, clear)}

    def _deblur(self, lr: Tensor) -> tuple["DeblurringBranch", Tensor, Tensor]:
        """The deblurring branch, its first features and its last, both (n, width, h, w)."""
        branch = self.deblurMoudle[0]
        assert isinstance(branch, DeblurringBranch)
        return branch, *branch(lr)

    def _enlarge(self, lr: Tensor, clear: Tensor) -> Tensor:
        """The x4 picture of `lr` and of its deblurring features `clear`."""
        features = self.srMoudle(lr)
        weights = self.geteMoudle(torch.cat((clear, lr, features), dim=1))
        restored: Tensor = self.reconstructMoudle(features + weights * clear)
        return restored


class DeblurringBranch(nn.Module):
    """Encoder-decoder: residual blocks at LR, LR/2 and LR/4, each resolution with a skip around its blocks."""

    def __init__(self, width: int, blocks: int) -> None:
        """`width`: channels at LR; `blocks`: residual blocks at each resolution."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, padding=3)
        self.relu = nn.LeakyReLU(0.2)
        self.resBlock1 = _res_blocks(width, blocks)
        self.conv2 = nn.Sequential(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU())
        self.resBlock2 = _res_blocks(2 * width, blocks)
        self.conv3 = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1), nn.ReLU())
        self.resBlock3 = _res_blocks(4 * width, blocks)
        self.deconv1 = nn.Sequential(nn.ConvTranspose2d(4 * width, 2 * width, 4, stride=2, padding=1), nn.ReLU())
        self.deconv2 = nn.Sequential(
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 7, padding=3),
        )
        self.convout = nn.Sequential(conv3(width, width), nn.ReLU(), conv3(width, 3))

    def forward(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """First features and deblurring features, both (n, width, h, w), of `lr` (n, 3, h, w)."""
        start = self.relu(self.conv1(lr))
        full = start + self.resBlock1(start)
        half = self.conv2(full)
        half = half + self.resBlock2(half)
        quarter = self.conv3(half)
        quarter = quarter + self.resBlock3(quarter)
        return start, self.deconv2(self.deconv1(quarter))

    def picture(self, start: Tensor, clear: Tensor) -> Tensor:
        """The deblurred picture (n, 3, h, w) of what `forward` gives."""
        deblurred: Tensor = self.convout(clear + start)
        return deblurred


class FeaturesBranch(nn.Module):
    """Super-resolution features of the blurry picture, at LR."""

    def __init__(self, width: int, blocks: int) -> None:
        """`width`: channels of the features; `blocks`: residual blocks."""
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, padding=3)
        self.relu = nn.LeakyReLU(0.2)
        self.resBlock = _res_blocks(width, blocks, slope=0.2)
        self.conv2 = conv3(width, width)

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, width, h, w)."""
        start: Tensor = self.relu(self.conv1(lr))
        residual: Tensor = self.conv2(self.resBlock(start))
        return start + residual


class Gate(nn.Module):
    """A weight for every deblurring feature at every pixel, without bounds."""

    def __init__(self, width: int) -> None:
        """`width`: channels of either branch."""
        super().__init__()
        self.conv1 = conv3(2 * width + 3, width)
        self.relu = nn.LeakyReLU(0.2)
        self.conv2 = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 2 * width + 3, h, w) to (n, width, h, w)."""
        weights: Tensor = self.conv2(self.relu(self.conv1(x)))
        return weights


class Reconstruction(nn.Module):
    """Fused features to the x4 picture: residual blocks, then two enlargements by two."""

    def __init__(self, width: int, blocks: int) -> None:
        """`width`: channels in, and at every resolution; `blocks`: residual blocks."""
        super().__init__()
        self.resBlock = _res_blocks(width, blocks)
        self.conv1 = conv3(width, 4 * width)
        self.conv2 = conv3(width, 4 * width)
        self.conv3 = conv3(width, width)
        self.conv4 = conv3(width, 3)
        self.shuffle = nn.PixelShuffle(2)
        self.first_relu = nn.LeakyReLU(0.1)
        self.relu = nn.LeakyReLU(0.2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to (n, 3, 4h, 4w)."""
        doubled = self.first_relu(self.shuffle(self.conv1(self.resBlock(x))))
        quadrupled = self.relu(self.shuffle(self.conv2(doubled)))
        picture: Tensor = self.conv4(self.relu(self.conv3(quadrupled)))
        return picture


class _ResBlock(nn.Module):
    """Two 3x3 convolutions with a leaky ReLU of `slope` between them, plus skip."""

    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv3(width, width), nn.LeakyReLU(slope), conv3(width, width))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.layers(x)
        return x + residual


def _res_blocks(width: int, count: int, slope: float = 0.0) -> nn.Sequential:
    return nn.Sequential(*(_ResBlock(width, slope) for _ in range(count)))


def _reach(preset: GFNPreset) -> int:
    """How many LR pixels away a pixel of the x4 picture can look, at most, however it lies on the grids."""
    blocks = 2 * preset.deblurring_blocks
    deblurring = 3 + blocks + 1 + 2 * blocks + 2 + 4 * blocks + 4 + 2 + 3
    return deblurring + 1 + 2 * preset.reconstruction_blocks + 1 + 2
