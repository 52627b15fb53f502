"""The turns in which IKC's paper trains its parts (Gu et al., CVPR 2019, secs. 3.2 and 3.3), on kernels that are known.

The sharp patches of a batch are blurred by the paper's isotropic gaussian kernels and reduced by bicubic interpolation
here, in place of the LR patches that the data give: motion blur has no one kernel that a code could stand for.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cnlrn.degradation import SCALE
from cnlrn.errors import CnlrnError
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.ikc import IKC, KERNEL, WIDTHS
from cnlrn.training.recipe import Stage
from cnlrn.training.targets import reduced


def prepare_stage(network: RestorationNetwork, stage: Stage) -> None:
    """Let only the parts learn that `stage` trains; CnlrnError where the network is not IKC."""
    if not isinstance(network, IKC):
        raise CnlrnError(f"stage: {stage} is for IKC alone; leave it out")
    network.sftmd.requires_grad_(stage == "sftmd")
    for part in (network.predictor, network.corrector):
        part.requires_grad_(stage == "estimators")


def stage_loss(network: RestorationNetwork, stage: Stage, hr: Tensor) -> Tensor:
    """The loss of one turn on sharp patches `hr` (n, 3, h, w) in [0, 1], h and w multiples of 4; a float32 scalar.

    "sftmd": L1 of the pictures for the true codes. "estimators": the squared error of the predictor's code and of that
    after each correction. Every code is learned by itself, with SFTMD fixed and the code before it taken as it is, so
    one step on the sum is the paper's turns of predictor and corrector at once.
    """
    assert isinstance(network, IKC)
    lr, code = blurred(network, hr)
    if stage == "sftmd":
        return F.l1_loss(network.restore_with(lr, code).float(), hr)
    guess = network.predictor(lr)
    loss = F.mse_loss(guess.float(), code)
    features = network.sftmd.features(lr)
    for _ in range(network.iterations):
        guess = guess.detach()
        guess = guess + network.corrector(network.sftmd(features, guess), guess)
        loss = loss + F.mse_loss(guess.float(), code)
    return loss


def blurred(network: IKC, hr: Tensor) -> tuple[Tensor, Tensor]:
    """LR patches (n, 3, h/4, w/4), rounded to 8 bits, of `hr` and the codes (n, 10) of the kernels that blurred them.

    A kernel's width is drawn evenly from the paper's range for each patch; borders are repeated.
    """
    n, channels = hr.shape[:2]
    steps = torch.arange(KERNEL, device=hr.device) - KERNEL // 2
    widths = torch.empty(n, 1, 1, device=hr.device).uniform_(*WIDTHS)
    kernels = (-(steps[:, None] ** 2 + steps**2) / (2 * widths**2)).exp()
    kernels = kernels / kernels.sum((1, 2), keepdim=True)
    with torch.autocast(hr.device.type, enabled=False):
        padded = F.pad(hr, (KERNEL // 2,) * 4, mode="replicate")
        padded = padded.reshape(1, n * channels, *padded.shape[2:])
        each = kernels[:, None, None].expand(-1, channels, -1, -1, -1).reshape(n * channels, 1, KERNEL, KERNEL)
        soft = F.conv2d(padded, each, groups=n * channels).reshape(hr.shape)
        lr = (reduced(soft, soft.shape[-1] // SCALE).clamp(0, 1) * 255).round() / 255
        return lr, network.encode(kernels)
