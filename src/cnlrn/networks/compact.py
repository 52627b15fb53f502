"""Compact cascades for CPUs, `cnlrn-s` and `cnlrn-xs`: the paper's idea at a few hundredths of its cost.

Kept from the paper (CNLRN, CVPRW 2021): a deblurring module that gives features, not a picture (sec. 3.1), non-local
residual groups on them (sec. 3.2), progressive upsampling x2, then x2, and one end-to-end training. Changed: attention
stays within windows on a fixed grid, there is no statistic over the whole picture (so tiles match the whole), every
stage has an exit to a picture, and the network predicts the difference to the bicubic enlargement, which may neither
add nor take light over large areas. docs/design-of-compact-models.md holds the measurements behind the choices.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import Bicubic

_DARKENING = 0.6
"""By how much the mean of values falls, for the same light, with the variance that they gain, over their mean: half of
the second derivative of light, values to the power of 2.2, by its first."""


@dataclass(frozen=True)
class CompactPreset:
    """Hyper-parameters of `CompactCNLRN`. Widths are channels, the others counts of blocks or sizes in pixels."""

    width: int = 32
    """Channels at LR."""
    half_width: int = 64
    """Channels at LR/2."""
    quarter_width: int = 96
    """Channels at LR/4."""
    up_width: int = 16
    """Channels at 2xLR."""
    half_blocks: int = 0
    """Residual blocks at LR/2, before and again after the LR/4 level."""
    quarter_blocks: int = 2
    """Residual blocks at LR/4."""
    groups: int = 1
    """Non-local residual groups at LR."""
    group_blocks: int = 8
    """Residual blocks in each group."""
    up_blocks: int = 0
    """Residual blocks at 2xLR."""
    attention_width: int = 64
    """Channels of a token in the non-local blocks; 0 leaves these blocks out."""
    heads: int = 4
    patch: int = 4
    """Side of a token in LR pixels."""
    window: int = 4
    """Side of an attention window in tokens."""
    deblurring: int = 1
    """0 leaves the encoder-decoder of the deblurring module out."""
    progressive: int = 1
    """0 enlarges LR features to each exit at once, without features at 2xLR."""


CNLRN_S = CompactPreset()
CNLRN_XS = CompactPreset(
    half_width=32, quarter_width=64, up_width=8, quarter_blocks=0, group_blocks=3, attention_width=32
)


class ResBlock(nn.Module):
    """x + conv(relu(conv(x))), 3x3, without normalisation."""

    def __init__(self, width: int) -> None:
        """`width`: channels in and out."""
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        residual: Tensor = self.second(F.relu(self.first(x)))
        return x + residual


class NonLocalBlock(nn.Module):
    """Attention between patches of a window (paper, sec. 3.2): x + project(softmax(q k^T / sqrt(d)) v).

    A token embeds a patch of `patch` x `patch` pixels. Windows of `window` x `window` tokens lie on a fixed grid from
    the picture's corner, so the cost grows linearly with the area, and a tile cut on that grid gives the same result.
    """

    def __init__(self, width: int, patch: int, attention_width: int, heads: int, window: int) -> None:
        """`width`: channels in and out; `attention_width`: channels of a token, a multiple of `heads`."""
        super().__init__()
        self.patch, self.heads, self.window = patch, heads, window
        self.embed = nn.Conv2d(width, 3 * attention_width, patch, stride=patch)
        self.project = nn.Conv2d(attention_width, width * patch * patch, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w), h and w multiples of patch x window, to the same shape."""
        tokens = self.embed(x)
        n, channels, rows, columns = tokens.shape
        w, heads = self.window, self.heads
        depth = channels // 3 // heads
        split = tokens.reshape(n, 3, heads, depth, rows // w, w, columns // w, w)
        q, k, v = split.permute(1, 0, 4, 6, 2, 5, 7, 3).reshape(3, -1, heads, w * w, depth).unbind(0)
        scores = torch.softmax((q * depth**-0.5) @ k.transpose(-1, -2), dim=-1)
        joined = (scores @ v).reshape(n, rows // w, columns // w, heads, w, w, depth)
        joined = joined.permute(0, 3, 6, 1, 4, 2, 5).reshape(n, channels // 3, rows, columns)
        return x + F.pixel_shuffle(self.project(joined), self.patch)


class NonLocalGroup(nn.Module):
    """A non-local residual group: a non-local block, then residual blocks, each with its own skip."""

    def __init__(self, preset: CompactPreset) -> None:
        """A group at LR."""
        super().__init__()
        self.body = nn.Sequential(*(ResBlock(preset.width) for _ in range(preset.group_blocks)))
        if preset.attention_width:
            attention = NonLocalBlock(preset.width, preset.patch, preset.attention_width, preset.heads, preset.window)
            self.body.insert(0, attention)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        result: Tensor = self.body(x)
        return result


class DeblurringModule(nn.Module):
    """LR picture to clear LR features: an encoder-decoder whose body works at LR/4 (paper, sec. 3.1)."""

    def __init__(self, preset: CompactPreset) -> None:
        """Widths and counts from the preset."""
        super().__init__()
        full, half, quarter = preset.width, preset.half_width, preset.quarter_width
        self.head = nn.Conv2d(3, full, 3, padding=1)
        self.down1 = nn.Conv2d(full, half, 3, stride=2, padding=1)
        self.encoder = nn.Sequential(*(ResBlock(half) for _ in range(preset.half_blocks)))
        self.down2 = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.body = nn.Sequential(*(ResBlock(quarter) for _ in range(preset.quarter_blocks)))
        self.up2 = nn.Conv2d(quarter, 4 * half, 1)
        self.decoder = nn.Sequential(*(ResBlock(half) for _ in range(preset.half_blocks)))
        self.up1 = nn.Conv2d(half, 4 * full, 1)

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, width, h, w), h and w multiples of 4."""
        full = F.relu(self.head(lr))
        half = self.encoder(F.relu(self.down1(full)))
        quarter = self.body(F.relu(self.down2(half)))
        half = self.decoder(half + F.pixel_shuffle(self.up2(quarter), 2))
        return full + F.pixel_shuffle(self.up1(half), 2)


class CompactCNLRN(RestorationNetwork):
    """A compact cascade with exits at x1 (deblurring alone), x2 and x4."""

    scales = (1, 2, 4)
    deblurring = "deblur"

    def __init__(self, preset: CompactPreset) -> None:
        """Build with random weights; the exits begin near zero, so that training begins at the bicubic enlargement."""
        super().__init__()
        self.multiple = preset.patch * preset.window
        self.context = -(-_reach(preset) // self.multiple) * self.multiple
        width, up = preset.width, preset.up_width
        self.deblur = (
            DeblurringModule(preset)
            if preset.deblurring
            else nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())
        )
        self.body = nn.Sequential(*(NonLocalGroup(preset) for _ in range(preset.groups)))
        self.exit1 = nn.Conv2d(width, 3, 3, padding=1)
        channels, self.rich_scale = (up, 2) if preset.progressive else (width, 1)
        if preset.progressive:
            self.upsample1 = nn.Conv2d(width, 4 * up, 3, padding=1)
            self.refine = nn.Sequential(*(ResBlock(up) for _ in range(preset.up_blocks)))
        self.exit2 = nn.Conv2d(channels, 3 * (2 // self.rich_scale) ** 2, 3, padding=1)
        self.exit4 = nn.Conv2d(channels, 3 * (4 // self.rich_scale) ** 2, 3, padding=1)
        self.bicubic2, self.bicubic4 = Bicubic(2), Bicubic(4)
        for layer in (self.exit1, self.exit2, self.exit4):
            layer.weight.data.mul_(0.1)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        clear = self.deblur(lr)
        return self._picture(lr, clear if scale == 1 else self._rich(clear), scale)

    def exits(self, lr: Tensor) -> dict[int, Tensor]:
        """See `RestorationNetwork.exits`: all three in one pass."""
        clear = self.deblur(lr)
        rich = self._rich(clear)
        return {scale: self._picture(lr, clear if scale == 1 else rich, scale) for scale in self.scales}

    def attainable(self, lr: Tensor, target: Tensor, scale: int) -> Tensor:
        """See `RestorationNetwork.attainable`: `target` with the light of `lr`."""
        return self._joined(lr, target - self._enlarged(lr, scale), scale)

    def _rich(self, clear: Tensor) -> Tensor:
        """Clear LR features to those that the exits at x2 and x4 read, `rich_scale` times LR's size."""
        rich: Tensor = self.body(clear)
        return rich if self.rich_scale == 1 else self.refine(F.pixel_shuffle(F.relu(self.upsample1(rich)), 2))

    def _picture(self, lr: Tensor, features: Tensor, scale: int) -> Tensor:
        """The exit at `scale`."""
        difference: Tensor = {1: self.exit1, 2: self.exit2, 4: self.exit4}[scale](features)
        return self._joined(lr, difference, scale, 1 if scale == 1 else scale // self.rich_scale)

    def _joined(self, lr: Tensor, difference: Tensor, scale: int, factor: int = 1) -> Tensor:
        """The bicubic enlargement of `lr` and the difference to it, whose height and width are `factor` times smaller,
        with factor x factor samples of a colour in channels side by side."""
        enlarged = self._enlarged(self._steady(lr, difference, scale // factor), scale)
        return enlarged + (difference if factor == 1 else F.pixel_shuffle(difference, factor))

    def _enlarged(self, lr: Tensor, scale: int) -> Tensor:
        enlarged: Tensor = lr if scale == 1 else self.bicubic2(lr) if scale == 2 else self.bicubic4(lr)
        return enlarged

    def _steady(self, lr: Tensor, difference: Tensor, scale: int) -> Tensor:
        """LR less what `difference` would add to the light around each pixel, so that colours cannot drift.

        `difference` is (n, 3k, scale*h, scale*w), k samples of a colour side by side. Taken out of each cell of the
        grid of `multiple` LR pixels are its mean, and what the contrast that it adds would add to the light there: that
        contrast is a variance of means over 2x2 LR pixels, as an exposure loses no finer one that LR would show.
        Between the cells' centres both are interpolated linearly, which keeps their sum.
        """
        cell = self.multiple // 2
        given, added = _means(lr, 2), _means(difference, 2 * scale)
        level, rise = _means(given, cell), _means(added, cell)
        variance = _means(added * (2 * given + added), cell) - rise * (2 * level + rise)
        excess = rise + _DARKENING * variance * level / (level**2 + variance.abs() + 1e-4)  # bounded in the dark
        return lr - F.interpolate(excess, scale_factor=float(self.multiple), mode="bilinear", align_corners=False)


def _means(x: Tensor, cell: int) -> Tensor:
    """(n, 3k, h, w), k samples of a colour side by side, to its (n, 3, h/cell, w/cell) means, in float32."""
    n, channels, height, width = x.shape
    rows = x.float().reshape(n, channels, height, width // cell, cell).mean(-1)  # engines pool slowly
    return rows.reshape(n, 3, channels // 3, height // cell, cell, width // cell).mean((2, 4))


def _reach(preset: CompactPreset) -> int:
    """How many LR pixels away a pixel of the output can look, at most, however it lies on the grids."""
    encoder_decoder = 1 + 2 * (1 + 4 * preset.half_blocks) + 4 * 2 * preset.quarter_blocks + 3
    deblurring = 1 + (encoder_decoder if preset.deblurring else 0)
    group = preset.patch * preset.window - 1 + 2 * preset.group_blocks
    upsampling = 1 + (preset.up_blocks + 1 if preset.progressive else 0)
    steadying = preset.patch * preset.window * 3 // 2
    return deblurring + preset.groups * group + upsampling + steadying
