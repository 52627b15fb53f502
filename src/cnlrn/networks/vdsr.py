"""VDSR: Accurate Image Super-Resolution Using Very Deep Convolutional Networks (Kim, Lee, Lee, CVPR 2016).

Twenty 3x3 convolutions that add detail to the luminance of the bicubic enlargement; Cb and Cr stay bicubic.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import Bicubic, conv3, he_initialise, luminance, with_luminance


@dataclass(frozen=True)
class VDSRPreset:
    """Hyper-parameters of `VDSR`, the paper's with these defaults (664,704 weights and 1,217 biases)."""

    width: int = 64
    """Channels between the first and the last convolution."""
    depth: int = 20
    """Convolutions."""


VDSR_S = VDSRPreset(width=12, depth=12)


class VDSR(RestorationNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    scales = (4,)
    multiple = 1

    def __init__(self, preset: VDSRPreset) -> None:
        """Build with He's random weights, as the paper does."""
        super().__init__()
        width = preset.width
        self.context = (preset.depth + 9) // 4  # `depth` HR pixels, and two LR pixels of the bicubic kernel
        self.bicubic = Bicubic(4)
        self.layers = nn.Sequential(conv3(1, width), nn.ReLU(inplace=True))
        for _ in range(preset.depth - 2):
            self.layers.extend((conv3(width, width), nn.ReLU(inplace=True)))
        self.layers.append(conv3(width, 1))
        he_initialise(self)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        enlarged: Tensor = self.bicubic(lr)
        detail: Tensor = self.layers(luminance(enlarged))
        return enlarged + detail

    def project_target(self, lr: Tensor, target: Tensor, scale: int) -> Tensor:
        """See `RestorationNetwork.project_target`: Cb and Cr stay bicubic, so the loss is one on the luminance."""
        return with_luminance(self.bicubic(lr), luminance(target))
