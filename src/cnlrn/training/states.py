"""The states of a run on disk: the newest, a few before it, the best, and one every so many steps.

`last.ckpt` is the newest, from which a run goes on; those before it are in `checkpoints`, so that a run whose newest
state is already exploding can begin from an older one. What a state holds is the business of `cnlrn.training.loop`.
"""

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

from cnlrn.errors import CnlrnError, writing
from cnlrn.files import make_folder, replacing
from cnlrn.training.recipe import Keep

State = dict[str, Any]

CHECKPOINT, FOLDER = "last.ckpt", "checkpoints"
_KEYS = {"recipe", "network", "ema", "optimiser", "step", "position", "losses", "scores", "log_bytes", "seconds"}
_REMEDY = f"remove it, and the run resumes from the newest in {FOLDER}, or starts from scratch if there is none"


class States:
    """The states in the folder of a run, of which it keeps what `keep` says."""

    def __init__(self, out: Path, keep: Keep) -> None:
        """`out`: the run's folder, which need not be there yet."""
        self.last, self.folder, self.keep = out / CHECKPOINT, out / FOLDER, keep
        self._step: int | None = None

    def are_there(self) -> bool:
        """Whether there is a state to go on from."""
        return self.last.exists() or bool(self._kept())

    def newest(self) -> State:
        """The state in last.ckpt or, where that was removed, the newest before it; CnlrnError if it cannot be read."""
        if not self.last.exists():
            _link(self._file(max(self._kept())), self.last)
        state = read_state(self.last)
        self._step = state["step"]
        return state

    def save(self, state: State, kept: Collection[int] = ()) -> None:
        """Write a state as the newest, whole or not at all; `kept` are steps whose states are kept whatever their age.

        CnlrnError where it cannot be written.
        """
        with writing(self.last), replacing(self.last) as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:  # torch's own writer does not say why
                raise CnlrnError(f"{self.last} cannot be written; is the disk full?") from error
            if self._step not in (None, state["step"]):
                make_folder(self.folder)
                _link(self.last, self._file(self._step))
        self._step = state["step"]
        self._clear(kept)

    def before(self, step: int) -> State | None:
        """The newest state of a step before `step`; None where there is none."""
        earlier = [known for known in self._kept() if known < step]
        return read_state(self._file(max(earlier))) if earlier else None

    def return_to(self, step: int) -> None:
        """Make a state that `before` gave the newest, and forget those after it."""
        if step != self._step:
            _link(self._file(step), self.last)
            self._step = step
        self._clear(self._kept())

    def _clear(self, kept: Collection[int]) -> None:
        """Remove states after the newest, and those before it that need not be kept."""
        assert self._step is not None
        earlier = sorted(step for step in self._kept() if step < self._step)
        wanted = {*kept, self._step, *earlier[max(0, len(earlier) + 1 - self.keep.newest) :]}
        for step in self._kept():
            for_good = self.keep.every and step % self.keep.every == 0
            if step > self._step or not (step in wanted or for_good):
                self._file(step).unlink(missing_ok=True)

    def _kept(self) -> list[int]:
        """The steps of the states in the folder."""
        found = (re.fullmatch(r"step-(\d+)\.ckpt", file.name) for file in self.folder.glob("*.ckpt"))
        return [int(match[1]) for match in found if match]

    def _file(self, step: int | None) -> Path:
        return self.folder / f"step-{step:08}.ckpt"


def read_state(file: Path) -> State:
    """The state in a checkpoint of a run; CnlrnError where it cannot be read."""
    try:
        state: State = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any way
        raise CnlrnError(f"{file} is damaged or no checkpoint of a run; {_REMEDY}") from error
    if not isinstance(state, dict) or _KEYS - state.keys():
        raise CnlrnError(f"{file} is no checkpoint of a run; {_REMEDY}")
    return state


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where a disk cannot do that."""
    with writing(target), replacing(target) as temporary:
        temporary.unlink()
        try:
            temporary.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, temporary)
