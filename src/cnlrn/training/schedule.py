"""The learning rate as a pure function of the step, so that a resumed run has the rate it would have had."""

import math
from collections.abc import Sequence

from cnlrn.training.recipe import Optimiser, Recipe


def rates_at(step: int, recipe: Recipe) -> tuple[float, float]:
    """Learning rates at `step`: of the network, and of its deblurring module."""
    o: Optimiser = recipe.optimiser
    periods = o.periods or (recipe.steps,)
    weights = o.restart_weights or (1.0,) * len(periods)
    network, deblurring = (
        learning_rate(step, base, periods, weights, o.eta_min, o.warmup) for base in (o.lr, o.deblurring_lr or o.lr)
    )
    return network, deblurring


def learning_rate(
    step: int, base: float, periods: Sequence[int], weights: Sequence[float], eta_min: float, warmup: int = 0
) -> float:
    """Cosine annealing with restarts (Loshchilov, Hutter, ICLR 2017, eq. 5): the rate of step `step`, counted from 0.

    Cycle i lasts `periods[i]` steps and falls from `weights[i]` x `base` to `eta_min`; during the first `warmup` steps
    the rate rises linearly to what the cosine gives. After the last cycle it stays at `eta_min`.
    """
    ramp = min(1.0, (step + 1) / (warmup + 1))
    start = 0
    for period, weight in zip(periods, weights, strict=True):
        if step < start + period:
            cosine = (1 + math.cos(math.pi * (step - start) / period)) / 2
            return ramp * (eta_min + (weight * base - eta_min) * cosine)
        start += period
    return eta_min
