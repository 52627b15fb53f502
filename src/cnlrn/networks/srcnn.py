"""SRCNN: Image Super-Resolution Using Deep Convolutional Networks (Dong, Loy, He, Tang, TPAMI 2016; first ECCV 2014).

Three convolutions (9x9, 1x1, 5x5) on the luminance of the bicubic enlargement; Cb and Cr stay bicubic. Borders are
repeated, as the authors' demo does. Initial weights are torch's, not the paper's draws of deviation 0.001, which need
hundreds of millions of steps.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import Bicubic, luminance, with_luminance


@dataclass(frozen=True)
class SRCNNPreset:
    """Hyper-parameters of `SRCNN`: the paper's 9-1-5 with these defaults (8,032 weights and 97 biases)."""

    first_width: int = 64
    """Channels after the first convolution."""
    second_width: int = 32
    """Channels after the second."""


SRCNN_S = SRCNNPreset(first_width=96, second_width=48)  # the paper's own size needs less than the budget


class SRCNN(RestorationNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    scales = (4,)
    multiple = 1
    context = 3

    def __init__(self, preset: SRCNNPreset) -> None:
        """Build with random weights."""
        super().__init__()
        first, second = preset.first_width, preset.second_width
        self.bicubic = Bicubic(4)
        self.layers = nn.Sequential(
            nn.Conv2d(1, first, 9, padding=4, padding_mode="replicate"),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, 1, 5, padding=2, padding_mode="replicate"),
        )

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        enlarged: Tensor = self.bicubic(lr)
        return with_luminance(enlarged, self.layers(luminance(enlarged)))

    def project_target(self, lr: Tensor, target: Tensor, scale: int) -> Tensor:
        """See `RestorationNetwork.project_target`: Cb and Cr stay bicubic, so the loss is one on the luminance."""
        return with_luminance(self.bicubic(lr), luminance(target))
