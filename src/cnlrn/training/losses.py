"""What restored and sharp pictures differ in, pixel by pixel: the paper's losses, and those of the networks beside it.

All compute in float32 whatever the type of their inputs: small differences do not survive in bfloat16's 8 bits.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

GRADIENT_WEIGHT = 0.1  # of the gradient loss beside L1, as in the paper
CHARBONNIER_EPSILON = 1e-3


def gradient_loss(out: Tensor, gt: Tensor) -> Tensor:
    """mean|Sobel_x(out) - Sobel_x(gt)| + mean|Sobel_y(out) - Sobel_y(gt)|, with zero padding of one pixel.

    The image-gradient constraint of CNLRN (Bai et al., CVPR Workshops 2021), a channel at a time. The two steps of each
    Sobel filter, smoothing one way and differences the other, are sums of shifted pictures: on a CPU several times
    faster than convolutions of one channel.

    Args:
        out: (n, c, h, w), any float type.
        gt: what `out` should be; same shape.

    Returns:
        A float32 scalar.
    """
    difference = (out.float() - gt.float()).contiguous()  # Sobel is linear: filter the difference, once
    difference = F.pad(difference, (1, 1, 1, 1))
    smooth_y = difference[..., :-2, :] + 2 * difference[..., 1:-1, :] + difference[..., 2:, :]
    smooth_x = difference[..., :-2] + 2 * difference[..., 1:-1] + difference[..., 2:]
    sobel_x = smooth_y[..., 2:] - smooth_y[..., :-2]
    sobel_y = smooth_x[..., 2:, :] - smooth_x[..., :-2, :]
    return sobel_x.abs().mean() + sobel_y.abs().mean()


def charbonnier_loss(out: Tensor, gt: Tensor) -> Tensor:
    """mean sqrt((out - gt)^2 + 0.001^2), a smooth L1 (LapSRN, Lai et al., CVPR 2017, sec. 3.2).

    Args:
        out: (n, c, h, w), any float type.
        gt: what `out` should be; same shape.

    Returns:
        A float32 scalar.
    """
    return _charbonnier(out.float() - gt.float())


def edge_loss(out: Tensor, gt: Tensor) -> Tensor:
    """The Charbonnier loss of the finest detail of both pictures (MPRNet, Zamir et al., CVPR 2021, sec. 3).

    Detail is what the first level of a Laplacian pyramid holds (Burt, Adelson, IEEE Trans. Commun. 1983): the picture
    less its smoothed, halved and again enlarged version.

    Args:
        out: (n, c, h, w), any float type.
        gt: what `out` should be; same shape.

    Returns:
        A float32 scalar.
    """
    difference = (out.float() - gt.float()).contiguous()  # the pyramid is linear: take the difference's, once
    halved = torch.zeros_like(difference)
    halved[..., ::2, ::2] = 4 * _smoothed(difference)[..., ::2, ::2]
    return _charbonnier(difference - _smoothed(halved))


def psnr_loss(out: Tensor, gt: Tensor) -> Tensor:
    """10 log10(1 + MSE / (1/255)^2), the mean over samples: PSNR in dB, from that of an error of 1 down (HINet, Chen et
    al., CVPRW 2021, sec. 3.2, trains on PSNR itself).

    A sample that is nearly right counts as much as one that is far from it, so what is sharp is left alone.

    Args:
        out: (n, c, h, w), any float type.
        gt: what `out` should be; same shape.

    Returns:
        A float32 scalar.
    """
    squares = (out.float() - gt.float()).square().mean((1, 2, 3))
    return (10 / math.log(10)) * torch.log1p(squares * 255**2).mean()


def restoration_loss(
    out: Tensor,
    gt: Tensor,
    *,
    l1: float = 1.0,
    squared: float = 0.0,
    charbonnier: float = 0.0,
    gradient: float = GRADIENT_WEIGHT,
    edge: float = 0.0,
    psnr: float = 0.0,
) -> Tensor:
    """The sum of mean|out - gt|, mean (out - gt)^2, the Charbonnier, gradient, edge and PSNR loss, each weighted.

    As it stands by default it is the paper's loss for end-to-end training; with `gradient` 0 that of its first stage.

    Args:
        out: (n, c, h, w), any float type.
        gt: what `out` should be; same shape.
        l1: weight of the mean absolute difference, as the others below of theirs.
        squared: of the mean square, which is what PSNR measures.
        charbonnier: of `charbonnier_loss`.
        gradient: of `gradient_loss`.
        edge: of `edge_loss`.
        psnr: of `psnr_loss`.

    Returns:
        A float32 scalar.
    """
    terms = (
        (l1, F.l1_loss),
        (gradient, gradient_loss),
        (squared, F.mse_loss),
        (charbonnier, charbonnier_loss),
        (edge, edge_loss),
        (psnr, psnr_loss),
    )
    loss = torch.zeros((), device=out.device)
    for weight, term in terms:
        if weight:
            loss = loss + weight * term(out.float(), gt.float())
    return loss


def _charbonnier(difference: Tensor) -> Tensor:
    return (difference.square() + CHARBONNIER_EPSILON**2).sqrt().mean()


def _smoothed(x: Tensor) -> Tensor:
    """Burt's and Adelson's kernel of five, both ways; mirrored at the border, where every other pixel stays zero."""
    near, far, centre = 0.25, 0.05, 0.4
    x = F.pad(x, (2, 2, 2, 2), mode="reflect")
    x = far * (x[..., :-4, :] + x[..., 4:, :]) + near * (x[..., 1:-3, :] + x[..., 3:-1, :]) + centre * x[..., 2:-2, :]
    return far * (x[..., :-4] + x[..., 4:]) + near * (x[..., 1:-3] + x[..., 3:-1]) + centre * x[..., 2:-2]
