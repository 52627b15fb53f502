"""What training lowers: how much a network's pictures differ from the sharp ones, by the terms of a recipe.

The adversarial loss is not here: its discriminators learn, too. See `cnlrn.training.step`.
"""

from dataclasses import asdict

import torch
from torch import Tensor, nn

from cnlrn.degradation import SCALE
from cnlrn.errors import CnlrnError
from cnlrn.networks.base import RestorationNetwork
from cnlrn.training.losses import restoration_loss
from cnlrn.training.perceptual import PerceptualLoss
from cnlrn.training.recipe import Recipe
from cnlrn.training.stages import prepare_stage, stage_loss
from cnlrn.training.targets import reduced

Pictures = dict[int, list[Tensor]]
"""Scale -> the pictures (n, 3, h, w) of an exit, those of earlier stages first."""


class Objective(nn.Module):
    """The loss of a network on a batch. It is one module so that several processes can share the gradients.

    Attributes:
        network: the network that learns.
        weights: scale -> weight of the exit.
        largest: the largest scale that is trained.
    """

    def __init__(self, network: RestorationNetwork, recipe: Recipe) -> None:
        """CnlrnError where weights of `recipe.perceptual` cannot be used, or patches are too small for them."""
        super().__init__()
        if recipe.stage:
            prepare_stage(network, recipe.stage)
        self.network = network
        self.name, self.stage = recipe.network, recipe.stage
        self.weights = recipe.loss.exits or {max(network.scales): 1.0}
        self.largest = max(self.weights)
        self.terms = {name: weight for name, weight in asdict(recipe.loss).items() if name != "exits"}
        self.perceptual = PerceptualLoss(recipe.perceptual) if recipe.perceptual else None
        if self.perceptual:
            self.check_patch(recipe.data.patch, self.perceptual.smallest, "perceptual.layers")

    def check_patch(self, patch: int, smallest: int, needed_by: str) -> None:
        """CnlrnError where the largest exit's pictures of `patch` HR pixels are smaller than `smallest`."""
        needed = smallest * SCALE // self.largest
        if patch < needed:
            raise CnlrnError(f"data.patch is {patch}; {needed_by} needs at least {needed} HR pixels")

    def targets(self, lr: Tensor, hr: Tensor) -> dict[int, Tensor]:
        """The sharp picture `hr` (n, 3, h, w) at each exit's size."""
        return {scale: reduced(hr, scale * lr.shape[-1]) for scale in self.weights}

    def forward(self, lr: Tensor, hr: Tensor, targets: dict[int, Tensor]) -> tuple[Pictures, Tensor]:
        """The restored pictures, none where a stage is trained, and the loss, a float32 scalar.

        `lr` and `hr` are (n, 3, h, w) in [0, 1], and `targets` what the method of that name gives. Pictures of earlier
        stages count as much as their exit's own. CnlrnError where the batch is too small to normalise over.
        """
        if self.stage:
            return {}, stage_loss(self.network, self.stage, hr)
        outputs = self._outputs(lr)
        loss = torch.zeros((), device=hr.device)
        for scale, weight in self.weights.items():
            *earlier, restored = outputs[scale]
            target = self.network.project_target(lr, targets[scale], scale)
            loss = loss + weight * restoration_loss(restored, target, **self.terms)
            for picture in earlier:
                target_of_stage = reduced(hr, picture.shape[-1])
                loss = loss + weight * restoration_loss(picture, target_of_stage, **self.terms)
            if self.perceptual and scale == self.largest:
                loss = loss + self.perceptual(restored, target)
        return outputs, loss

    def _outputs(self, lr: Tensor) -> Pictures:
        try:
            return self.network.training_outputs(lr, self.weights)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise CnlrnError(
                f"{self.name} normalises over the batch, of which a device has one sample; raise batch"
            ) from error
