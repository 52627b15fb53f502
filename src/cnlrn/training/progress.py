"""What a person sees of a run: a bar with the time left on a terminal, a line a checkpoint in a log file."""

import logging
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cnlrn.training.loop import Training
from cnlrn.training.schedule import rates_at

log = logging.getLogger(__name__)


class ProgressBar:
    """Steps, time left, loss, learning rate and the share of time that waits for data, as long as the context lasts."""

    def __init__(self, training: Training) -> None:
        """Shows the progress of `training`; nothing in all its processes but the first."""
        self.training = training
        self.bar = Progress(
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            speed_estimate_period=600,
        )
        self.task = self.bar.add_task("", total=training.recipe.steps, completed=training.step)

    def __enter__(self) -> Self:
        """Draw the bar on a terminal."""
        if self.training.fabric.is_global_zero and self.bar.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the terminal in order."""
        self.bar.stop()

    def update(self) -> None:
        """Show the step that was taken last."""
        training, steps = self.training, self.training.recipe.steps
        rate, _ = rates_at(training.step, training.recipe)
        seconds = sum(training.waits) + sum(training.durations)
        words = f"loss {training.latest:.4f}  lr {rate:.2e}  data {100 * sum(training.waits) / seconds:.1f} %"
        self.bar.update(self.task, completed=training.step, description=words)
        due = training.step % training.recipe.checkpoint_every == 0 or training.step == steps
        if due and training.fabric.is_global_zero and not self.bar.console.is_terminal:
            minutes = seconds / len(training.waits) * (steps - training.step) / 60
            log.info("step %d of %d, %.0f min left  %s", training.step, steps, minutes, words)
