"""ED-DSRN: a deep encoder-decoder for joint deblurring and super-resolution (Zhang, Wang, Dong, Guo, ICASSP 2018).

A residual encoder-decoder with skips makes sharp features at LR, from which one branch gives the deblurred picture and
the other, after residual blocks and two pixel shuffles, the x4 picture; both are trained together. The numbers of
blocks are chosen here to match the 25 M parameters that GFN's authors count (BMVC 2018, table 3).
"""

from dataclasses import dataclass

from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import ResidualBlock, conv3, pixel_shuffle_x4


@dataclass(frozen=True)
class EDDSRNPreset:
    """Hyper-parameters; of the paper's size with these defaults (24,934,598 parameters)."""

    width: int = 64
    """Channels at LR and above; twice as many at LR/2, four times as many at LR/4."""
    blocks: int = 12
    """Residual blocks of the encoder at each resolution, and of the decoder at LR/2 and LR."""
    enlarging_blocks: int = 8
    """Residual blocks of the super-resolution branch."""


EDDSRN_S = EDDSRNPreset(width=16, blocks=6, enlarging_blocks=5)


class EDDSRN(RestorationNetwork):
    """The whole network, (n, 3, h, w) to (n, 3, 4h, 4w) or, deblurred only, (n, 3, h, w); h and w multiples of 4."""

    scales = (1, 4)
    multiple = 4
    deblurring = "deblur"

    def __init__(self, preset: EDDSRNPreset) -> None:
        """Random weights."""
        super().__init__()
        self.context = -(-_reach(preset) // self.multiple) * self.multiple
        width = preset.width
        self.deblur = EncoderDecoder(width, preset.blocks)
        self.picture = conv3(width, 3)
        blocks = (ResidualBlock(width) for _ in range(preset.enlarging_blocks))
        self.enlarge = nn.Sequential(*blocks, pixel_shuffle_x4(width), conv3(width, 3))

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        restored: Tensor = (self.picture if scale == 1 else self.enlarge)(self.deblur(lr))
        return restored

    def outputs(self, lr: Tensor) -> dict[int, Tensor]:
        """See `RestorationNetwork.outputs`: both in one pass."""
        sharp = self.deblur(lr)
        return {1: self.picture(sharp), 4: self.enlarge(sharp)}


class EncoderDecoder(nn.Module):
    """Blurry picture (n, 3, h, w) to sharp features (n, width, h, w), by way of LR/2 and LR/4."""

    def __init__(self, width: int, blocks: int) -> None:
        """`width`: channels at LR; `blocks`: residual blocks at each resolution, each way."""
        super().__init__()
        half, quarter = 2 * width, 4 * width
        self.encode_full = nn.Sequential(conv3(3, width), nn.ReLU(), *_res_blocks(width, blocks))
        self.encode_half = nn.Sequential(*_halve(width, half), *_res_blocks(half, blocks))
        self.body = nn.Sequential(*_halve(half, quarter), *_res_blocks(quarter, blocks), *_double(quarter, half))
        self.decode_half = nn.Sequential(*_res_blocks(half, blocks), *_double(half, width))
        self.decode_full = nn.Sequential(*_res_blocks(width, blocks))

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, width, h, w), h and w multiples of 4."""
        full = self.encode_full(lr)
        half = self.encode_half(full)
        half = half + self.body(half)
        sharp: Tensor = self.decode_full(full + self.decode_half(half))
        return sharp


def _res_blocks(width: int, count: int) -> list[nn.Module]:
    return [ResidualBlock(width) for _ in range(count)]


def _halve(channels_in: int, channels_out: int) -> tuple[nn.Module, nn.Module]:
    """Half the resolution."""
    return nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1), nn.ReLU()


def _double(channels_in: int, channels_out: int) -> tuple[nn.Module, nn.Module]:
    """Twice the resolution."""
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1), nn.ReLU()


def _reach(preset: EDDSRNPreset) -> int:
    """How many LR pixels away a pixel of the x4 picture can look, at most, however it lies on the grids."""
    blocks = 2 * preset.blocks
    encoder = 1 + blocks + 1 + 2 * blocks + 2 + 4 * blocks
    decoder = 4 + 2 * blocks + 2 + blocks
    return encoder + decoder + 2 * preset.enlarging_blocks + 1 + 2
