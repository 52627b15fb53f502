"""SRN-DeblurNet: a scale-recurrent network for deep image deblurring (Tao, Gao, Shen, Wang, Jia, CVPR 2018).

One encoder-decoder of 5x5 residual blocks deblurs the picture at a quarter, then at half, then at its full resolution,
with the same weights each time. Each pass sees the blurry picture and the enlarged result of the pass before, and a
convolutional LSTM between encoder and decoder remembers across passes. Gradients go back through that memory alone, not
through the enlarged result, as in the authors' program. Pictures are resized bilinearly with pixels as areas (the
authors' program samples at pixel corners).
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import conv3

FACTORS = (4, 2, 1)  # by which a pass's picture is smaller than the whole
FORGET_BIAS = 1.0  # added to the forget gate, so that an untrained cell remembers


@dataclass(frozen=True)
class SRNPreset:
    """Hyper-parameters of the paper's network (8,061,411 parameters with these defaults)."""

    width: int = 32
    """Channels at a pass's full resolution; twice as many at half, four times as many at a quarter."""
    blocks: int = 3
    """Residual blocks of the encoder, and of the decoder, at each resolution."""


SRN_S = SRNPreset(width=13)


class SRN(RestorationNetwork):
    """The three passes, (n, 3, h, w) to the same shape, h and w multiples of 16."""

    scales = (1,)
    multiple = 16

    def __init__(self, preset: SRNPreset) -> None:
        """One pass's weights, random."""
        super().__init__()
        self.context = -(-_reach(preset) // self.multiple) * self.multiple
        full, half, quarter = preset.width, 2 * preset.width, 4 * preset.width
        self.encode_full = nn.Sequential(_conv5(6, full), nn.ReLU(), *_res_blocks(full, preset))
        self.encode_half = nn.Sequential(_conv5(full, half, stride=2), nn.ReLU(), *_res_blocks(half, preset))
        self.encode_quarter = nn.Sequential(_conv5(half, quarter, stride=2), nn.ReLU(), *_res_blocks(quarter, preset))
        self.memory = ConvLSTM(quarter)
        self.decode_quarter = nn.Sequential(*_res_blocks(quarter, preset), *_double(quarter, half))
        self.decode_half = nn.Sequential(*_res_blocks(half, preset), *_double(half, full))
        self.decode_full = nn.Sequential(*_res_blocks(full, preset), _conv5(full, 3))

    def forward(self, lr: Tensor, scale: int = 1) -> Tensor:
        """Deblur `lr` (n, 3, h, w) in [0, 1] to the same size, not clipped; CnlrnError unless scale is 1."""
        self.check_scale(scale)
        return self.pyramid(lr)[-1]

    def training_outputs(self, lr: Tensor, scales: Collection[int]) -> dict[int, list[Tensor]]:
        """See `RestorationNetwork.training_outputs`: the pictures of all passes."""
        return {1: self.pyramid(lr)}

    def pyramid(self, lr: Tensor) -> list[Tensor]:
        """The results of all passes, at h/4, h/2 and h; the paper's loss compares each with the sharp picture's."""
        n, _, h, w = lr.shape
        picture = F.interpolate(lr, scale_factor=1 / FACTORS[0], mode="bilinear")
        cell = hidden = lr.new_zeros(n, self.memory.width, h // 4 // FACTORS[0], w // 4 // FACTORS[0])
        pictures: list[Tensor] = []
        for factor in FACTORS:
            blurry = F.interpolate(lr, scale_factor=1 / factor, mode="bilinear")
            if pictures:
                picture, cell, hidden = _enlarged(picture.detach()), _enlarged(cell), _enlarged(hidden)
            picture, cell, hidden = self._deblur(torch.cat((blurry, picture), dim=1), cell, hidden)
            pictures.append(picture)
        return pictures

    def _deblur(self, pictures: Tensor, cell: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One pass over blurry picture and earlier result, (n, 6, h, w): new result, new state of the memory."""
        full = self.encode_full(pictures)
        half = self.encode_half(full)
        cell, hidden = self.memory(self.encode_quarter(half), cell, hidden)
        half = half + self.decode_quarter(hidden)
        full = full + self.decode_half(half)
        return self.decode_full(full), cell, hidden


class ConvLSTM(nn.Module):
    """A long short-term memory whose gates are 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        """`width`: channels of input, cell and hidden state."""
        super().__init__()
        self.width = width
        self.gates = conv3(2 * width, 4 * width)

    def forward(self, x: Tensor, cell: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Input, cell and hidden state, all (n, width, h, w), to the new cell and hidden state."""
        take, new, keep, give = self.gates(torch.cat((x, hidden), dim=1)).chunk(4, dim=1)
        cell = cell * torch.sigmoid(keep + FORGET_BIAS) + torch.sigmoid(take) * torch.tanh(new)
        return cell, torch.tanh(cell) * torch.sigmoid(give)


class _ResBlock(nn.Module):
    """x + conv(relu(conv(x))), 5x5, without normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv5(width, width), nn.ReLU(), _conv5(width, width))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.body(x)
        return x + residual


def _res_blocks(width: int, preset: SRNPreset) -> list[nn.Module]:
    return [_ResBlock(width) for _ in range(preset.blocks)]


def _conv5(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 5, stride, padding=2)


def _enlarged(x: Tensor) -> Tensor:
    """Twice the resolution, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def _double(channels_in: int, channels_out: int) -> tuple[nn.Module, nn.Module]:
    """Twice the resolution, by a transposed convolution."""
    return nn.ConvTranspose2d(channels_in, channels_out, 4, stride=2, padding=1), nn.ReLU()


def _reach(preset: SRNPreset) -> int:
    """How many pixels away a pixel of the output can look, at most, however it lies on the grids."""
    blocks = 4 * preset.blocks
    encoder = 2 + blocks + 2 + 2 * blocks + 4 + 4 * blocks
    decoder = 4 * blocks + 4 + 2 * blocks + 2 + blocks + 2
    passes = sum(FACTORS) * (encoder + 4 + decoder)
    enlargements = sum(FACTORS[:-1])
    return passes + enlargements
