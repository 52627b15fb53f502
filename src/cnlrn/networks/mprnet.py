"""MPRNet: multi-stage progressive image restoration, for deblurring (Zamir, Arora, Khan et al., CVPR 2021).

Three stages: an encoder-decoder on the quarters of the picture, one on its halves, and a network that stays at full
resolution. Supervised attention hands a stage's features to the next one, and every stage gives a picture, all of
which the paper trains. Attributes are named as in the published deblurring checkpoint, which loads as it is. As there,
all blocks share one PReLU.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork


@dataclass(frozen=True)
class MPRNetPreset:
    """Hyper-parameters of the paper's deblurring network (20,127,073 parameters with these defaults)."""

    width: int = 96
    """Channels at full resolution in the first two stages; a multiple of `reduction`, as the next two are."""
    width_step: int = 48
    """Channels more at every halving of the resolution."""
    last_step: int = 32
    """Channels more in the last stage."""
    blocks: int = 8
    """Channel attention blocks in each of the last stage's three groups."""
    reduction: int = 4
    """Of the channels inside channel attention."""


MPRNET_S = MPRNetPreset(width=16, width_step=8, last_step=4, blocks=4)


class MPRNet(RestorationNetwork):
    """The three stages, (n, 3, h, w) to the same shape, h and w multiples of 8."""

    scales = (1,)
    multiple = 8  # the quarters are halved twice
    context = None

    def __init__(self, preset: MPRNetPreset) -> None:
        """All stages with random weights."""
        super().__init__()
        width, last = preset.width, preset.width + preset.last_step
        act = nn.PReLU()
        self.shallow_feat1 = nn.Sequential(_conv(3, width), _Block(width, preset.reduction, act))
        self.shallow_feat2 = nn.Sequential(_conv(3, width), _Block(width, preset.reduction, act))
        self.shallow_feat3 = nn.Sequential(_conv(3, width), _Block(width, preset.reduction, act))
        self.stage1_encoder = Encoder(preset, act)
        self.stage1_decoder = Decoder(preset, act)
        self.stage2_encoder = FusingEncoder(preset, act)
        self.stage2_decoder = Decoder(preset, act)
        self.stage3_orsnet = FullResolution(preset, act)
        self.sam12 = SupervisedAttention(width)
        self.sam23 = SupervisedAttention(width)
        self.concat12 = _conv(2 * width, width)
        self.concat23 = _conv(2 * width, last)
        self.tail = _conv(last, 3)

    def forward(self, lr: Tensor, scale: int = 1) -> Tensor:
        """Deblur `lr` (n, 3, h, w) in [0, 1] to the same size, not clipped; CnlrnError unless scale is 1."""
        self.check_scale(scale)
        return self.stages(lr)[-1]

    def training_outputs(self, lr: Tensor, scales: Collection[int]) -> dict[int, list[Tensor]]:
        """See `RestorationNetwork.training_outputs`: the pictures of all stages."""
        return {1: self.stages(lr)}

    def stages(self, lr: Tensor) -> list[Tensor]:
        """The pictures of all three stages, each (n, 3, h, w), the last the best; the paper's loss adds them all."""
        halves = _split(lr, 2)
        encoded = _joined(self.stage1_encoder(self.shallow_feat1(_split(halves, 3))), 3)
        decoded = self.stage1_decoder(encoded)
        attended, first = self.sam12(decoded[0], halves)

        features = self.concat12(torch.cat((self.shallow_feat2(halves), attended), dim=1))
        encoded = _joined(self.stage2_encoder(features, encoded, decoded), 2)
        decoded = self.stage2_decoder(encoded)
        attended, second = self.sam23(decoded[0], lr)

        features = self.concat23(torch.cat((self.shallow_feat3(lr), attended), dim=1))
        last: Tensor = self.tail(self.stage3_orsnet(features, encoded, decoded))
        return [*_joined([first], 2), second, lr + last]


class Encoder(nn.Module):
    """Features at full, half and quarter resolution, two channel attention blocks at each."""

    def __init__(self, preset: MPRNetPreset, act: nn.Module) -> None:
        """`act`: the activation that all blocks share."""
        super().__init__()
        full, half, quarter = _widths(preset)
        self.encoder_level1 = _blocks(full, 2, preset, act)
        self.encoder_level2 = _blocks(half, 2, preset, act)
        self.encoder_level3 = _blocks(quarter, 2, preset, act)
        self.down12 = _Down(full, half)
        self.down23 = _Down(half, quarter)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(n, width, h, w) to the features of the three resolutions, finest first."""
        full = self.encoder_level1(x)
        half = self.encoder_level2(self.down12(full))
        return [full, half, self.encoder_level3(self.down23(half))]


class FusingEncoder(Encoder):
    """An encoder that adds the features of the stage before at every resolution."""

    def __init__(self, preset: MPRNetPreset, act: nn.Module) -> None:
        """`act`: the activation that all blocks share."""
        super().__init__(preset, act)
        full, half, quarter = _widths(preset)
        self.csff_enc1, self.csff_enc2, self.csff_enc3 = (_conv(width, width, 1) for width in (full, half, quarter))
        self.csff_dec1, self.csff_dec2, self.csff_dec3 = (_conv(width, width, 1) for width in (full, half, quarter))

    def forward(  # type: ignore[override]
        self, x: Tensor, encoded: Sequence[Tensor], decoded: Sequence[Tensor]
    ) -> list[Tensor]:
        """(n, width, h, w) and the three features each of the last encoder and decoder to the three features here."""
        full = self.encoder_level1(x) + self.csff_enc1(encoded[0]) + self.csff_dec1(decoded[0])
        half = self.encoder_level2(self.down12(full)) + self.csff_enc2(encoded[1]) + self.csff_dec2(decoded[1])
        quarter = self.encoder_level3(self.down23(half)) + self.csff_enc3(encoded[2]) + self.csff_dec3(decoded[2])
        return [full, half, quarter]


class Decoder(nn.Module):
    """Two channel attention blocks at every resolution, quarter first, with a skip from the encoder through a block."""

    def __init__(self, preset: MPRNetPreset, act: nn.Module) -> None:
        """`act`: the activation that all blocks share."""
        super().__init__()
        full, half, quarter = _widths(preset)
        self.decoder_level1 = _blocks(full, 2, preset, act)
        self.decoder_level2 = _blocks(half, 2, preset, act)
        self.decoder_level3 = _blocks(quarter, 2, preset, act)
        self.skip_attn1 = _Block(full, preset.reduction, act)
        self.skip_attn2 = _Block(half, preset.reduction, act)
        self.up21 = _Up(half, full)
        self.up32 = _Up(quarter, half)

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        """The encoder's three features to three of the same shapes."""
        quarter = self.decoder_level3(encoded[2])
        half = self.decoder_level2(self.up32(quarter) + self.skip_attn2(encoded[1]))
        full = self.decoder_level1(self.up21(half) + self.skip_attn1(encoded[0]))
        return [full, half, quarter]


class SupervisedAttention(nn.Module):
    """A stage's picture, and its features weighted by what that picture says."""

    def __init__(self, width: int) -> None:
        """`width`: channels of the features."""
        super().__init__()
        self.conv1 = _conv(width, width, 1)
        self.conv2 = _conv(width, 3, 1)
        self.conv3 = _conv(3, width, 1)

    def forward(self, x: Tensor, lr: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, width, h, w) and the blurry picture (n, 3, h, w) to weighted features and the deblurred one."""
        picture = lr + self.conv2(x)
        return x + self.conv1(x) * torch.sigmoid(self.conv3(picture)), picture


class FullResolution(nn.Module):
    """The last stage: three groups of channel attention blocks, each followed by one resolution of the stage before."""

    def __init__(self, preset: MPRNetPreset, act: nn.Module) -> None:
        """`act`: the activation that all blocks share."""
        super().__init__()
        full, half, quarter = _widths(preset)
        last = full + preset.last_step
        self.orb1 = _Group(last, preset, act)
        self.orb2 = _Group(last, preset, act)
        self.orb3 = _Group(last, preset, act)
        self.up_enc1 = _Up(half, full)
        self.up_dec1 = _Up(half, full)
        self.up_enc2 = nn.Sequential(_Up(quarter, half), _Up(half, full))
        self.up_dec2 = nn.Sequential(_Up(quarter, half), _Up(half, full))
        self.conv_enc1, self.conv_enc2, self.conv_enc3 = (_conv(full, last, 1) for _ in range(3))
        self.conv_dec1, self.conv_dec2, self.conv_dec3 = (_conv(full, last, 1) for _ in range(3))

    def forward(self, x: Tensor, encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> Tensor:
        """(n, width + last_step, h, w) to the same shape, with the three features each of an encoder and a decoder."""
        x = self.orb1(x) + self.conv_enc1(encoded[0]) + self.conv_dec1(decoded[0])
        x = self.orb2(x) + self.conv_enc2(self.up_enc1(encoded[1])) + self.conv_dec2(self.up_dec1(decoded[1]))
        quarter = self.conv_enc3(self.up_enc2(encoded[2])) + self.conv_dec3(self.up_dec2(decoded[2]))
        refined: Tensor = self.orb3(x) + quarter
        return refined


class _Block(nn.Module):
    """Two convolutions weighted by channel attention, plus skip."""

    def __init__(self, width: int, reduction: int, act: nn.Module) -> None:
        super().__init__()
        self.CA = _ChannelAttention(width, reduction)
        self.body = nn.Sequential(_conv(width, width), act, _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.CA(self.body(x))
        return x + residual


class _ChannelAttention(nn.Module):
    """Weights every channel by a value in [0, 1] that is drawn from all channels' averages over the picture."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        inner = width // reduction
        self.conv_du = nn.Sequential(_conv(width, inner, 1), nn.ReLU(), _conv(inner, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.conv_du(x.mean(dim=(2, 3), keepdim=True))
        return x * weights


class _Group(nn.Module):
    """Channel attention blocks and a convolution, plus skip."""

    def __init__(self, width: int, preset: MPRNetPreset, act: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*_blocks(width, preset.blocks, preset, act), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.body(x)
        return x + residual


class _Down(nn.Module):
    """Half the resolution, bilinear, and other channels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Upsample(scale_factor=0.5, mode="bilinear"), _conv(channels_in, channels_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.down(x)
        return result


class _Up(nn.Module):
    """Twice the resolution, bilinear, and other channels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), _conv(channels_in, channels_out, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.up(x)
        return result


def _widths(preset: MPRNetPreset) -> tuple[int, int, int]:
    """Channels at full, half and quarter resolution."""
    return preset.width, preset.width + preset.width_step, preset.width + 2 * preset.width_step


def _blocks(width: int, count: int, preset: MPRNetPreset, act: nn.Module) -> nn.Sequential:
    return nn.Sequential(*(_Block(width, preset.reduction, act) for _ in range(count)))


def _conv(channels_in: int, channels_out: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)


def _split(x: Tensor, dim: int) -> Tensor:
    """Two halves of the pictures along `dim`, one after the other in the batch."""
    return torch.cat(_halves(x, dim), dim=0)


def _joined(features: Sequence[Tensor], dim: int) -> list[Tensor]:
    """What `_split` cut along `dim`, together again, for each of `features`."""
    return [torch.cat(_halves(x, 0), dim) for x in features]


def _halves(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """As `x.chunk(2, dim)`, which cannot be exported for any batch size."""
    half = x.shape[dim] // 2
    return x.narrow(dim, 0, half), x.narrow(dim, half, half)
