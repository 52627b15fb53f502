"""Compact cascades for CPUs, `cnlrn-s` and `cnlrn-xs`: the paper's idea at a few hundredths of its cost.

Kept from the paper (CNLRN, CVPRW 2021): a deblurring module that gives features, not a picture (sec. 3.1), non-local
residual groups on them (sec. 3.2), progressive upsampling x2, then x2, and one end-to-end training. Changed: attention
stays within windows on a fixed grid, what is taken from the whole picture is one survey of its blur, made beforehand
(so tiles match the whole), every stage has an exit to a picture, and the network predicts the difference to the bicubic
enlargement, which may neither add nor take light over large areas. docs/design-of-compact-models.md holds the
measurements behind the choices.
"""

import itertools
from collections.abc import Iterator
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
    survey_width: int = 64
    """Channels of the survey of the whole picture; 0 leaves it out."""
    deblurring: int = 1
    """0 leaves the encoder-decoder of the deblurring module out."""
    progressive: int = 1
    """0 enlarges LR features to each exit at once, without features at 2xLR."""


CNLRN_S = CompactPreset()
CNLRN_XS = CompactPreset(
    half_width=32, quarter_width=64, up_width=8, quarter_blocks=0, group_blocks=3, attention_width=32
)


class ResBlock(nn.Module):
    """x + conv(gain * relu(conv(x) + offset)), 3x3, without normalisation."""

    def __init__(self, width: int) -> None:
        """`width`: channels in and out."""
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, tuning: Tensor | None = None) -> Tensor:
        """(n, width, h, w) to the same shape; `tuning` is (n, 2, width, 1, 1), gain less 1 and offset, zero if None."""
        inner = self.first(x)
        inner = F.relu(inner) if tuning is None else (1 + tuning[:, 0]) * F.relu(inner + tuning[:, 1])
        residual: Tensor = self.second(inner)
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

    def forward(self, x: Tensor, tuning: Iterator[Tensor | None]) -> Tensor:
        """(n, width, h, w) to the same shape; each residual block takes the next of `tuning`."""
        for layer in self.body:
            x = layer(x, next(tuning)) if isinstance(layer, ResBlock) else layer(x)
        return x


class Survey(nn.Module):
    """What a whole picture tells of its blur: means of learned features, over all pixels and over its detail.

    One blurry edge may be a soft thing taken sharply; that all edges are blurry, in one direction, shows a shake. A
    mean is as good from parts of a picture as from the whole, and means of parts can be averaged.
    """

    def __init__(self, width: int) -> None:
        """`width`: channels of features."""
        super().__init__()
        self.first = nn.Conv2d(3, width * 3 // 4, 5, stride=2, padding=2)
        self.second = nn.Conv2d(width * 3 // 4, width, 3, stride=2, padding=1)
        self.third = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w), h and w multiples of 4, to the means (n, 2 width + 1): features times energy, features, energy.

        Energy is that of the detail, what a mean over 5x5 pixels leaves.
        """
        detail = lr - F.avg_pool2d(F.pad(lr, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
        energy = F.avg_pool2d(detail.square().mean(1, keepdim=True), 4)
        features = F.relu(self.first(4 * detail))
        features = F.relu(self.third(F.relu(self.second(features)))).float()
        return torch.cat([energy * features, features, energy], 1).mean((2, 3))


class Tuning(nn.Module):
    """A survey to gains and offsets of residual blocks (feature-wise modulation, Perez et al., FiLM, AAAI 2018)."""

    def __init__(self, survey_width: int, blocks: int, width: int, surveys: int = 1) -> None:
        """`blocks` of `width` channels, tuned by so many `surveys`. It begins with gains of 1 and offsets of 0."""
        super().__init__()
        self.shape = (blocks, 2, width, 1, 1)
        self.surveys = surveys
        self.inner = nn.Linear(surveys * 2 * survey_width, survey_width)
        self.outer = nn.Linear(survey_width, 2 * blocks * width)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(self, survey: Tensor) -> tuple[Tensor, ...]:
        """Surveys, (n, 2 survey_width + 1) of each, side by side, to one (n, 2, width, 1, 1) for each block: gain less
        1, and offset."""
        channels = self.inner.out_features
        means = []
        for one in survey.chunk(self.surveys, 1):
            weighted, plain, energy = one[:, :channels], one[:, channels:-1], one[:, -1:]
            means += [weighted / (energy + 1e-6), plain]
        told = torch.log1p(8 * torch.cat(means, 1))
        tuning: Tensor = self.outer(F.relu(self.inner(told)))
        return tuning.reshape(-1, *self.shape).unbind(1)


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

    def forward(self, lr: Tensor, entering: Tensor | None = None) -> Tensor:
        """(n, 3, h, w) to (n, width, h, w), h and w multiples of 4; `entering` are features (n, width, h, w) from
        elsewhere that join the first ones."""
        first = self.head(lr)
        full = F.relu(first if entering is None else first + entering)
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
        self.body = nn.ModuleList(NonLocalGroup(preset) for _ in range(preset.groups))
        self.surveyor = Survey(preset.survey_width) if preset.survey_width else None
        self.tuning = Tuning(preset.survey_width, preset.groups * preset.group_blocks, width) if self.surveyor else None
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

    def forward(self, lr: Tensor, scale: int = 4, survey: Tensor | None = None) -> Tensor:
        """See `RestorationNetwork.forward`; `survey` is that of the whole picture, `lr` itself if None."""
        self.check_scale(scale)
        clear = self.deblur(lr)
        return self._picture(lr, clear if scale == 1 else self._rich(lr, clear, survey), scale)

    def outputs(self, lr: Tensor, survey: Tensor | None = None) -> dict[int, Tensor]:
        """See `RestorationNetwork.outputs`: all three in one pass."""
        clear = self.deblur(lr)
        rich = self._rich(lr, clear, survey)
        return {scale: self._picture(lr, clear if scale == 1 else rich, scale) for scale in self.scales}

    def survey(self, lr: Tensor) -> Tensor | None:
        """See `RestorationNetwork.survey`."""
        return self.surveyor(lr) if self.surveyor else None

    def project_target(self, lr: Tensor, target: Tensor, scale: int) -> Tensor:
        """See `RestorationNetwork.project_target`: `target` with the light of `lr`."""
        return self._joined(lr, target - self._enlarged(lr, scale), scale)

    def _rich(self, lr: Tensor, clear: Tensor, survey: Tensor | None) -> Tensor:
        """Clear LR features to those that the exits at x2 and x4 read, `rich_scale` times LR's size."""
        survey = self.survey(lr) if survey is None else survey
        tuning: Iterator[Tensor | None] = iter(self.tuning(survey)) if self.tuning else itertools.repeat(None)
        rich = clear
        for group in self.body:
            rich = group(rich, tuning)
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

        `difference` is (n, 3k, scale*h, scale*w), k samples of a colour side by side. The contrast that it adds is a
        variance of means over 2x2 LR pixels, as an exposure loses no finer one that LR would show.
        """
        excess = excess_light(_means(lr, 2), _means(difference, 2 * scale), self.multiple // 2)
        return lr - F.interpolate(excess, scale_factor=float(self.multiple), mode="bilinear", align_corners=False)


def excess_light(given: Tensor, added: Tensor, cell: int) -> Tensor:
    """By how much values `given` (n, 3, h, w) have to fall in each cell of `cell` x `cell`, so that with `added` (as
    large) the light there stays: (n, 3, h/cell, w/cell).

    That is the mean of `added`, and what the contrast that it adds would add to the light. Interpolated linearly
    between the cells' centres both keep their sum.
    """
    level, rise = _means(given, cell), _means(added, cell)
    variance = _means(added * (2 * given + added), cell) - rise * (2 * level + rise)
    return rise + _DARKENING * variance * level / (level**2 + variance.abs() + 1e-4)  # bounded in the dark


def _means(x: Tensor, cell: int) -> Tensor:
    """(n, 3k, h, w), k samples of a colour side by side, to its (n, 3, h/cell, w/cell) means, in float32."""
    n, channels, height, width = x.shape
    rows = x.float().reshape(n, channels, height, width // cell, cell).mean(-1)  # engines pool slowly
    return rows.reshape(n, 3, channels // 3, height // cell, cell, width // cell).mean((2, 4))


def reach_of_features(preset: CompactPreset) -> int:
    """How many LR pixels away a feature at LR can look, at most, however it lies on the grids."""
    encoder_decoder = 1 + 2 * (1 + 4 * preset.half_blocks) + 4 * 2 * preset.quarter_blocks + 3
    deblurring = 1 + (encoder_decoder if preset.deblurring else 0)
    group = preset.patch * preset.window - 1 + 2 * preset.group_blocks
    return deblurring + preset.groups * group


def _reach(preset: CompactPreset) -> int:
    """How many LR pixels away a pixel of the output can look, at most, however it lies on the grids."""
    upsampling = 1 + (preset.up_blocks + 1 if preset.progressive else 0)
    steadying = preset.patch * preset.window * 3 // 2
    return reach_of_features(preset) + upsampling + steadying
