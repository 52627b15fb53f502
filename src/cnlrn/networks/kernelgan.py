"""KernelGAN: Blind Super-Resolution Kernel Estimation using an Internal-GAN (NeurIPS 2019).

Sefi Bell-Kligler, Assaf Shocher, Michal Irani. It learns from one picture what blurred it: a generator, a chain of
convolutions without activations, reduces parts of the picture by 2 so that a discriminator cannot tell their patches
from the picture's own. The chain amounts to one kernel, that of the picture; ZSSR then enlarges with it, as in the
paper's main comparison. There are no weights to train beforehand, so this is no `RestorationNetwork`. One kernel stands
for the whole picture, whatever moved in it.

As the generator is linear, its kernel is computed first and applied in one convolution: the same result and gradients
as layer by layer, many times faster. Differences from the paper: the generator starts from the bicubic kernel, to which
the authors' program holds it at the beginning. Sparsity weighs 0.1 of a mean: the paper's 5 of a sum is tens of times
the adversarial loss, and 5 of a mean held the kernel near the bicubic one on the pictures where it was tried. The form
of the mask at the boundaries, which the paper leaves open, is ours.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from cnlrn.degradation.resize import matrix
from cnlrn.errors import CnlrnError
from cnlrn.networks.zssr import descend, super_resolve

Byte = npt.NDArray[np.uint8]

WIDTH = 64  # channels of generator and discriminator
FILTERS = (7, 5, 3, 1, 1, 1)  # sides of the generator's convolutions
SIDE = 1 + sum(side - 1 for side in FILTERS)  # of its kernel: 13
CENTRE = SIDE / 2  # row and column of the centre of mass that does not move the picture, half a pixel off the middle
SUM, BOUNDARIES, SPARSITY, CENTRING = 0.5, 0.5, 0.1, 1.0  # weights of the regularisers
RATE, BETAS = 2e-4, (0.5, 0.999)  # of both Adams
RATE_STEPS = 750  # after which the rate falls to a tenth, again and again
CROP = 64  # side of the parts that the generator reduces
SEEN = (CROP - SIDE) // 2 + 1  # side of what the discriminator sees: 26
NOISE = 2 / 255  # deviation of noise on what the discriminator sees, in [-1, 1], which hides that one was in 8 bits
KEPT = 40  # weights of the kernel that count in the end


class Generator(nn.Module):
    """A chain of convolutions without activations and biases, the last of which has stride 2 (paper, sec. 4)."""

    def __init__(self) -> None:
        """Build with random weights that amount to the bicubic kernel."""
        super().__init__()
        channels = (1, *[WIDTH] * (len(FILTERS) - 1), 1)
        self.layers = nn.Sequential(
            *(nn.Conv2d(*ends, side, bias=False) for ends, side in zip(pairwise(channels), FILTERS, strict=True))
        )
        optimiser = torch.optim.Adam(self.parameters(), 1e-3)
        for _ in range(150):
            descend(optimiser, (self() - bicubic_kernel()).square().sum())

    def forward(self) -> Tensor:
        """The kernel (13, 13) to which the chain amounts, with its gradients: the response to an impulse."""
        impulse = torch.zeros(1, 1, 2 * SIDE - 1, 2 * SIDE - 1, device=next(self.parameters()).device)
        impulse[..., SIDE - 1, SIDE - 1] = 1
        response: Tensor = self.layers(impulse)
        return response[0, 0].flip(0, 1)


class Discriminator(nn.Module):
    """For every 7x7 patch how likely it is the picture's own: 7x7, then 1x1 convolutions, spectral norm (sec. 4)."""

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.layers = nn.Sequential(spectral_norm(nn.Conv2d(3, WIDTH, 7)))
        for _ in range(5):
            self.layers.extend((spectral_norm(nn.Conv2d(WIDTH, WIDTH, 1)), nn.BatchNorm2d(WIDTH), nn.ReLU()))
        self.layers.extend((spectral_norm(nn.Conv2d(WIDTH, 1, 1)), nn.Sigmoid()))

    def forward(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) in [-1, 1] to (1, 1, h - 6, w - 6) in [0, 1]."""
        likely: Tensor = self.layers(picture)
        return likely


def restore(lr: Byte, scale: int = 4, steps: int = 3000, sr_steps: int = 1000, seed: int = 0) -> Byte:
    """The whole system: estimate the kernel of `lr`, then train ZSSR with it on `lr` alone, on the CPU.

    Args:
        lr: uint8 HWC RGB, at least 64 pixels a side.
        scale: 2 or 4; for 4, the picture is enlarged by 2 on the way (see `zssr.super_resolve`).
        steps: of the kernel's estimation, 3000 in the paper.
        sr_steps: of ZSSR for each enlargement.
        seed: the same gives the same picture.

    Returns:
        uint8 HWC RGB, `scale` times as wide and high.

    Raises:
        CnlrnError: `lr` is too small or there is no such scale.
    """
    if scale not in (2, 4):
        raise CnlrnError(f"KernelGAN enlarges x2 or x4, not x{scale}.")
    picture = torch.from_numpy(lr.astype(np.float32) / 255).permute(2, 0, 1)[None]
    kernel = estimate_kernel(picture, steps, seed)
    kernels = {2: kernel, 4: kernel_x4(kernel)}
    restored = super_resolve(
        picture, {factor: kernels[factor] for factor in kernels if factor <= scale}, sr_steps, seed
    )
    if not restored.isfinite().all():
        raise CnlrnError("its result has values that are no numbers or infinite")
    return np.asarray((restored[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))


def estimate_kernel(lr: Tensor, steps: int = 3000, seed: int = 0) -> Tensor:
    """The kernel that would have reduced the sharp picture, twice as large, to `lr` (paper, sec. 3 and 4).

    A step draws one part of the picture for the generator and one for the discriminator, more often where edges are
    strong, and moves both by Adam. The adversarial loss is the paper's: of a least-squares GAN, with absolute
    differences instead of squares.

    Args:
        lr: (1, 3, h, w), float in [0, 1], at least 64 pixels a side.
        steps: of training, 3000 in the paper.
        seed: of weights, parts and noise; the same gives the same kernel on a CPU.

    Returns:
        (13, 13), as `zssr.downscale` takes it, on the device of `lr`: nothing negative, of sum 1, centred.

    Raises:
        CnlrnError: `lr` is too small.
    """
    height, width = lr.shape[2:]
    if min(height, width) < CROP:
        raise CnlrnError(f"KernelGAN needs a picture of at least {CROP}x{CROP} pixels; this one has {width}x{height}.")
    with torch.random.fork_rng([] if lr.device.type == "cpu" else [lr.device]):
        torch.manual_seed(seed)
        generator, discriminator = Generator().to(lr.device), Discriminator().to(lr.device)
        optimisers = [torch.optim.Adam(part.parameters(), RATE, BETAS) for part in (generator, discriminator)]
        schedules = [torch.optim.lr_scheduler.StepLR(optimiser, RATE_STEPS, 0.1) for optimiser in optimisers]
        for whole, own in zip(parts(lr, CROP, steps), parts(lr, SEEN, steps), strict=True):
            kernel = generator()
            reduced = F.conv2d(whole.transpose(0, 1), kernel[None, None], stride=2).transpose(0, 1)
            descend(optimisers[0], adversarial_loss(discriminator(reduced), 1) + regularisation(kernel))
            right = adversarial_loss(discriminator(_noisy(own)), 1)
            wrong = adversarial_loss(discriminator(_noisy(reduced.detach())), 0)
            descend(optimisers[1], (right + wrong) / 2)
            for schedule in schedules:
                schedule.step()
        return cleaned(generator().detach())


def adversarial_loss(likely: Tensor, label: float) -> Tensor:
    """The mean absolute difference of the discriminator's map to `label`, 1 for the picture's own patches, else 0."""
    return (likely - label).abs().mean()


def regularisation(kernel: Tensor) -> Tensor:
    """What is asked of a kernel (13, 13) beside the adversarial loss, weighted (paper, sec. 4)."""
    return (
        SUM * sum_to_one(kernel)
        + BOUNDARIES * boundaries(kernel)
        + SPARSITY * sparsity(kernel)
        + CENTRING * centring(kernel)
    )


def sum_to_one(kernel: Tensor) -> Tensor:
    """|1 - sum_ij k_ij|."""
    return (1 - kernel.sum()).abs()


def boundaries(kernel: Tensor) -> Tensor:
    """sum_ij |k_ij m_ij|, where m grows exponentially with the distance from the middle and is 1 beside the edges."""
    steps = torch.arange(SIDE, device=kernel.device) - SIDE // 2
    distances = (steps[:, None] ** 2 + steps**2).sqrt()
    mask: Tensor = (distances - SIDE // 2).exp()
    return (kernel * mask).abs().sum()


def sparsity(kernel: Tensor) -> Tensor:
    """The mean of |k_ij|^(1/2); a hundred-millionth is added to |k_ij|, where the slope would be infinite."""
    return (kernel.abs() + 1e-8).sqrt().mean()


def centring(kernel: Tensor) -> Tensor:
    """The distance of the centre of mass, sum_ij k_ij (i, j) / sum_ij k_ij, from (6.5, 6.5)."""
    distance: Tensor = torch.linalg.vector_norm(_centre_of_mass(kernel) - CENTRE)
    return distance


def cleaned(kernel: Tensor) -> Tensor:
    """A kernel (13, 13) without what is small or negative in it, centred, of sum 1.

    Of every weight three quarters of the 41st largest are taken off and what is left below zero is dropped; what the
    shift pushes over the edge is lost.
    """
    kernel = (kernel - 0.75 * kernel.flatten().sort(descending=True).values[KEPT]).clamp(min=0)
    positions = torch.arange(SIDE, device=kernel.device)
    rows, columns = (  # bilinear interpolation
        (1 - (positions[:, None] + offset - positions).abs()).clamp(min=0)
        for offset in _centre_of_mass(kernel) - CENTRE
    )
    shifted: Tensor = rows @ kernel @ columns.T
    return shifted / shifted.sum()


def kernel_x4(kernel: Tensor) -> Tensor:
    """The kernel (37, 37) of a reduction by 4 that equals two by 2 with `kernel` (13, 13) (paper, supplement).

    The second of them acts on every other pixel: its kernel is spread, with zeros between its weights.
    """
    spread = kernel.new_zeros(2 * SIDE - 1, 2 * SIDE - 1)
    spread[::2, ::2] = kernel
    return F.conv2d(spread[None, None], kernel.flip(0, 1)[None, None], padding=SIDE - 1)[0, 0]


def bicubic_kernel() -> Tensor:
    """The kernel (13, 13) of the protocol's bicubic reduction by 2."""
    line = matrix(2 * SIDE, SIDE)[SIDE // 2, SIDE // 2 : SIDE // 2 + SIDE]
    return torch.from_numpy(np.outer(line, line))


def _centre_of_mass(kernel: Tensor) -> Tensor:
    """Row and column (2,), from 0."""
    positions = torch.arange(SIDE, device=kernel.device, dtype=kernel.dtype)
    return torch.stack((kernel.sum(1) @ positions, kernel.sum(0) @ positions)) / kernel.sum()


def parts(lr: Tensor, side: int, count: int) -> Iterator[Tensor]:
    """So many random squares (1, 3, side, side) of `lr`, in [-1, 1], each drawn by the edges that it holds."""
    gray = lr.mean(1)
    edges = gray.diff(dim=1)[..., :-1].abs() + gray.diff(dim=2)[:, :-1].abs()
    sums = F.avg_pool2d(F.avg_pool2d(edges.double(), (side - 1, 1), 1), (1, side - 1), 1)[0]
    chances = (sums + 1e-6).flatten().cumsum(0)  # where nothing has edges all are alike
    draws = torch.searchsorted(chances, chances[-1] * torch.rand(count, dtype=torch.float64, device=lr.device))
    for draw in draws.tolist():
        top, left = divmod(draw, sums.shape[1])
        yield 2 * lr[..., top : top + side, left : left + side] - 1


def _noisy(picture: Tensor) -> Tensor:
    return picture + NOISE * torch.randn_like(picture)
