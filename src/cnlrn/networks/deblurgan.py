"""DeblurGAN: blind motion deblurring with a conditional adversarial network, its generator (Kupyn et al., CVPR 2018).

A picture is brought to a quarter of the resolution, passes residual blocks and comes back; the result, after tanh, is
added to the blurry picture. Attributes are named as in the published checkpoint, which loads as it is. The block is
the paper's and the checkpoint's: one convolution, instance norm, ReLU and dropout. Instance norm keeps running
statistics, as published: training normalises by those of each picture, evaluation by the running ones.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork


@dataclass(frozen=True)
class DeblurGANPreset:
    """Hyper-parameters of the paper's generator (6,067,459 parameters with these defaults)."""

    width: int = 64
    """Channels at full resolution; twice as many at half, four times as many at a quarter."""
    blocks: int = 9
    """Residual blocks at a quarter of the resolution."""
    dropout: float = 0.5
    """Share of values that a block drops in training."""


DEBLURGAN_S = DeblurGANPreset(width=48, blocks=8)


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
            *(ResBlock(quarter, preset.dropout) for _ in range(preset.blocks)),
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
    """x + dropout(relu(norm(conv(x)))), 3x3, mirrored at the border."""

    def __init__(self, width: int, dropout: float) -> None:
        """`width`: channels in and out; `dropout`: share of values dropped in training."""
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), *_norm_relu(width), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        residual: Tensor = self.conv_block(x)
        return x + residual


def _norm_relu(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(width, track_running_stats=True), nn.ReLU()


def _reach(preset: DeblurGANPreset) -> int:
    """How many pixels away a pixel of the output can look, at most, however it lies on the grids (in evaluation)."""
    resizings = 2 + 4  # by halving and doubling together, two pixels of the finer resolution
    return 3 + 4 * preset.blocks + resizings + 3
