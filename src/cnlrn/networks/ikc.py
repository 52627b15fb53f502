"""IKC: Blind Super-Resolution With Iterative Kernel Correction (Gu, Lu, Zuo, Dong, CVPR 2019).

SFTMD enlarges a picture with spatial feature transforms on a code of the blur kernel; a predictor guesses the code from
the LR picture, and a corrector mends it by what it sees in the result, again and again. The paper trains SFTMD with the
true codes first, then, with SFTMD fixed, predictor and corrector on the codes: `cnlrn.training.stages`. That needs one
known kernel a picture, which motion blur does not give: on blurry pairs the trainer trains all parts end to end, by the
loss of the pictures alone, and the network learns what a code means.

Where the paper leaves something open: three convolutions before the blocks, a sigmoid on SFT's factors and the 9x9 at
the end are as we know the authors' program; the corrector reaches the LR grid by strides of 2 in its first two
convolutions, and the last convolution of either estimator is linear, as a code has both signs. SFTMD's features before
the first transform do not depend on the code and are computed once.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import conv3

KERNEL = 21  # side of the kernels that codes stand for, in HR pixels
CODE = 10  # principal components of a kernel
WIDTHS = (0.2, 4.0)  # of the paper's isotropic gaussian kernels at x4, in HR pixels
SLOPE = 0.2  # of all LeakyReLUs but those of the enlargement
ENLARGING_SLOPE = 0.1


@dataclass(frozen=True)
class IKCPreset:
    """Hyper-parameters of `IKC`, the paper's with these defaults (4,905,495 parameters, 4,234,691 of them SFTMD's)."""

    width: int = 64
    """Channels of SFTMD."""
    transform_width: int = 32
    """Channels between the two convolutions that make the factors of a transform, and its offsets."""
    blocks: int = 16
    """Residual blocks of SFTMD."""
    output_kernel: int = 9
    """Side of SFTMD's last convolution."""
    estimator_width: int = 64
    """Channels of predictor and corrector."""
    iterations: int = 7
    """Corrections of the code."""


IKC_S = IKCPreset(width=12, transform_width=6, blocks=3, output_kernel=3, estimator_width=8, iterations=2)


class IKC(RestorationNetwork):
    """Super-resolution x4, (n, 3, h, w) to (n, 3, 4h, 4w). The code is an average over the whole picture.

    Attributes:
        sftmd: code and picture to the x4 picture.
        predictor: picture to code.
        corrector: x4 picture and code to what the code lacks.
        kernel_mean: mean of the paper's kernels, (441,).
        kernel_basis: their principal components, orthonormal rows, (10, 441).
    """

    scales = (4,)
    multiple = 1
    context = None
    kernel_mean: Tensor
    kernel_basis: Tensor

    def __init__(self, preset: IKCPreset) -> None:
        """Build with random weights."""
        super().__init__()
        self.iterations = preset.iterations
        self.sftmd = SFTMD(preset)
        self.predictor = Predictor(preset.estimator_width)
        self.corrector = Corrector(preset.estimator_width)
        for name, values in zip(("kernel_mean", "kernel_basis"), principal_components(), strict=True):
            self.register_buffer(name, torch.from_numpy(values.copy()))

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """See `RestorationNetwork.forward`: the picture after the last correction."""
        self.check_scale(scale)
        *_, (_, picture) = self.corrections(lr)
        return picture

    def training_outputs(self, lr: Tensor, scales: Collection[int]) -> dict[int, list[Tensor]]:
        """See `RestorationNetwork.training_outputs`: the pictures of all codes, for the corrector to see good ones."""
        return {4: [picture for _, picture in self.corrections(lr)]}

    def corrections(self, lr: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Code (n, 10) and picture (n, 3, 4h, 4w) by the predictor, then after each correction (paper, algorithm 1)."""
        features = self.sftmd.features(lr)
        code = self.predictor(lr)
        picture = self.sftmd(features, code)
        yield code, picture
        for _ in range(self.iterations):
            code = code + self.corrector(picture, code)
            picture = self.sftmd(features, code)
            yield code, picture

    def restore_with(self, lr: Tensor, code: Tensor) -> Tensor:
        """SFTMD's picture (n, 3, 4h, 4w) of `lr` (n, 3, h, w) for the codes `code` (n, 10).

        The paper trains SFTMD on this picture, for `encode` of the true kernels (paper, sec. 3.3).
        """
        picture: Tensor = self.sftmd(self.sftmd.features(lr), code)
        return picture

    def encode(self, kernels: Tensor) -> Tensor:
        """The codes (n, 10) of blur kernels (n, 21, 21), each of sum 1, at HR: their principal components."""
        return (kernels.flatten(1) - self.kernel_mean) @ self.kernel_basis.T


class SFTMD(nn.Module):
    """The super-resolution network, SRResNet with spatial feature transforms on the code (paper, sec. 3.3)."""

    def __init__(self, preset: IKCPreset) -> None:
        """Channels and counts from the preset."""
        super().__init__()
        width, kernel = preset.width, preset.output_kernel
        self.features = nn.Sequential(
            conv3(3, width), nn.LeakyReLU(SLOPE), conv3(width, width), nn.LeakyReLU(SLOPE), conv3(width, width)
        )
        self.blocks = nn.ModuleList(TransformedBlock(width, preset.transform_width) for _ in range(preset.blocks))
        self.transform = Transform(width, preset.transform_width)
        self.enlarge = nn.Sequential(
            conv3(width, width),
            *(conv3(width, 4 * width), nn.PixelShuffle(2), nn.LeakyReLU(ENLARGING_SLOPE)),
            *(conv3(width, 4 * width), nn.PixelShuffle(2), nn.LeakyReLU(ENLARGING_SLOPE)),
            nn.Conv2d(width, 3, kernel, padding=kernel // 2),
        )

    def forward(self, features: Tensor, code: Tensor) -> Tensor:
        """What `features` makes of the LR picture, (n, width, h, w), and codes (n, 10) to (n, 3, 4h, 4w)."""
        maps = code[:, :, None, None].expand(-1, -1, *features.shape[2:])
        x = features
        for block in self.blocks:
            x = block(x, maps)
        picture: Tensor = self.enlarge(self.transform(x + features, maps))
        return picture


class TransformedBlock(nn.Module):
    """Residual block with a transform before each of its two convolutions."""

    def __init__(self, width: int, transform_width: int) -> None:
        """`width`: channels in and out; `transform_width`: see the preset."""
        super().__init__()
        self.transform1 = Transform(width, transform_width)
        self.conv1 = conv3(width, width)
        self.transform2 = Transform(width, transform_width)
        self.conv2 = conv3(width, width)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """Features (n, width, h, w) to the same shape, by code maps (n, 10, h, w)."""
        inner = self.conv1(F.relu(self.transform1(x, maps)))
        residual: Tensor = self.conv2(F.relu(self.transform2(inner, maps)))
        return x + residual


class Transform(nn.Module):
    """Spatial feature transform: a factor in [0, 1] and an offset for every feature, from features and code."""

    def __init__(self, width: int, transform_width: int) -> None:
        """`width`: channels in and out; `transform_width`: see the preset."""
        super().__init__()
        self.factor, self.offset = (
            nn.Sequential(conv3(width + CODE, transform_width), nn.LeakyReLU(SLOPE), conv3(transform_width, width))
            for _ in range(2)
        )

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """Features (n, width, h, w) to the same shape, by code maps (n, 10, h, w)."""
        joined = torch.cat((x, maps), dim=1)
        offset: Tensor = self.offset(joined)
        return torch.sigmoid(self.factor(joined)) * x + offset


class Predictor(nn.Module):
    """Four 5x5 convolutions, whose map of codes is averaged over the picture (paper, sec. 3.4)."""

    def __init__(self, width: int) -> None:
        """`width`: channels inside."""
        super().__init__()
        self.map = nn.Sequential(
            *_conv5(3, width), *_conv5(width, width), *_conv5(width, width), nn.Conv2d(width, CODE, 5, padding=2)
        )

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) to codes (n, 10)."""
        codes: Tensor = self.map(lr)
        return codes.mean(dim=(2, 3))


class Corrector(nn.Module):
    """What a code lacks, by the picture that it led to (paper, sec. 3.4).

    Five 5x5 convolutions on the picture and two linear layers on the code, joined, then three 1x1 convolutions, whose
    map is averaged over the picture.
    """

    def __init__(self, width: int) -> None:
        """`width`: channels of either branch."""
        super().__init__()
        self.picture = nn.Sequential(
            *(*_conv5(3, width, stride=2), *_conv5(width, width, stride=2)),
            *(*_conv5(width, width), *_conv5(width, width), *_conv5(width, width)),
        )
        self.code = nn.Sequential(
            nn.Linear(CODE, width), nn.LeakyReLU(SLOPE), nn.Linear(width, width), nn.LeakyReLU(SLOPE)
        )
        self.map = nn.Sequential(
            nn.Conv2d(2 * width, 2 * width, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * width, width, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(width, CODE, 1),
        )

    def forward(self, picture: Tensor, code: Tensor) -> Tensor:
        """Pictures (n, 3, 4h, 4w) and their codes (n, 10) to what is to be added to these, (n, 10)."""
        seen = self.picture(picture)
        known = self.code(code)[:, :, None, None].expand(-1, -1, *seen.shape[2:])
        differences: Tensor = self.map(torch.cat((seen, known), dim=1))
        return differences.mean(dim=(2, 3))


@lru_cache(maxsize=1)
def principal_components() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean (441,) and first principal components (10, 441) of the paper's kernels for x4, isotropic gaussians 21x21.

    Their widths lie evenly where the paper draws them at random. A component's largest value is positive.
    """
    steps = np.arange(KERNEL) - KERNEL // 2
    squares = steps[:, None] ** 2 + steps[None, :] ** 2
    kernels = np.exp(-squares.reshape(1, -1) / (2 * np.linspace(*WIDTHS, 381)[:, None] ** 2))
    kernels /= kernels.sum(axis=1, keepdims=True)
    mean = kernels.mean(axis=0)
    components = np.linalg.svd(kernels - mean, full_matrices=False)[2][:CODE]
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(CODE), largest])[:, None]
    return mean.astype(np.float32), components.astype(np.float32)


def _conv5(channels_in: int, channels_out: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(channels_in, channels_out, 5, stride, padding=2), nn.LeakyReLU(SLOPE)
