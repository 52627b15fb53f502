"""PSS-NSC: dynamic scene deblurring with parameter selective sharing and nested skip connections (CVPR 2019).

By Gao, Tao, Shen and Jia.

An encoder-decoder deblurs the picture at a quarter, then at half, then at its full resolution. What is specific to a
scale, extracting features at every stage, has weights of its own at each scale; the transformations of features are
shared by all scales. A transformation is a chain of residual blocks in which every block's result is added to the
chain's input, so that skips of all orders nest. The paper names these parts and 32, 64 and 128 channels; three blocks
a chain and 3x3 kernels throughout are this package's reading of it.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import ResidualBlock, conv3

FACTORS = (4, 2, 1)  # by which a scale's picture is smaller than the whole


@dataclass(frozen=True)
class PSSNSCPreset:
    """Hyper-parameters; near the paper's size (2.84 M) with these defaults (2,886,825 parameters)."""

    width: int = 32
    """Channels at a scale's full resolution; twice as many at half, four times as many at a quarter."""
    blocks: int = 3
    """Residual blocks of each transformation."""


PSSNSC_S = PSSNSCPreset(width=22)


class PSSNSC(RestorationNetwork):
    """The three scales, (n, 3, h, w) to the same shape, h and w multiples of 16."""

    scales = (1,)
    multiple = 16

    def __init__(self, preset: PSSNSCPreset) -> None:
        """Random weights."""
        super().__init__()
        self.context = -(-_reach(preset) // self.multiple) * self.multiple
        widths = [preset.width * factor for factor in (1, 2, 4)]
        self.extractors = nn.ModuleList(Extractor(preset.width) for _ in FACTORS)
        self.encoder = nn.ModuleList(NestedSkips(width, preset.blocks) for width in widths)
        self.decoder = nn.ModuleList(NestedSkips(width, preset.blocks) for width in widths)

    def forward(self, lr: Tensor, scale: int = 1) -> Tensor:
        """Deblur `lr` (n, 3, h, w) in [0, 1] to the same size, not clipped; CnlrnError unless scale is 1."""
        self.check_scale(scale)
        return self.pyramid(lr)[-1]

    def training_outputs(self, lr: Tensor, scales: Collection[int]) -> dict[int, list[Tensor]]:
        """See `RestorationNetwork.training_outputs`: the pictures of all scales."""
        return {1: self.pyramid(lr)}

    def pyramid(self, lr: Tensor) -> list[Tensor]:
        """The results at all scales, at h/4, h/2 and h; the paper's loss compares each with the sharp picture's."""
        picture = F.interpolate(lr, scale_factor=1 / FACTORS[0], mode="bilinear")
        pictures: list[Tensor] = []
        for factor, extractor in zip(FACTORS, self.extractors, strict=True):
            blurry = F.interpolate(lr, scale_factor=1 / factor, mode="bilinear")
            if pictures:
                picture = F.interpolate(picture, scale_factor=2, mode="bilinear")
            picture = extractor(torch.cat((blurry, picture), dim=1), self.encoder, self.decoder)
            pictures.append(picture)
        return pictures


class Extractor(nn.Module):
    """What is specific to a scale: the convolutions into, between and out of an encoder-decoder's resolutions."""

    def __init__(self, width: int) -> None:
        """`width`: channels at full resolution."""
        super().__init__()
        self.head = conv3(6, width)
        self.down1 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 3, stride=2, padding=1, output_padding=1)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 3, stride=2, padding=1, output_padding=1)
        self.tail = conv3(width, 3)

    def forward(self, pictures: Tensor, encoder: nn.ModuleList, decoder: nn.ModuleList) -> Tensor:
        """Blurry picture and earlier result, (n, 6, h, w), to the result (n, 3, h, w).

        `encoder` and `decoder` hold one transformation each for full, half and quarter resolution.
        """
        full = encoder[0](F.relu(self.head(pictures)))
        half = encoder[1](F.relu(self.down1(full)))
        quarter = encoder[2](F.relu(self.down2(half)))
        half = decoder[1](half + F.relu(self.up2(decoder[2](quarter))))
        full = decoder[0](full + F.relu(self.up1(half)))
        picture: Tensor = self.tail(full)
        return picture


class NestedSkips(nn.Module):
    """A chain of residual blocks, each one's result added to the chain's input: y = block(x), then y = x + block(y)."""

    def __init__(self, width: int, blocks: int) -> None:
        """`width`: channels in and out; `blocks`: residual blocks, at least one."""
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(width) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        first, *others = self.blocks
        y: Tensor = first(x)
        for block in others:
            y = x + block(y)
        return y


def _reach(preset: PSSNSCPreset) -> int:
    """How many pixels away a pixel of the output can look, at most, however it lies on the grids."""
    blocks = 2 * preset.blocks
    encoder = 1 + blocks + 2 * blocks + 4 * blocks
    decoder = 4 * blocks + 2 * blocks + blocks + 1
    resizings = 2 + 4  # by halving and doubling together, two pixels of the finer resolution
    passes = sum(FACTORS) * (encoder + decoder + resizings)
    enlargements = sum(FACTORS[:-1])
    return passes + enlargements
