"""The paper's losses, L1 and L1 with an image-gradient constraint, and squares beside them.

All compute in float32 whatever the type of their inputs: small differences do not survive in bfloat16's 8 bits.
"""

import torch.nn.functional as F
from torch import Tensor

GRADIENT_WEIGHT = 0.1  # of the gradient loss beside L1, as in the paper


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


def restoration_loss(out: Tensor, gt: Tensor, gradient: float = GRADIENT_WEIGHT, squared: float = 0.0) -> Tensor:
    """mean|out - gt| + gradient * gradient_loss(out, gt) + squared * mean (out - gt)^2.

    As it stands by default it is the paper's loss for end-to-end training; with `gradient` 0 that of its first stage.

    Args:
        out: (n, c, h, w), any float type.
        gt: what `out` should be; same shape.
        gradient: weight of the gradient loss.
        squared: weight of the mean square, which is what PSNR measures.

    Returns:
        A float32 scalar.
    """
    loss = F.l1_loss(out.float(), gt.float())
    if gradient:
        loss = loss + gradient * gradient_loss(out, gt)
    if squared:
        loss = loss + squared * F.mse_loss(out.float(), gt.float())
    return loss
