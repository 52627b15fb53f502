"""Watches the loss, so that a bad sample or an exploding run costs a few steps and not the night."""

import math
from collections import deque
from collections.abc import Iterable
from enum import Enum
from statistics import median

_REMEMBERED = 101
_NEEDED = 20
_FACTOR = 10.0
_PATIENCE = 5


class Verdict(Enum):
    """What to do with a step."""

    TAKE = "take"
    SKIP = "skip"
    GO_BACK = "go back"


class LossGuard:
    """Judges each step by its loss and gradient norm against the running median of the losses of steps taken.

    A step is skipped when either is not finite or the loss exceeds 10 times the median; the fifth such step in a row
    means that the weights, not the samples, are at fault.
    """

    def __init__(self, losses: Iterable[float] = ()) -> None:
        """`losses`: of the latest steps taken, as `losses` gave them before an interruption."""
        self.losses = deque(losses, maxlen=_REMEMBERED)
        self.streak = 0

    def judge(self, loss: float, norm: float) -> Verdict:
        """The verdict on the step with this loss and gradient norm."""
        bound = _FACTOR * median(self.losses) if len(self.losses) >= _NEEDED else math.inf
        if math.isfinite(loss) and math.isfinite(norm) and loss <= bound:
            self.losses.append(loss)
            self.streak = 0
            return Verdict.TAKE
        self.streak += 1
        return Verdict.GO_BACK if self.streak >= _PATIENCE else Verdict.SKIP
