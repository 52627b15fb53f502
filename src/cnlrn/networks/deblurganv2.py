"""DeblurGAN-v2: deblurring (orders-of-magnitude) faster and better, its generator (Kupyn et al., ICCV 2019).

A feature pyramid network: a backbone gives features at five resolutions, a top-down path refines them, and heads bring
four of them together for the difference to the blurry picture. This is the paper's fast variant, with the layers of
MobileNetV2 (Sandler et al., CVPR 2018) that the pyramid uses; they start from random weights, where the paper starts
from ImageNet's. Instance norm takes its statistics from the picture in evaluation too, as the authors run it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import conv3

STEM = 32  # channels of the backbone's first convolution
# Blocks of the backbone by level, /2 to /32: (expansion, channels, blocks, stride of the first).
BACKBONE = (
    ((1, 16, 1, 1),),
    ((6, 24, 2, 2),),
    ((6, 32, 3, 2),),
    ((6, 64, 4, 2),),
    ((6, 96, 3, 1), (6, 160, 2, 2)),
)


@dataclass(frozen=True)
class DeblurGANv2Preset:
    """Hyper-parameters of the paper's MobileNet variant (2,106,147 parameters with these defaults)."""

    width: int = 64
    """Channels behind the heads; the pyramid has twice as many."""
    backbone_width: float = 1.0
    """Factor of the backbone's channels."""


DEBLURGANV2_S = DeblurGANv2Preset(width=144, backbone_width=2.25)  # the paper's own size needs less than the budget


class DeblurGANv2(RestorationNetwork):
    """The generator, (n, 3, h, w) to the same shape, h and w multiples of 32."""

    scales = (1,)
    multiple = 32
    context = None

    def __init__(self, preset: DeblurGANv2Preset) -> None:
        """Random weights."""
        super().__init__()
        width = preset.width
        self.fpn = FeaturePyramid(width, preset.backbone_width)
        self.heads = nn.ModuleList(Head(2 * width, width) for _ in range(4))
        self.smooth = _conv_norm(4 * width, width)
        self.smooth2 = _conv_norm(width, width // 2)
        self.final = conv3(width // 2, 3)

    def forward(self, lr: Tensor, scale: int = 1) -> Tensor:
        """Deblur `lr` (n, 3, h, w) in [0, 1] to the same size and range; CnlrnError unless scale is 1."""
        self.check_scale(scale)
        blurry = 2 * lr - 1
        half, *maps = self.fpn(blurry)
        merged = [_enlarged(head(x), 2**i) for i, (head, x) in enumerate(zip(self.heads, maps, strict=True))]
        smoothed = _enlarged(self.smooth(torch.cat(merged, dim=1)), 2)
        difference = self.final(_enlarged(self.smooth2(smoothed + half), 2))
        return ((blurry + torch.tanh(difference)).clamp(-1, 1) + 1) / 2


class FeaturePyramid(nn.Module):
    """The backbone, and the path down from its coarsest features, which adds those of every finer resolution."""

    def __init__(self, width: int, backbone_width: float) -> None:
        """`width`: channels of the finest result, half those of the others; `backbone_width`: see the preset."""
        super().__init__()
        stem = _channels(STEM, backbone_width)
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU6()
        )
        self.levels, self.laterals = nn.ModuleList(), nn.ModuleList()
        channels = stem
        for i, level in enumerate(BACKBONE):
            blocks = []
            for expansion, base, count, stride in level:
                for j in range(count):
                    block = InvertedResidual(channels, _channels(base, backbone_width), expansion, 1 if j else stride)
                    blocks.append(block)
                    channels = block.channels_out
            self.levels.append(nn.Sequential(*blocks))
            self.laterals.append(nn.Conv2d(channels, 2 * width if i else width, 1, bias=False))
        self.refiners = nn.ModuleList(_conv_norm(2 * width, 2 * width) for _ in BACKBONE[1:-1])

    def forward(self, x: Tensor) -> list[Tensor]:
        """(n, 3, h, w) to the features at h/2 (width channels), h/4, h/8, h/16 and h/32 (twice as many)."""
        x = self.stem(x)
        features = []
        for level, lateral in zip(self.levels, self.laterals, strict=True):
            x = level(x)
            features.append(lateral(x))
        for i in reversed(range(1, len(features) - 1)):
            features[i] = self.refiners[i - 1](features[i] + _enlarged(features[i + 1], 2))
        return features


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, one 3x3 convolution a channel, narrow; with a skip where the shape stays."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int, stride: int) -> None:
        """`expansion`: factor of the channels inside; `stride`: of the inner convolution."""
        super().__init__()
        self.channels_out = channels_out
        self.skip = stride == 1 and channels_in == channels_out
        inner = expansion * channels_in
        self.body = nn.Sequential(
            nn.Conv2d(inner, inner, 3, stride, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        if expansion > 1:
            widen = nn.Sequential(nn.Conv2d(channels_in, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6())
            self.body.insert(0, widen)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) to (n, channels_out, h/stride, w/stride)."""
        result: Tensor = self.body(x)
        return x + result if self.skip else result


class Head(nn.Module):
    """Two 3x3 convolutions with ReLU on one map of the pyramid."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        """Channels of the map and of the result."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) to (n, channels_out, h, w)."""
        return F.relu(self.conv2(F.relu(self.conv1(x))))


def _conv_norm(channels_in: int, channels_out: int) -> nn.Sequential:
    """3x3 convolution, without the bias that instance norm takes off again, instance norm and ReLU."""
    conv = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.InstanceNorm2d(channels_out), nn.ReLU())


def _enlarged(x: Tensor, factor: int) -> Tensor:
    """Every pixel repeated `factor` times both ways."""
    return F.interpolate(x, scale_factor=factor, mode="nearest") if factor > 1 else x


def _channels(base: int, factor: float) -> int:
    """`factor` times as many channels, a multiple of 8."""
    return max(8, round(base * factor / 8) * 8)
