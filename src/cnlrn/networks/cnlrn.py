"""CNLRN: a cascaded non-local residual network for super-resolving blurry images (Bai et al., CVPR Workshops 2021).

A deblurring module makes clear features from the blurry LR picture, a non-local residual network (NLRN) enlarges them
to the x4 picture in two steps of two. `DeblurringPretraining` is the deblurring module with colours as its output,
which the paper trains first and alone. Classes are named as in the paper; attributes are named as in the published
checkpoints, so that those load as they are.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork

PATCH = 4  # an attention token is a patch of 4x4 pixels
HEADS = 4
REDUCTION = 16  # of the channels inside channel attention


@dataclass(frozen=True)
class CNLRNPreset:
    """Hyper-parameters of the paper's network (83,063,491 parameters with these defaults).

    Attributes:
        n_deblur_blocks: residual blocks of the deblurring module at LR/4.
        n_nlrgs_body: non-local residual groups at LR.
        n_nlrgs_up1: groups at LR before the first enlargement.
        n_nlrgs_up2: groups at 2xLR before the second enlargement.
        n_subgroups: subgroups of a group.
        n_rcabs: residual channel-attention blocks of a subgroup.
        n_feats: channels at LR and above; a multiple of 4 heads, at least 16.
    """

    n_deblur_blocks: int = 20
    n_nlrgs_body: int = 6
    n_nlrgs_up1: int = 2
    n_nlrgs_up2: int = 2
    n_subgroups: int = 2
    n_rcabs: int = 4
    n_feats: int = 64


class CNLRN(RestorationNetwork):
    """The whole cascade, (n, 3, h, w) to (n, 3, 4h, 4w), h and w multiples of 4 (paper, section 3)."""

    scales = (4,)
    multiple = PATCH
    context = None
    deblurring = "DeblurNet"

    def __init__(self, preset: CNLRNPreset) -> None:
        """Both parts with random weights."""
        super().__init__()
        self.DeblurNet = DeblurringModule(preset, to_colours=False)
        self.SRNet = NonLocalResidualNetwork(preset)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """Restore `lr` (n, 3, h, w) in [0, 1] to (n, 3, 4h, 4w), not clipped; CnlrnError unless scale is 4."""
        self.check_scale(scale)
        restored: Tensor = self.SRNet(self.DeblurNet(lr))
        return restored


class DeblurringPretraining(RestorationNetwork):
    """The deblurring module with three colours as output, as the paper pretrains it: blurry LR to sharp LR."""

    scales = (1,)
    multiple = 4
    deblurring = "DeblurNet"

    def __init__(self, preset: CNLRNPreset) -> None:
        """The module with random weights."""
        super().__init__()
        self.context = 85 + 16 * preset.n_deblur_blocks  # a residual block reaches 4 pixels at LR/4
        self.DeblurNet = DeblurringModule(preset, to_colours=True)

    def forward(self, lr: Tensor, scale: int = 1) -> Tensor:
        """Deblur `lr` (n, 3, h, w) in [0, 1] to the same size, not clipped; CnlrnError unless scale is 1."""
        self.check_scale(scale)
        deblurred: Tensor = self.DeblurNet(lr)
        return deblurred


class DeblurringModule(nn.Module):
    """Encoder-decoder of residual blocks, (n, 3, h, w) to (n, n_feats or 3, h, w)."""

    def __init__(self, preset: CNLRNPreset, to_colours: bool) -> None:
        """`to_colours`: end in three colours, for pretraining, not in features."""
        super().__init__()
        n = preset.n_feats
        self.inBlock = nn.Sequential(_Conv5(3, n, relu=True), *_res_blocks(n, 3))
        self.encoder_first = nn.Sequential(_Conv5(n, 2 * n, stride=2, relu=True), *_res_blocks(2 * n, 3))
        self.encoder_second = _Conv5(2 * n, 4 * n, stride=2, relu=True)
        self.body = nn.Sequential(*_res_blocks(4 * n, preset.n_deblur_blocks))
        self.decoder_second = _Upsample(4 * n, 2 * n)
        self.decoder_first = nn.Sequential(*_res_blocks(2 * n, 3), _Upsample(2 * n, n))
        self.outBlock = nn.Sequential(*_res_blocks(n, 3))
        if to_colours:
            self.outBlock.append(_Conv5(n, 3))

    def forward(self, lr: Tensor) -> Tensor:
        """Features (n, n_feats, h, w), or colours (n, 3, h, w), of `lr` (n, 3, h, w), h and w multiples of 4."""
        full = self.inBlock(lr)
        half = self.encoder_first(full)
        quarter = self.body(self.encoder_second(half))
        half = self.decoder_second(quarter) + half
        full = self.decoder_first(half) + full
        out: Tensor = self.outBlock(full)
        return out


class NonLocalResidualNetwork(nn.Module):
    """NLRN: features (n, n_feats, h, w) of the LR picture to the picture (n, 3, 4h, 4w), in two steps of two."""

    def __init__(self, preset: CNLRNPreset) -> None:
        """Channels and counts from the preset."""
        super().__init__()
        n = preset.n_feats
        self.body = _groups(preset, preset.n_nlrgs_body)
        self.upsample_body_1 = _groups(preset, preset.n_nlrgs_up1)
        self.upsampler_1 = nn.Sequential(_conv3(n, 4 * n), nn.PixelShuffle(2))
        self.upsample_body_2 = _groups(preset, preset.n_nlrgs_up2)
        self.upsampler_2 = nn.Sequential(_conv3(n, 4 * n), nn.PixelShuffle(2))
        self.tail = nn.Sequential(_conv3(n, n), _conv3(n, 3))

    def forward(self, features: Tensor) -> Tensor:
        """The x4 picture of LR `features`."""
        x = features + self.body(features)
        x = self.upsampler_1(x + self.upsample_body_1(x))
        x = self.upsampler_2(x + self.upsample_body_2(x))
        out: Tensor = self.tail(x)
        return out


class NonLocalResidualGroup(nn.Module):
    """NLRG: subgroups and a convolution, plus skip."""

    def __init__(self, preset: CNLRNPreset) -> None:
        """Channels and counts from the preset."""
        super().__init__()
        subgroups = (NonLocalSubgroup(preset.n_feats, preset.n_rcabs) for _ in range(preset.n_subgroups))
        self.body = nn.Sequential(*subgroups, _conv3(preset.n_feats, preset.n_feats))

    def forward(self, x: Tensor) -> Tensor:
        """(n, n_feats, h, w) to the same shape."""
        residual: Tensor = self.body(x)
        return x + residual


class NonLocalSubgroup(nn.Module):
    """A non-local block, residual channel-attention blocks and a convolution, plus skip."""

    def __init__(self, channels: int, n_rcabs: int) -> None:
        """`channels` in and out; `n_rcabs` blocks after the non-local one."""
        super().__init__()
        self.nonlocal_block = NonLocalBlock(channels)
        rcabs = (ResidualChannelAttentionBlock(channels) for _ in range(n_rcabs))
        self.rcab_body = nn.Sequential(*rcabs, _conv3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same shape."""
        residual: Tensor = self.rcab_body(self.nonlocal_block(x))
        return x + residual


class NonLocalBlock(nn.Module):
    """Attention between all patches of the picture, then a feed-forward part, each added to its input."""

    def __init__(self, channels: int) -> None:
        """`channels` in and out."""
        super().__init__()
        self.attention = PatchAttention(channels)
        self.feed_forward = FeedForward(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same shape."""
        x = x + self.attention(x)
        residual: Tensor = self.feed_forward(x)
        return x + residual


class PatchAttention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V over all 4x4 patches of a picture, in 4 heads of a quarter of the channels each.

    A token is a patch's d = channels/4 * 16 values. torch's fused attention never holds the scores, whose number grows
    with the square of the area (0.77 GiB a head at 640x360).
    """

    def __init__(self, channels: int) -> None:
        """`channels` in and out, a multiple of 4."""
        super().__init__()
        self.query_embedding = nn.Conv2d(channels, channels, 1)
        self.value_embedding = nn.Conv2d(channels, channels, 1)
        self.key_embedding = nn.Conv2d(channels, channels, 1)
        self.output_linear = nn.Sequential(_conv3(channels, channels), nn.LeakyReLU(0.2, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same shape, h and w multiples of 4."""
        attended = F.scaled_dot_product_attention(
            to_tokens(self.query_embedding(x)), to_tokens(self.key_embedding(x)), to_tokens(self.value_embedding(x))
        )
        out: Tensor = self.output_linear(from_tokens(attended, *x.shape[2:]))
        return out


def to_tokens(x: Tensor) -> Tensor:
    """Cut (n, c, h, w) into (n, 4 heads, h/4 * w/4 patches, c/4 * 16 values)."""
    n, c, h, w = x.shape
    patches = x.reshape(n, HEADS, c // HEADS, h // PATCH, PATCH, w // PATCH, PATCH).permute(0, 1, 3, 5, 2, 4, 6)
    return patches.reshape(n, HEADS, (h // PATCH) * (w // PATCH), c // HEADS * PATCH**2)


def from_tokens(tokens: Tensor, h: int, w: int) -> Tensor:
    """Put what `to_tokens` cut together again: (n, c, h, w)."""
    n, _, _, d = tokens.shape
    c = d // PATCH**2
    patches = tokens.reshape(n, HEADS, h // PATCH, w // PATCH, c, PATCH, PATCH).permute(0, 1, 4, 2, 5, 3, 6)
    return patches.reshape(n, HEADS * c, h, w)


class FeedForward(nn.Module):
    """Two 3x3 convolutions, the first dilated by 2, each with LeakyReLU(0.2)."""

    def __init__(self, channels: int) -> None:
        """`channels` in and out."""
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2),
            nn.LeakyReLU(0.2, inplace=True),
            _conv3(channels, channels),
            nn.LeakyReLU(0.2, inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same shape."""
        out: Tensor = self.conv(x)
        return out


class ResidualChannelAttentionBlock(nn.Module):
    """RCAB (Zhang et al., ECCV 2018): two convolutions weighted by channel attention, plus skip."""

    def __init__(self, channels: int) -> None:
        """`channels` in and out, at least 16."""
        super().__init__()
        self.body = nn.Sequential(
            _conv3(channels, channels), nn.ReLU(inplace=True), _conv3(channels, channels), ChannelAttention(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same shape."""
        residual: Tensor = self.body(x)
        return x + residual


class ChannelAttention(nn.Module):
    """Weights every channel by a value in [0, 1] that is drawn from all channels' averages over the picture."""

    def __init__(self, channels: int) -> None:
        """`channels` in and out, at least 16."""
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, channels // REDUCTION, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // REDUCTION, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to the same shape."""
        weights: Tensor = self.conv_du(x.mean(dim=(2, 3), keepdim=True))
        return x * weights


class _Conv5(nn.Module):
    """5x5 convolution with or without ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, relu: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels_in, channels_out, 5, stride, padding=2))
        if relu:
            self.body.append(nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class _Upsample(nn.Module):
    """Transposed 3x3 convolution that doubles height and width, and ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        upsample = nn.ConvTranspose2d(channels_in, channels_out, 3, stride=2, padding=1, output_padding=1)
        self.body = nn.Sequential(upsample, nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class _ResBlock(nn.Module):
    """Two 5x5 convolutions with ReLU between them, plus skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_Conv5(channels, channels), nn.ReLU(inplace=True), _Conv5(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.body(x)
        return x + residual


def _res_blocks(channels: int, count: int) -> list[nn.Module]:
    return [_ResBlock(channels) for _ in range(count)]


def _groups(preset: CNLRNPreset, count: int) -> nn.Sequential:
    """`count` non-local residual groups and a convolution."""
    groups = (NonLocalResidualGroup(preset) for _ in range(count))
    return nn.Sequential(*groups, _conv3(preset.n_feats, preset.n_feats))


def _conv3(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)
