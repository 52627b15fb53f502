"""The training loop: what happens from one batch to the next, when a run is saved and validated, and where it ends.

What a step computes is in `cnlrn.training.step`, what a run leaves on the disk in `cnlrn.training.run_folder`, and how
a run is made from its recipe in `cnlrn.training.run`.

Samples depend on their index only, the learning rate on the step only, and what chance decides within a step, such as
dropout, on the batch only. So a run that is resumed from its state is the run that was interrupted.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from cnlrn.data.sets import PairSet
from cnlrn.data.stream import Batch, BatchIndices, Samples, loader
from cnlrn.errors import CnlrnError
from cnlrn.networks.base import RestorationNetwork
from cnlrn.training.averaging import averaged_copy, update_average
from cnlrn.training.devices import by_the_first, launch, mean, open_fabric
from cnlrn.training.guard import LossGuard, Verdict
from cnlrn.training.recipe import Recipe, plain
from cnlrn.training.recovery import Recovery
from cnlrn.training.run_folder import WEIGHTS, RunFolder
from cnlrn.training.schedule import rates_at
from cnlrn.training.states import State
from cnlrn.training.step import Learned, TrainingStep
from cnlrn.training.validation import validate

_FIXED = ("network", "preset", "stage", "optimiser.method", "adversarial.discriminator", "adversarial.width")
"""What of a recipe decides which tensors there are in a run's state."""
_TIMED = 200
"""Steps over which times are averaged."""

log = logging.getLogger(__name__)


class Training:
    """A run of `recipe` in the folder `out`.

    Attributes:
        network: what learns.
        average: the average of its weights, which is validated and kept.
        learner: the step, with the optimiser and the adversary.
        step: steps taken so far.
        position: batches seen so far, those of skipped steps included.
        latest: the loss of the latest step.
        waits, durations: seconds that the latest steps waited for their batch, and took then.
        validation: the sets to validate on, by name; empty at first.
        scores: the latest figures of each set.
    """

    def __init__(
        self, network: RestorationNetwork, samples: Samples, recipe: Recipe, out: Path, minutes: float = math.inf
    ) -> None:
        """The run ends after `recipe.steps` steps, or at the first checkpoint after `minutes`.

        CnlrnError where the weights of `recipe.perceptual` cannot be used, or patches are too small for it or for the
        discriminators, or there are fewer devices than `recipe.devices`.
        """
        self.recipe, self.samples, self.minutes = recipe, samples, minutes
        self.fabric = open_fabric(recipe.devices)
        self.learner = TrainingStep(network, recipe, self.fabric)
        self.network = self.learner.network
        self.average = averaged_copy(self.network)
        self.folder = RunFolder(out, recipe.keep, self.learner.figures)
        self.guard = LossGuard()
        self.recovery = Recovery(self.folder.states, self.fabric)
        self.validation: dict[str, PairSet] = {}
        self.scores: dict[str, dict[str, float]] = {}
        self.step = 0
        self.position = 0
        self.latest = math.nan
        self.waits: deque[float] = deque(maxlen=_TIMED)
        self.durations: deque[float] = deque(maxlen=_TIMED)
        self._resumed = False
        self._seconds = 0.0
        self._began = time.perf_counter()

    def run(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Train from where the run stands to its end. `after_step` is called after each step, before it is saved."""
        recipe, learner = self.recipe, self.learner
        launch(self.fabric)
        learner.share()
        if not self._resumed:
            self._save()
        self._began = time.perf_counter()
        with closing(self._batches()) as batches:
            for batch in batches:
                began = time.perf_counter()
                torch.manual_seed(_seed(recipe.seed, self.position, self.fabric.global_rank))

                learned = learner.gradients(batch)
                self.latest, norm = float(mean(self.fabric, learned.loss)), float(learned.norm)
                verdict = self.guard.judge(self.latest, norm)
                self.position += 1
                if verdict is Verdict.TAKE:
                    rates = rates_at(self.step, recipe)
                    learner.update(learned, rates)
                    update_average(self.average, self.network, recipe.optimiser.ema, self.step)
                    self.step += 1
                    self._log(rates[0], norm)
                    if recipe.cuda_graphs:
                        learner.capture(batch)
                else:
                    self._log_skipped(learned, batch)
                    if verdict is Verdict.GO_BACK:
                        self._go_back()

                self.durations.append(time.perf_counter() - began)
                after_step()
                is_last = self.step >= recipe.steps
                is_due = is_last or self.step % recipe.checkpoint_every == 0
                if verdict is Verdict.TAKE and is_due and self._checkpoint(is_last):
                    break
        self.fabric.barrier()

    def _batches(self) -> Generator[Batch]:
        """Batches on the device from where the run stands, without end."""
        indices = BatchIndices(self.recipe.batch, self.fabric.global_rank, self.fabric.world_size)
        indices.position = self.position
        batches = iter(loader(self.samples, indices, self.recipe.workers, pin=self.fabric.device.type == "cuda"))
        while True:
            began = time.perf_counter()
            batch = next(batches)
            self.waits.append(time.perf_counter() - began)
            yield self.fabric.to_device(batch)

    # -- between steps

    def _checkpoint(self, is_last: bool) -> bool:
        """Save, and validate where that is due; whether the run ends here, which it does after its minutes, too."""
        recipe = self.recipe
        is_over = time.perf_counter() - self._began > 60 * self.minutes
        ends = self.fabric.broadcast(is_last or is_over)
        if not _is_finite(self.network):
            log.warning("the weights are not finite after step %d", self.step)
            self._go_back()
            return False
        self._save()  # before a validation that may fail, and its scores after it
        every = math.ceil(recipe.validate_every / recipe.checkpoint_every) * recipe.checkpoint_every
        if self.validation and (self.step % every == 0 or ends):
            by_the_first(self.fabric, self._validate)
            self._save()
        self.recovery.passed(self.step)
        return ends

    def _save(self) -> None:
        """Write logs, weights and state, each whole or not at all."""
        by_the_first(self.fabric, self._write)

    def _write(self) -> None:
        folder = self.folder
        folder.write_losses()
        folder.save_weights(self.average)
        if not self.validation and self.guard.losses:
            folder.note_best(self.step, "loss", -median(self.guard.losses))
        kept = (folder.best.get("step"), self.recovery.origin)
        folder.states.save(self.state(), [step for step in kept if step is not None])

    def _validate(self) -> None:
        began = time.perf_counter()
        results = validate(self.average, self.validation, self.learner.objective.largest)
        self.scores |= {name: {"psnr": r.score.psnr, "ssim": r.score.ssim} for name, r in results.items()}
        self.folder.log_scores(self.step, results, time.perf_counter() - began, self.average)

    def _go_back(self) -> None:
        """To a state from before the explosion, with the samples that follow, lest the same accident come again."""
        self._load_learned(self.recovery.state_after_explosion(self.step))
        log.warning("the loss exploded: back to the checkpoint of step %d, with other samples", self.step)

    def _log(self, rate: float, norm: float) -> None:
        if self.fabric.is_global_zero:
            self.folder.log(self.step, self.position, self.latest, rate, norm, self.learner.figures)

    def _log_skipped(self, learned: Learned, batch: Batch) -> None:
        """Name the samples of which an output is not finite, or all where that singles out none."""
        indices = batch[2]
        finite = torch.ones_like(indices, dtype=torch.bool)
        for pictures in learned.restored.values():
            finite &= pictures[-1].isfinite().flatten(1).all(1)
        chosen = indices if bool(finite.all()) else indices[~finite]
        names = "; ".join(self.samples.name(int(index)) for index in chosen)
        log.warning("skipped step %d: loss %.4g, on %s", self.step, self.latest, names)

    # -- the state of a run

    def state(self) -> State:
        """All that decides how the run goes on, in tensors, numbers and strings."""
        return {
            "recipe": plain(self.recipe),
            **self.learner.state(),
            "ema": self.average.state_dict(),
            "step": self.step,
            "position": self.position,
            "losses": list(self.guard.losses),
            "scores": self.scores,
            "best": self.folder.best,
            "log_bytes": self.folder.log_bytes,
            "seconds": self.elapsed(),
        }

    def load_state(self, state: State) -> None:
        """Go on from what `state` gave; CnlrnError where it is of a run with another network, optimiser or
        discriminator."""
        before, now = state["recipe"], plain(self.recipe)
        for key in _FIXED:
            found, wanted = _look_up(before, key), _look_up(now, key)
            if found != wanted:
                out = self.folder.out
                raise CnlrnError(
                    f"{out} holds a run with {key} {found or 'unset'}, not {wanted or 'unset'}; choose another "
                    f"folder, or take {out / WEIGHTS} to begin with (--init)"
                )
        self._load_learned(state)
        self.position = state["position"]
        self.scores = state["scores"]
        self._seconds = state["seconds"]
        self._resumed = True
        if self.fabric.is_global_zero:
            self.folder.cut_losses(state["log_bytes"])

    def _load_learned(self, state: State) -> None:
        self.learner.load_state(state)
        self.average.load_state_dict(state["ema"])
        self.guard = LossGuard(state["losses"])
        self.step = state["step"]
        self.folder.best = state.get("best", {})

    def elapsed(self) -> float:
        """Seconds that the run has trained and validated, interruptions left out."""
        return self._seconds + time.perf_counter() - self._began


def _look_up(recipe: Any, key: str) -> object:
    """The value of `section.key` in a recipe of plain values; None where there is no such section."""
    for part in key.split("."):
        recipe = (recipe or {}).get(part)
    return recipe


def _is_finite(network: RestorationNetwork) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values())


def _seed(*numbers: int) -> int:
    """One number from several, as unlike the next as any other."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
