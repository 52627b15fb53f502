"""Small parts that several networks share: convolution, residual block, upsamplers, colour, initial weights.

Only what is the same in at least two of them; what belongs to one paper stays in that paper's file.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.degradation.resize import enlarging_kernel
from cnlrn.networks.base import RestorationNetwork

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # mean RGB of the DIV2K training pictures
INNER_RANGE = 255.0  # networks with a mean shift work on values of 8-bit size
LUMINANCE = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601)


def conv3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """3x3 convolution that keeps height and width, borders padded with zeros."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


class ResidualBlock(nn.Module):
    """x + residual_scale * conv2(relu(conv1(x))), 3x3, without normalisation (EDSR, Lim et al., 2017, fig. 2c)."""

    def __init__(self, width: int, residual_scale: float = 1.0) -> None:
        """`width`: channels in and out."""
        super().__init__()
        self.residual_scale = residual_scale
        self.conv1 = conv3(width, width)
        self.conv2 = conv3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, width, h, w) to the same shape."""
        residual: Tensor = self.conv2(torch.relu(self.conv1(x)))
        return x + residual * self.residual_scale


def pixel_shuffle_x4(width: int) -> nn.Sequential:
    """Enlarge (n, width, h, w) to (n, width, 4h, 4w) by two convolutions, each with a pixel shuffle by 2."""
    return nn.Sequential(conv3(width, 4 * width), nn.PixelShuffle(2), conv3(width, 4 * width), nn.PixelShuffle(2))


class Bicubic(nn.Module):
    """Enlarge pictures by a fixed bicubic kernel, as one convolution and a pixel shuffle."""

    kernel: Tensor

    def __init__(self, scale: int) -> None:
        """`scale`: 2 or 4."""
        super().__init__()
        self.scale = scale
        kernel = torch.from_numpy(enlarging_kernel(scale)).reshape(scale * scale, 1, 5, 5)
        self.register_buffer("kernel", kernel.repeat(3, 1, 1, 1), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) to (n, 3, scale*h, scale*w)."""
        edged = F.pad(lr, (2, 2, 2, 2), mode="replicate")
        device = "cpu" if lr.is_meta else lr.device.type
        with torch.autocast(device, enabled=False):  # bfloat16's 8 bits would round the picture itself
            return F.pixel_shuffle(F.conv2d(edged, self.kernel, groups=3), self.scale)


class MeanShift(nn.Module):
    """Pictures to and from the values that EDSR and its successors work on: (picture - mean of DIV2K) * 255."""

    mean: Tensor

    def __init__(self) -> None:
        """The mean is no part of checkpoints."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(DIV2K_MEAN).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        """RGB (n, 3, h, w) in [0, 1] to values about zero, same shape."""
        return (picture - self.mean) * INNER_RANGE

    def inverse(self, values: Tensor) -> Tensor:
        """What `forward` gives back to RGB."""
        return values / INNER_RANGE + self.mean


class MeanShiftedNetwork(RestorationNetwork):
    """What EDSR and RCAN have in common: a body of blocks at LR with a skip around it, between mean shifts, then x4."""

    scales = (4,)
    multiple = 1

    def __init__(self, width: int, blocks: Iterable[nn.Module]) -> None:
        """`width`: channels everywhere; `blocks`: of the body, each (n, width, h, w) to the same shape."""
        super().__init__()
        self.mean_shift = MeanShift()
        self.conv_first = conv3(3, width)
        self.body = nn.Sequential(*blocks)
        self.conv_after_body = conv3(width, width)
        self.upsample = pixel_shuffle_x4(width)
        self.conv_last = conv3(width, 3)

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`."""
        self.check_scale(scale)
        shallow = self.conv_first(self.mean_shift(lr))
        deep = shallow + self.conv_after_body(self.body(shallow))
        return self.mean_shift.inverse(self.conv_last(self.upsample(deep)))


def luminance(picture: Tensor) -> Tensor:
    """Y of RGB (n, 3, h, w) in [0, 1], as (n, 1, h, w) in [0, 1].

    Adding a change of Y to all three colours leaves Cb and Cr as they are, so networks that restore Y alone need no way
    back from YCbCr.
    """
    red, green, blue = LUMINANCE
    return red * picture[:, :1] + green * picture[:, 1:2] + blue * picture[:, 2:]


def with_luminance(picture: Tensor, y: Tensor) -> Tensor:
    """RGB `picture` (n, 3, h, w) with its luminance changed to `y` (n, 1, h, w); Cb and Cr stay."""
    return picture + (y - luminance(picture))


def he_initialise(network: nn.Module, scale: float = 1.0) -> None:
    """Set all (transposed) convolutions to `scale` times He et al.'s normal draws (ICCV 2015), biases to zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight)
            layer.weight.data.mul_(scale)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
