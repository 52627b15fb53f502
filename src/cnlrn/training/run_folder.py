"""What a run leaves in its folder: states, weights, the CSV files and curves of its figures, its recipe and summary.

Files appear whole or not at all, but for logs, which grow. Only the first process of a run writes.
"""

import csv
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from cnlrn.errors import writing
from cnlrn.files import replacing
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.checkpoints import save_weights
from cnlrn.training.recipe import Keep
from cnlrn.training.states import States
from cnlrn.training.validation import Result

WEIGHTS, BEST, LOSSES, SCORES = "weights.safetensors", "best.safetensors", "losses.csv", "validation.csv"
CURVES = "tensorboard"
_WRITTEN_EVERY = 20
"""Steps after which losses go to the disk even if there is no checkpoint."""

log = logging.getLogger(__name__)


class RunFolder:
    """The folder `out` of a run.

    Attributes:
        states: from which the run can go on.
        best: the best state so far: `step`, `score`, and `by`, what the score is of; empty where there is none.
        log_bytes: length of the losses' file when it was last written.
    """

    def __init__(self, out: Path, keep: Keep, more_figures: Iterable[str] = ()) -> None:
        """`out` need not be there yet; `more_figures` are names of what is logged of each step beside the usual."""
        self.out, self.keep = out, keep
        self.states = States(out, keep)
        self.best: dict[str, Any] = {}
        self.log_bytes = 0
        self._header = ("step", "batches", "loss", "lr", "gradient_norm", *more_figures)
        self._rows: list[tuple[object, ...]] = []
        self._curves: SummaryWriter | None = None

    def open_curves(self, step: int) -> None:
        """From now on draw figures for TensorBoard; those of `step` and later, of a run cut short, are dropped."""
        with writing(self.out / CURVES):
            self._curves = SummaryWriter(str(self.out / CURVES), purge_step=step)

    def close(self) -> None:
        """Write what is left of the curves."""
        if self._curves:
            self._curves.close()
            self._curves = None

    def write(self, name: str, text: str) -> None:
        """A text file; CnlrnError where it cannot be written."""
        with writing(self.out / name), replacing(self.out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    # -- the figures of steps

    def log(self, step: int, batches: int, loss: float, rate: float, norm: float, more: Mapping[str, float]) -> None:
        """Note the figures of the step that made `step`, after so many batches."""
        row = (step, batches, repr(loss), f"{rate:.4g}", f"{norm:.4g}")
        self._rows.append((*row, *(f"{figure:.5g}" for figure in more.values())))
        if step % _WRITTEN_EVERY == 0:
            self.write_losses()
            self._draw({"loss": loss, "lr": rate, "gradient norm": norm, **more}, step)

    def write_losses(self) -> None:
        """Append what has been noted to the losses' file."""
        self.log_bytes = _append(self.out / LOSSES, self._header, self._rows)
        self._rows = []

    def cut_losses(self, log_bytes: int) -> None:
        """Forget losses of steps after the state in which `log_bytes` was the attribute."""
        self.log_bytes = log_bytes
        if (self.out / LOSSES).exists():
            os.truncate(self.out / LOSSES, log_bytes)

    # -- weights, and which are the best

    def save_weights(self, network: RestorationNetwork) -> None:
        """Write the newest weights."""
        _save_weights(network, self.out / WEIGHTS)

    def log_scores(self, step: int, results: Mapping[str, Result], seconds: float, network: RestorationNetwork) -> None:
        """Note a validation of `network`, which took so many seconds, and keep the weights if they are the best."""
        for name, result in results.items():
            log.info("step %d: %s %.3f dB, SSIM %.4f", step, name, result.score.psnr, result.score.ssim)
            self._draw({f"psnr/{name}": result.score.psnr, f"ssim/{name}": result.score.ssim}, step)
            for index, sheet in enumerate(result.sheets):
                if self._curves:
                    self._curves.add_image(f"{name}/{index}", sheet, step, dataformats="HWC")
        scores = {name: result.score for name, result in results.items()}
        rows = [(step, name, f"{s.psnr:.4f}", f"{s.ssim:.5f}", f"{seconds:.1f}") for name, s in scores.items()]
        _append(self.out / SCORES, ("step", "set", "psnr", "ssim", "seconds"), rows)
        if self.note_best(step, ", ".join(results), fmean(score.psnr for score in scores.values())):
            _save_weights(network, self.out / BEST)

    def note_best(self, step: int, by: str, score: float) -> bool:
        """Note the state of `step` if no other has a higher score of the kind `by`; whether that is so."""
        if not self.keep.best or (self.best.get("by") == by and score <= self.best["score"]):
            return False
        self.best = {"by": by, "score": score, "step": step}
        return True

    def _draw(self, figures: Mapping[str, float], step: int) -> None:
        if self._curves:
            for name, figure in figures.items():
                self._curves.add_scalar(name, figure, step)


def _save_weights(network: RestorationNetwork, file: Path) -> None:
    """In float16, or in float32 where a number is too large for that."""
    largest = torch.finfo(torch.float16).max
    half = all(float(tensor.abs().max()) <= largest for tensor in network.state_dict().values() if tensor.numel())
    save_weights(network, file, half)


def _append(file: Path, header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> int:
    """Append rows to a CSV file, made with its header where absent; the file's length in bytes."""
    with writing(file), file.open("a", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        if out.tell() == 0:
            writer.writerow(header)
        writer.writerows(rows)
        return out.tell()
