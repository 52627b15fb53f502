"""The adversary of a restoration network in training: discriminators, their optimiser, and the losses of both sides.

It is not part of the network that Fabric distributes: its gradients are averaged over processes here, by one reduction,
and its state goes into the run's checkpoint.
"""

import logging
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.networks import discriminators
from cnlrn.networks.discriminators import Discriminator
from cnlrn.training.recipe import Adversarial, AdversarialKind

log = logging.getLogger(__name__)


class Adversary:
    """Discriminators that learn to tell the network's results from sharp pictures, one step or several a step of it.

    Attributes:
        smallest: least height and width of a picture.
        figures: of the latest step, for logs: `adversarial`, the network's loss; `discriminator`, the discriminators'
            own; `told_apart`, the share of pairs whose sharp side has the higher score (chance is 0.5).
    """

    def __init__(self, settings: Adversarial, betas: tuple[float, float]) -> None:
        """Random weights from torch's generator; `betas`: of Adam."""
        self.settings = settings
        self.discriminators = discriminators.build(settings.discriminator, settings.width)
        self.module: nn.Module = nn.ModuleList(self.discriminators)
        self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.module.parameters(), lr=settings.lr, betas=betas, fused=True)
        self.smallest = max(each.smallest for each in self.discriminators)
        self.figures = {"adversarial": math.nan, "discriminator": math.nan, "told_apart": math.nan}

    def loss(self, restored: Tensor, sharp: Tensor) -> Tensor:
        """What the network's loss has on top: the weighted adversarial loss, and that of matched features.

        Pictures are (n, 3, h, w) in [0, 1], as they are for `learn`. Gradients go to `restored` alone.
        """
        self.module.requires_grad_(False)
        adversarial = matching = torch.zeros((), device=sharp.device)
        for each in self.discriminators:
            with torch.no_grad():
                expected = each.features(_signed(sharp))
                real = each.head(expected).float()
            features = each.features(_signed(restored))
            adversarial = adversarial + network_loss(self.settings.kind, real, each.head(features).float())
            if self.settings.matching:
                matching = matching + F.mse_loss(features.float(), expected.float())
        self.figures["adversarial"] = float(adversarial.detach())
        return self.settings.weight * adversarial + self.settings.matching * matching

    def learn(self, restored: Tensor, sharp: Tensor, rate: float, mean: Callable[[Tensor], Tensor]) -> None:
        """Adam's steps at learning rate `rate` on one batch, the same for all of them.

        A step whose gradient is not finite is left out. `mean` averages a tensor over all processes.
        """
        self.module.requires_grad_(True)
        self.optimiser.param_groups[0]["lr"] = rate
        restored, sharp = _signed(restored.detach()), _signed(sharp)
        for _ in range(self.settings.steps):
            loss = told_apart = torch.zeros((), device=sharp.device)
            for each in self.discriminators:
                real, fake = each(sharp).float(), each(restored).float()
                loss = loss + discriminator_loss(self.settings.kind, real, fake)
                told_apart = told_apart + (real > fake).float().mean() / len(self.discriminators)
                if self.settings.kind == "wgan-gp":
                    loss = loss + self.settings.penalty * gradient_penalty(each, sharp, restored)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = self._average_gradients(mean)
            if math.isfinite(norm):
                self.optimiser.step()
            else:
                log.warning("skipped a step of the discriminator: its gradient is not finite")
        figures = mean(torch.stack((torch.full_like(loss, self.figures["adversarial"]), loss.detach(), told_apart)))
        self.figures = dict(zip(self.figures, figures.tolist(), strict=True))

    def state(self) -> dict[str, Any]:
        """Weights and the optimiser's state."""
        return {"discriminators": self.module.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave, from an adversary of the same settings."""
        self.module.load_state_dict(state["discriminators"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _average_gradients(self, mean: Callable[[Tensor], Tensor]) -> float:
        """Replace gradients by their means over all processes; the norm of all together."""
        gradients = [parameter.grad for parameter in self.module.parameters() if parameter.grad is not None]
        averaged = mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split_with_sizes(averaged, [gradient.numel() for gradient in gradients])
        for gradient, new in zip(gradients, parts, strict=True):
            gradient.copy_(new.view_as(gradient))
        return float(averaged.norm())


def discriminator_loss(kind: AdversarialKind, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator lowers, from its scores of sharp (`real`) and restored (`fake`) pictures; a scalar.

    vanilla is the cross-entropy of Goodfellow et al. (NIPS 2014, eq. 1), lsgan that of squares (Mao et al., ICCV 2017),
    wgan-gp Wasserstein's, whose penalty is apart (Gulrajani et al., NIPS 2017, eq. 3). The relativistic ones compare
    each score with the mean of the other side's (Jolicoeur-Martineau, ICLR 2019; ESRGAN, sec. 3.2; DeblurGAN-v2,
    sec. 3.2). Scores may have any shape.
    """
    if kind == "vanilla":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    if kind == "lsgan":
        return (real - 1).square().mean() + fake.square().mean()
    if kind == "wgan-gp":
        return fake.mean() - real.mean()
    real, fake = real - fake.mean(), fake - real.mean()
    if kind == "relativistic":
        return F.softplus(-real).mean() + F.softplus(fake).mean()
    return (real - 1).square().mean() + (fake + 1).square().mean()


def network_loss(kind: AdversarialKind, real: Tensor, fake: Tensor) -> Tensor:
    """What the restoration network lowers: `fake` is to seem real and, where relativistic, `real` less so."""
    if kind == "vanilla":
        return F.softplus(-fake).mean()
    if kind == "lsgan":
        return (fake - 1).square().mean()
    if kind == "wgan-gp":
        return -fake.mean()
    return discriminator_loss(kind, fake, real)


def gradient_penalty(discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """mean (|slope| - 1)^2 at random points between the pictures of each pair (Gulrajani et al., NIPS 2017, eq. 3).

    A picture's score is the mean of its patches'. Computed in float32, for the slope is differentiated once more.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (share * real + (1 - share) * fake).requires_grad_()
    with torch.autocast(real.device.type, enabled=False):
        score = discriminator(between).flatten(1).mean(1).sum()
        (slope,) = torch.autograd.grad(score, between, create_graph=True)
        penalty: Tensor = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def _signed(picture: Tensor) -> Tensor:
    """[0, 1] to [-1, 1]."""
    return 2 * picture.float() - 1
