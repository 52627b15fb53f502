"""What a person sees of a run: a bar with the time left on a terminal, a line a checkpoint in a log file."""

import logging

import lightning.pytorch as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cnlrn.training.module import Training, rates_at

log = logging.getLogger(__name__)


class ProgressBar(pl.Callback):
    """Steps, time left, loss, learning rate and the share of time that waits for data."""

    def __init__(self, module: Training) -> None:
        """Shows the progress of `module`."""
        self.module = module
        self.bar = Progress(
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            speed_estimate_period=600,
        )
        self.task = self.bar.add_task("", total=module.recipe.steps, completed=module.step)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the bar on a terminal."""
        if trainer.is_global_zero and self.bar.console.is_terminal:
            self.bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Bring the bar up to date."""
        module, steps = self.module, self.module.recipe.steps
        rate, _ = rates_at(module.step, module.recipe)
        seconds = sum(module.waits) + sum(module.durations)
        words = f"loss {module.latest:.4f}  lr {rate:.2e}  data {100 * sum(module.waits) / seconds:.1f} %"
        self.bar.update(self.task, completed=module.step, description=words)
        due = module.step % module.recipe.checkpoint_every == 0 or module.step == steps
        if due and trainer.is_global_zero and not self.bar.console.is_terminal:
            minutes = seconds / len(module.waits) * (steps - module.step) / 60
            log.info("step %d of %d, %.0f min left  %s", module.step, steps, minutes, words)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the terminal in order."""
        self.bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave the terminal in order."""
        self.bar.stop()
