"""SCGAN: learning to super-resolve blurry face and text images, its generator (Xu, Sun, Pan et al., ICCV 2017).

Two transposed convolutions enlarge the blurry picture at once, a plain chain of 5x5 convolutions with batch norm then
sharpens it at full size, and tanh gives the picture. One network serves joint deblurring and super-resolution; the
paper trains one for faces and one for text. The number of convolutions is chosen here to match the 1.1 M parameters
that GFN's authors count (BMVC 2018, table 3).
"""

from dataclasses import dataclass

from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork


@dataclass(frozen=True)
class SCGANPreset:
    """Hyper-parameters; of the paper's size with these defaults (1,082,179 parameters)."""

    width: int = 64
    """Channels everywhere."""
    convolutions: int = 9
    """At HR, before the one that gives the picture."""


SCGAN_S = SCGANPreset(width=8, convolutions=8)


class SCGAN(RestorationNetwork):
    """The generator, (n, 3, h, w) to (n, 3, 4h, 4w)."""

    scales = (4,)
    multiple = 1

    def __init__(self, preset: SCGANPreset) -> None:
        """Random weights."""
        super().__init__()
        self.context = -(-_reach(preset) // 4)
        width = preset.width
        sharpening = (
            nn.Sequential(nn.Conv2d(width, width, 5, padding=2, bias=False), *_norm_relu(width))
            for _ in range(preset.convolutions)
        )
        self.body = nn.Sequential(
            nn.ConvTranspose2d(3, width, 6, stride=2, padding=2, bias=False),
            *_norm_relu(width),
            nn.ConvTranspose2d(width, width, 6, stride=2, padding=2, bias=False),
            *_norm_relu(width),
            *sharpening,
            nn.Conv2d(width, 3, 5, padding=2),
            nn.Tanh(),
        )

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """Restore `lr` (n, 3, h, w) in [0, 1] to (n, 3, 4h, 4w) in [0, 1]; CnlrnError unless scale is 4."""
        self.check_scale(scale)
        restored: Tensor = self.body(2 * lr - 1)
        return (restored + 1) / 2


def _norm_relu(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.BatchNorm2d(width), nn.ReLU()


def _reach(preset: SCGANPreset) -> int:
    """How many HR pixels away a pixel of the output can look, at most, however it lies on the grids (in evaluation)."""
    return 2 * (preset.convolutions + 1) + 3 + 2 * 3
