"""DeblurGAN: blind motion deblurring with a conditional adversarial network, its generator (Kupyn et al., CVPR 2018).

A picture is brought to a quarter of the resolution, passes residual blocks and comes back; the result, after tanh, is
added to the blurry picture. Attributes are named as in the published checkpoint, which loads as it is. A block has two
convolutions, as in the paper and its weights; the authors' program lost the second one in March 2019, and that network
is a preset too. Instance norm keeps running statistics, as published: training normalises by those of each picture,
evaluation by the running ones. The authors test in training mode: with the picture's own statistics and with dropout.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork


@dataclass(frozen=True)
class DeblurGANPreset:
    """Hyper-parameters of the paper's generator (11,378,179 parameters with these defaults)."""

    width: int = 64
    """Channels at full resolution; twice as many at half, four times as many at a quarter."""
    blocks: int = 9
    """Residual blocks at a quarter of the resolution."""
    convolutions: int = 2
    """Of each block: 2, or 1 as in the authors' program since March 2019."""
    dropout: float = 0.5
    """Share of values that a block drops in training."""


DEBLURGAN_2019 = DeblurGANPreset(convolutions=1)
DEBLURGAN_S = DeblurGANPreset(width=48, blocks=8, convolutions=1)


class DeblurGAN(RestorationNetwork):
    """The generator, (n, 3, h, w) to the same shape, h and w multiples of 4 and at least 8."""

    scales = (1,)
    multiple = 8  # a quarter of 4 pixels is one, which cannot be mirrored

    def __init__(self, preset: DeblurGANPreset) -> None:
        """Random weights."""
        super().__init__()
        self.context = -(-_reach(preset) // self.multiple) * self.multiple
        full, half, quarter = preset.width, 2 * preset.width, 4 * preset.width
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, full, 7),
            *_norm_relu(full),
            nn.Conv2d(full, half, 3, stride=2, padding=1),
            *_norm_relu(half),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            *_norm_relu(quarter),
            *(ResBlock(quarter, preset.convolutions, preset.dropout) for _ in range(preset.blocks)),
            nn.ConvTranspose2d(quarter, half, 3, stride=2, padding=1, output_padding=1),
            *_norm_relu(half),
            nn.ConvTranspose2d(half, full, 3, stride=2, padding=1, output_padding=1),
            *_norm_relu(full),
            nn.ReflectionPad2d(3),
            nn.Conv2d(full, 3, 7),
            nn.Tanh(),
        )

    def forward(self, lr: Tensor, scale: int = 1) -> Tensor:
        """Deblur `lr` (n, 3, h, w) in [0, 1] to the same size and range; CnlrnError unless scale is 1."""
        self.check_scale(scale)
        blurry = 2 * lr - 1
        deblurred: Tensor = (blurry + self.model(blurry)).clamp(-1, 1)
        return (deblurred + 1) / 2


class ResBlock(nn.Module):
    """x + norm(conv(drop(relu(norm(conv(x)))))), 3x3, mirrored at the border; of one convolution, without the last."""

    def __init__(self, width: int, convolutions: int, dropout: float) -> None:
        """`width`: channels in and out; `convolutions`: 1 or 2; `dropout`: share of values dropped in training."""
        super().__init__()
        if convolutions not in (1, 2):
            raise ValueError("a block has 1 or 2 convolutions")
        layers = [*_mirrored_conv(width), nn.ReLU(), nn.Dropout(dropout)]
        if convolutions == 2:
            layers += _mirrored_conv(width)
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        residual: Tensor = self.conv_block(x)
        return x + residual


def _mirrored_conv(width: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), _norm(width)]


def _norm(width: int) -> nn.Module:
    return nn.InstanceNorm2d(width, track_running_stats=True)


def _norm_relu(width: int) -> tuple[nn.Module, nn.Module]:
    return _norm(width), nn.ReLU()


def _reach(preset: DeblurGANPreset) -> int:
    """How many pixels away a pixel of the output can look, at most, however it lies on the grids (in evaluation)."""
    resizings = 2 + 4  # by halving and doubling together, two pixels of the finer resolution
    return 3 + 4 * preset.blocks * preset.convolutions + resizings + 3
