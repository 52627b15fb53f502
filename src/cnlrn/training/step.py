"""One step of training: the gradients of the loss on a batch, and what learns from them."""

import math
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric
from torch import Tensor

from cnlrn.data.stream import Batch
from cnlrn.networks.base import RestorationNetwork
from cnlrn.training.adversarial import Adversary
from cnlrn.training.captured import Captured
from cnlrn.training.devices import mean, precision
from cnlrn.training.muon import Muon
from cnlrn.training.objective import Objective, Pictures
from cnlrn.training.recipe import Recipe


class Learned(NamedTuple):
    """What a step has found out: the restored pictures and their targets by scale, without gradients; the loss of this
    process's samples; and the norm of the gradients of all processes before it was clipped."""

    restored: Pictures
    targets: dict[int, Tensor]
    loss: Tensor
    norm: Tensor


class TrainingStep:
    """Gradients, then, where the caller wants the step, an update of the network and of its adversary.

    Attributes:
        network: the network that learns.
        objective: its loss.
        adversary: the discriminators; None without `recipe.adversarial`.
        precision: of products, "bf16" or "float32".
    """

    def __init__(self, network: RestorationNetwork, recipe: Recipe, fabric: Fabric) -> None:
        """Moves everything to the device of `fabric`, which need not be launched yet.

        CnlrnError where the weights of `recipe.perceptual` cannot be used, or patches are too small for it or for the
        discriminators.
        """
        self.recipe, self.fabric = recipe, fabric
        self.precision = precision(recipe.precision)
        self.network: RestorationNetwork = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.objective = Objective(self.network, recipe).to(fabric.device)
        self.adversary = Adversary(recipe.adversarial, recipe.optimiser.betas) if recipe.adversarial else None
        if self.adversary:
            self.objective.check_patch(recipe.data.patch, self.adversary.smallest, "adversarial.discriminator")
            self.adversary.module.to(fabric.device)
        self.optimiser = build_optimiser(self.network, recipe, fabric.device)
        self._shared: torch.nn.Module = self.objective
        self._captured: Captured[Learned] | None = None

    def share(self) -> None:
        """Have gradients averaged over the processes of `fabric`, which has been launched."""
        self._shared = self.fabric.strategy.setup_module(self.objective)

    @property
    def figures(self) -> dict[str, float]:
        """What there is to log of the latest step beside its loss."""
        return self.adversary.figures if self.adversary else {}

    def gradients(self, batch: Batch) -> Learned:
        """Leave clipped gradients of the loss; CnlrnError where the batch is too small to normalise over."""
        compute = self._captured.gradients if self._captured else self._gradients
        with self._autocast():
            return compute(batch[0], batch[1])

    def update(self, learned: Learned, rates: tuple[float, float]) -> None:
        """One step of the optimiser along the gradients, then the adversary's on the same pictures.

        `rates`: learning rates of the network and of its deblurring module; the adversary's falls as the first.
        """
        for group in self.optimiser.param_groups:
            rate = rates[group["rate"]]
            if self._captured:
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        if self._captured:
            self._captured.update()
        else:
            self.optimiser.step()
        if self.adversary:
            largest = self.objective.largest
            rate = self.adversary.settings.lr * rates[0] / self.recipe.optimiser.lr
            with self._autocast():
                self.adversary.learn(
                    learned.restored[largest][-1],
                    learned.targets[largest],
                    rate,
                    partial(mean, self.fabric),
                )

    def capture(self, batch: Batch) -> None:
        """Have the following steps replay the kernels of one, where a single GPU trains without adversary or stages.

        `batch` is any; an update has been made before.
        """
        several = self.fabric.world_size > 1
        if self._captured or self.fabric.device.type != "cuda" or several or self.adversary or self.recipe.stage:
            return
        for group in self.optimiser.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=self.fabric.device)  # which a graph reads anew
        with self._autocast():
            self._captured = Captured(self._gradients, lambda: self.optimiser.step(), batch[0], batch[1])

    def state(self) -> dict[str, Any]:
        """The network's weights and the optimisers' states, the adversary's where there is one."""
        adversary = {"adversary": self.adversary.state()} if self.adversary else {}
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), **adversary}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.adversary:
            self.adversary.load_state(state["adversary"])
        self._captured = None  # it would go on with the optimiser's state of before

    def _gradients(self, lr: Tensor, hr: Tensor) -> Learned:
        lr, hr = _floats(lr), _floats(hr)
        self.optimiser.zero_grad()
        targets = self.objective.targets(lr, hr)
        outputs, loss = self._shared(lr, hr, targets)
        whole = loss
        if self.adversary:
            largest = self.objective.largest
            whole = loss + self.adversary.loss(outputs[largest][-1], targets[largest])
        self.fabric.backward(whole)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimiser.clip or math.inf)
        restored = {scale: [picture.detach() for picture in pictures] for scale, pictures in outputs.items()}
        return Learned(restored, targets, loss.detach(), norm)

    def _autocast(self) -> torch.autocast:
        # Without its cache, for a weight cast before an update, or without gradients, would be taken after it.
        return torch.autocast(
            self.fabric.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False
        )


def build_optimiser(network: RestorationNetwork, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's, with the deblurring module in a group of its own; a group's `rate` is its index in `rates_at`."""
    deblurring = network.deblurring
    module = [] if deblurring is None else list(network.get_submodule(deblurring).parameters())
    own = {id(parameter) for parameter in module}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in own]
    groups = [{"params": group, "rate": rate} for rate, group in enumerate((rest, module)) if group]
    settings = recipe.optimiser
    if settings.method == "muon":
        return Muon(groups, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)
    capturable = recipe.cuda_graphs and device.type == "cuda"
    return torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas, fused=True, capturable=capturable)


def _floats(batch: Tensor) -> Tensor:
    """uint8 NHWC to float32 NCHW in [0, 1], channels last in memory."""
    return batch.permute(0, 3, 1, 2).float().div_(255)
