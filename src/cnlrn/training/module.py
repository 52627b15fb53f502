"""One training run as a Lightning module: the step, its guard, the average of weights, checkpoints and validation.

The whole state of a run is a dictionary that `state` gives and `restore` takes, for resuming after an interruption and
for going back when the loss explodes alike. Samples depend on their index only, the learning rate on the step only, and
what chance decides within a step, such as dropout, on the batch only, so a resumed run is the run that was interrupted.
"""

import copy
import csv
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, median
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from cnlrn.data.sets import PairSet
from cnlrn.data.stream import Batch, BatchIndices, Item, Samples, loader
from cnlrn.degradation import SCALE
from cnlrn.errors import CnlrnError, writing
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.checkpoints import save_weights
from cnlrn.training.adversarial import Adversary
from cnlrn.training.captured import Captured
from cnlrn.training.guard import LossGuard, Verdict
from cnlrn.training.losses import restoration_loss
from cnlrn.training.muon import Muon
from cnlrn.training.perceptual import PerceptualLoss
from cnlrn.training.recipe import Optimiser, Recipe, plain
from cnlrn.training.schedule import learning_rate
from cnlrn.training.stages import prepare_stage, stage_loss
from cnlrn.training.states import State, States
from cnlrn.training.targets import reduced
from cnlrn.training.validation import validate

log = logging.getLogger(__name__)

Learned = tuple[dict[int, list[Tensor]], dict[int, Tensor], Tensor, Tensor]
"""Restored pictures and their targets by scale, the loss, and the gradients' norm before it was clipped."""

WEIGHTS, BEST, LOSSES, SCORES = "weights.safetensors", "best.safetensors", "losses.csv", "validation.csv"
_FIXED = ("network", "preset", "stage", "optimiser.method", "adversarial.discriminator", "adversarial.width")
"""What of a recipe decides which tensors there are in a run's state."""
_RETURNS = 3
"""Times a run may go back to the same checkpoint before it tries an older one."""
_LOGGED_EVERY = 20


class Training(pl.LightningModule):
    """Trains `network` on `samples` by `recipe` and leaves checkpoints, weights and logs in the folder `out`."""

    def __init__(
        self, network: RestorationNetwork, samples: Samples, recipe: Recipe, out: Path, minutes: float = math.inf
    ) -> None:
        """The run ends after `recipe.steps` steps, or at the first checkpoint after `minutes`.

        CnlrnError where the weights of `recipe.perceptual` cannot be used, or patches are too small for it or for the
        discriminators.
        """
        super().__init__()
        self.automatic_optimization = False
        if recipe.stage:
            prepare_stage(network, recipe.stage)
        self.network: RestorationNetwork = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.recipe, self.samples, self.out, self.minutes = recipe, samples, out, minutes
        self.weights = recipe.loss.exits or {max(network.scales): 1.0}
        self.largest = max(self.weights)
        self.terms = {name: weight for name, weight in asdict(recipe.loss).items() if name != "exits"}
        self.perceptual = PerceptualLoss(recipe.perceptual) if recipe.perceptual else None
        self.adversary = Adversary(recipe.adversarial, recipe.optimiser.betas) if recipe.adversarial else None
        self._check_patch()
        self._captured: Captured[Learned] | None = None
        self.trained_on = self.device
        self.validation: dict[str, PairSet] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.guard = LossGuard()
        self.step = 0
        self.position = 0
        self.seconds = 0.0
        self.states = States(out, recipe.keep)
        self.best: dict[str, Any] = {}
        self.returns = 0
        self.furthest = 0
        self.origin: int | None = None
        self.taken = False
        self.latest = math.nan
        self.waits: deque[float] = deque(maxlen=200)
        self.durations: deque[float] = deque(maxlen=200)
        self._resumed: State | None = None
        self._rows: list[tuple[object, ...]] = []
        self._log_bytes = 0
        self._since = self._began = time.perf_counter()

    # -- what Lightning asks for

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The recipe's, with the deblurring module in a group of its own."""
        deblurring = self.network.deblurring
        module = [] if deblurring is None else list(self.network.get_submodule(deblurring).parameters())
        own = {id(parameter) for parameter in module}
        rest = [parameter for parameter in self.network.parameters() if id(parameter) not in own]
        groups = [{"params": group, "rate": rate} for rate, group in enumerate((rest, module)) if group]
        settings = self.recipe.optimiser
        if settings.method == "muon":
            return Muon(groups, lr=settings.lr, betas=settings.betas, weight_decay=settings.weight_decay)
        capturable = self.recipe.cuda_graphs and self.device.type == "cuda"
        return torch.optim.Adam(groups, lr=settings.lr, betas=settings.betas, fused=True, capturable=capturable)

    def train_dataloader(self) -> DataLoader[Item]:
        """Batches from where the run stands, without end."""
        indices = BatchIndices(self.recipe.batch, self.trainer.global_rank, self.trainer.world_size)
        indices.position = self.position
        return loader(self.samples, indices, self.recipe.workers, pin=self.device.type == "cuda")

    def on_train_start(self) -> None:
        """Take up the optimiser's and the adversary's state of the checkpoint, or write the first checkpoint."""
        self.trained_on = self.device  # Lightning takes the network back to the CPU when it ends
        if self.adversary:
            self.adversary.module.to(self.device)
        if self._resumed is not None:
            self._restore_optimisers(self._resumed)
            self._resumed = None
        else:
            self._save()
        self._since = self._began = time.perf_counter()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Note how long the step has waited for its batch."""
        now = time.perf_counter()
        self.waits.append(now - self._since)
        self._since = now

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One step on the weighted losses of the exits, then the adversary's, unless the guard objects.

        The guard judges what pictures differ in; an adversarial loss has no level to which it should keep.
        """
        torch.manual_seed(_seed(self.recipe.seed, self.position, self.trainer.global_rank))
        indices = batch[2]
        optimiser = self._optimizer()
        if self._captured:
            outputs, targets, loss, norm = self._captured.gradients(batch[0], batch[1])
        else:
            outputs, targets, loss, norm = self._gradients(batch[0], batch[1])
        self.latest = float(self._mean(loss))
        verdict = self.guard.judge(self.latest, float(norm))
        self.position += 1
        self.taken = verdict is Verdict.TAKE
        if self.taken:
            rate = self._set_rates(optimiser)
            if self._captured:
                self._captured.update()
            else:
                optimiser.step()
            self._average()
            if self.adversary:
                settings = self.adversary.settings
                restored, sharp = outputs[self.largest][-1], targets[self.largest]
                self.adversary.learn(restored, sharp, settings.lr * rate / self.recipe.optimiser.lr, self._mean)
            self.step += 1
            self._log(rate, float(norm))
            if self.recipe.cuda_graphs and not self._captured:
                self._capture(batch)
            return
        log.warning("skipped step %d: loss %.4g, on %s", self.step, self.latest, self._names(outputs, indices))
        if verdict is Verdict.GO_BACK:
            self._go_back()

    def on_train_batch_end(self, outputs: object, batch: Batch, batch_idx: int) -> None:
        """Checkpoint and validate where they are due, and end the run."""
        now = time.perf_counter()
        self.durations.append(now - self._since)
        ended = self.step >= self.recipe.steps
        if self.taken and (self.step % self.recipe.checkpoint_every == 0 or ended):
            every = math.ceil(self.recipe.validate_every / self.recipe.checkpoint_every) * self.recipe.checkpoint_every
            ended = self.trainer.strategy.broadcast(ended or now - self._began > 60 * self.minutes)
            if not _is_finite(self.network):
                log.warning("the weights are not finite after step %d", self.step)
                self._go_back()
                return
            self._save()  # before a validation that may fail, and its scores after it
            if self.validation and (self.step % every == 0 or ended):
                self._validate()
                self._save()
            if self.step > self.furthest:
                self.returns, self.furthest, self.origin = 0, self.step, None
            self.trainer.should_stop = ended
        self._since = time.perf_counter()

    # -- the state of a run

    def state(self) -> State:
        """All that decides how the run goes on, in tensors, numbers and strings."""
        adversary = {"adversary": self.adversary.state()} if self.adversary else {}
        return {
            "recipe": plain(self.recipe),
            "network": self.network.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self._optimizer().state_dict(),
            "step": self.step,
            "position": self.position,
            "losses": list(self.guard.losses),
            "scores": self.scores,
            "best": self.best,
            "log_bytes": self._log_bytes,
            "seconds": self.elapsed(),
            **adversary,
        }

    def elapsed(self) -> float:
        """Seconds that the run has trained and validated, interruptions left out."""
        return self.seconds + time.perf_counter() - self._began

    def restore(self, state: State) -> None:
        """Take up a state before training starts (the optimisers' part when it does).

        CnlrnError where it is that of a run whose network, optimiser or discriminator is another.
        """
        own = plain(self.recipe)
        for key in _FIXED:
            before, now = (_look_up(recipe, key) for recipe in (state["recipe"], own))
            if before != now:
                raise CnlrnError(
                    f"{self.out} holds a run with {key} {before or 'unset'}, not {now or 'unset'}; choose another "
                    f"folder, or take {self.out / WEIGHTS} to begin with (--init)"
                )
        self._restore_weights(state)
        self.position = state["position"]
        self.scores = state["scores"]
        self.seconds = state["seconds"]
        self._resumed = state
        self._log_bytes = state["log_bytes"]
        if (self.out / LOSSES).exists():
            os.truncate(self.out / LOSSES, self._log_bytes)

    def _restore_weights(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.guard = LossGuard(state["losses"])
        self.step = state["step"]
        self.best = state.get("best", {})

    def _restore_optimisers(self, state: State) -> None:
        self._optimizer().load_state_dict(state["optimiser"])
        if self.adversary:
            self.adversary.restore(state["adversary"])

    def _go_back(self) -> None:
        """To the last checkpoint, with the samples that follow, so that the same accident does not come again.

        Where that has not helped several times the state may have been exploding already, so it is to the one before.
        """
        self.furthest = max(self.furthest, self.step)
        self.returns += 1
        state = self.states.newest() if self.returns <= _RETURNS else self._older()
        self._restore_weights(state)
        self._restore_optimisers(state)
        self._captured = None  # it would go on with the optimiser's state of before
        log.warning("the loss exploded: back to the checkpoint of step %d, with other samples", self.step)

    def _older(self) -> State:
        """The state before that which the run has gone back to; CnlrnError where there is none."""
        oldest = self.states.newest()["step"] if self.origin is None else self.origin
        state = self.states.before(oldest)
        self.origin = oldest if state is None else state["step"]
        self.trainer.strategy.barrier()  # until all processes have read it
        if self.trainer.is_global_zero:
            self.states.return_to(self.origin)
        self.trainer.strategy.barrier()
        if state is None:
            raise CnlrnError(
                f"the loss exploded again and again, however far the run went back; lower optimiser.lr, and it goes on "
                f"from step {self.origin}"
            )
        self.returns = 1
        return state

    def _save(self) -> None:
        """Write logs, weights and checkpoint, each whole or not at all."""
        self._alone(self._write)

    def _write(self) -> None:
        self._write_rows()
        _save_weights(self.ema, self.out / WEIGHTS)
        if not self.validation and self.guard.losses:
            self._rank("loss", -median(self.guard.losses))
        kept = (self.best.get("step"), self.origin)
        self.states.save(self.state(), [step for step in kept if step is not None])

    def _alone(self, work: Callable[[], None]) -> None:
        """Have the first process do something while the others wait, and all end where it fails."""
        failed = None
        if self.trainer.is_global_zero:
            try:
                work()
            except CnlrnError as error:
                failed = error
        if self.trainer.strategy.broadcast(failed is not None):
            raise failed or SystemExit(0)  # the first process says why

    def _rank(self, by: str, score: float) -> bool:
        """Note whether the present state is the best, by what `by` names."""
        if not self.recipe.keep.best or (self.best.get("by") == by and score <= self.best["score"]):
            return False
        self.best = {"by": by, "score": score, "step": self.step}
        return True

    # -- parts of a step

    def _optimizer(self) -> torch.optim.Optimizer:
        return self.trainer.optimizers[0]

    def _check_patch(self) -> None:
        patch = self.recipe.data.patch
        for what, part in (("adversarial.discriminator", self.adversary), ("perceptual.layers", self.perceptual)):
            smallest = part.smallest * SCALE // self.largest if part else 0
            if patch < smallest:
                raise CnlrnError(f"data.patch is {patch}; {what} needs at least {smallest} HR pixels")

    def _mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        averaged = self.trainer.strategy.reduce(value, reduce_op="mean")
        assert isinstance(averaged, Tensor)
        return averaged

    def _gradients(self, lr: Tensor, hr: Tensor) -> Learned:
        """Leave clipped gradients of the loss on a batch of bytes; CnlrnError where it is too small to normalise."""
        lr, hr = _floats(lr), _floats(hr)
        self._optimizer().zero_grad()
        targets = {scale: reduced(hr, scale * lr.shape[-1]) for scale in self.weights}
        outputs: dict[int, list[Tensor]] = {}
        if self.recipe.stage:
            loss = stage_loss(self.network, self.recipe.stage, hr)
        else:
            try:
                outputs, loss = self._restored(lr, hr, targets)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise CnlrnError(
                    f"{self.recipe.network} normalises over the batch, of which a device has one sample; raise batch"
                ) from error
        whole = loss
        if self.adversary:
            whole = loss + self.adversary.loss(outputs[self.largest][-1], targets[self.largest])
        self.manual_backward(whole)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.optimiser.clip or math.inf)
        restored = {scale: [picture.detach() for picture in pictures] for scale, pictures in outputs.items()}
        return restored, targets, loss.detach(), norm

    def _capture(self, batch: Batch) -> None:
        """Have the following steps replay the kernels of one, where one GPU trains without adversary or stages."""
        if self.device.type != "cuda" or self.trainer.world_size > 1 or self.adversary or self.recipe.stage:
            return
        optimiser = self._optimizer()
        for group in optimiser.param_groups:
            group["lr"] = torch.tensor(float(group["lr"]), device=self.device)  # which a graph reads anew
        self._captured = Captured(self._gradients, lambda: optimiser.step(), batch[0], batch[1])

    def _restored(self, lr: Tensor, hr: Tensor, targets: dict[int, Tensor]) -> tuple[dict[int, list[Tensor]], Tensor]:
        """The restored pictures, and what they, those of earlier stages too, and the sharp one differ in, weighted;
        `targets` are `hr` at each exit's size."""
        outputs = self.network.supervised(lr, self.weights)
        loss = torch.zeros((), device=hr.device)
        for scale, weight in self.weights.items():
            *earlier, restored = outputs[scale]
            target = self.network.attainable(lr, targets[scale], scale)
            loss = loss + weight * restoration_loss(restored, target, **self.terms)
            for picture in earlier:
                target_of_stage = reduced(hr, picture.shape[-1])
                loss = loss + weight * restoration_loss(picture, target_of_stage, **self.terms)
            if self.perceptual and scale == self.largest:
                loss = loss + self.perceptual(restored, target)
        return outputs, loss

    def _set_rates(self, optimiser: torch.optim.Optimizer) -> float:
        rates = rates_at(self.step, self.recipe)
        for group in optimiser.param_groups:
            rate = rates[group["rate"]]
            if self._captured:
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        return rates[0]

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights towards the new ones; faster at the start, when the average is of bad weights.

        Buffers, such as the running statistics of a normalisation, are averages already and are copied.
        """
        decay = min(self.recipe.optimiser.ema, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), 1 - decay)
        for averaged, new in zip(self.ema.buffers(), self.network.buffers(), strict=True):
            averaged.copy_(new)

    def _names(self, outputs: dict[int, list[Tensor]], indices: Tensor) -> str:
        """The samples of which an output is not finite, or all where that singles out none."""
        finite = torch.ones_like(indices, dtype=torch.bool)
        for pictures in outputs.values():
            finite &= pictures[-1].isfinite().flatten(1).all(1)
        chosen = indices if bool(finite.all()) else indices[~finite]
        return "; ".join(self.samples.name(int(index)) for index in chosen)

    # -- logs

    def _log(self, rate: float, norm: float) -> None:
        if not self.trainer.is_global_zero:
            return
        figures = self.adversary.figures if self.adversary else {}
        row = (self.step, self.position, repr(self.latest), f"{rate:.4g}", f"{norm:.4g}")
        self._rows.append((*row, *(f"{figure:.5g}" for figure in figures.values())))
        if self.step % _LOGGED_EVERY == 0:
            self._write_rows()
            if isinstance(self.logger, pl.loggers.TensorBoardLogger):
                metrics = {"loss": self.latest, "lr": rate, "gradient norm": norm, **figures}
                self.logger.log_metrics(metrics, self.step)

    def _write_rows(self) -> None:
        header = ("step", "batches", "loss", "lr", "gradient_norm", *(self.adversary.figures if self.adversary else ()))
        self._log_bytes = _append(self.out / LOSSES, header, self._rows)
        self._rows = []

    def _validate(self) -> None:
        self._alone(self._score)

    def _score(self) -> None:
        began = time.perf_counter()
        results = validate(self.ema, self.validation, self.largest)
        for name, result in results.items():
            self.scores[name] = {"psnr": result.score.psnr, "ssim": result.score.ssim}
            log.info("step %d: %s %.3f dB, SSIM %.4f", self.step, name, result.score.psnr, result.score.ssim)
            if isinstance(self.logger, pl.loggers.TensorBoardLogger):
                self.logger.log_metrics(
                    {f"psnr/{name}": result.score.psnr, f"ssim/{name}": result.score.ssim}, self.step
                )
                for index, sheet in enumerate(result.sheets):
                    self.logger.experiment.add_image(f"{name}/{index}", sheet, self.step, dataformats="HWC")
        seconds = f"{time.perf_counter() - began:.1f}"
        rows = [(self.step, name, f"{r.score.psnr:.4f}", f"{r.score.ssim:.5f}", seconds) for name, r in results.items()]
        _append(self.out / SCORES, ("step", "set", "psnr", "ssim", "seconds"), rows)
        if self._rank(", ".join(results), fmean(result.score.psnr for result in results.values())):
            _save_weights(self.ema, self.out / BEST)


def _look_up(recipe: Any, key: str) -> object:
    """The value of `section.key` in a recipe of plain values; None where there is no such section."""
    for part in key.split("."):
        recipe = (recipe or {}).get(part)
    return recipe


def rates_at(step: int, recipe: Recipe) -> tuple[float, float]:
    """Learning rates at `step`: of the network, and of its deblurring module."""
    o: Optimiser = recipe.optimiser
    periods = o.periods or (recipe.steps,)
    weights = o.restart_weights or (1.0,) * len(periods)
    network, deblurring = (
        learning_rate(step, base, periods, weights, o.eta_min, o.warmup) for base in (o.lr, o.deblurring_lr or o.lr)
    )
    return network, deblurring


def _is_finite(network: RestorationNetwork) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values())


def _save_weights(network: RestorationNetwork, file: Path) -> None:
    """In float16, or in float32 where a number is too large for that."""
    largest = torch.finfo(torch.float16).max
    half = all(float(tensor.abs().max()) <= largest for tensor in network.state_dict().values() if tensor.numel())
    save_weights(network, file, half)


def _seed(*numbers: int) -> int:
    """One number from several, as unlike the next as any other."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def _floats(batch: Tensor) -> Tensor:
    """uint8 NHWC to float32 NCHW in [0, 1], channels last in memory."""
    return batch.permute(0, 3, 1, 2).float().div_(255)


def _append(file: Path, header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> int:
    """Append rows to a CSV file, made with its header where absent; the file's length in bytes."""
    with writing(file), file.open("a", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        if out.tell() == 0:
            writer.writerow(header)
        writer.writerows(rows)
        return out.tell()
