"""How fast a recipe trains on this machine, and whether its data keep up: thirty steps of the real thing."""

import tempfile
from dataclasses import replace
from pathlib import Path

from cnlrn.degradation import SCALE
from cnlrn.networks.macs import macs_per_pixel
from cnlrn.training.recipe import Recipe
from cnlrn.training.run import fit, prepare

_STEPS = 30
_WARM_UP = 5


def profile(recipe: Recipe) -> str | None:
    """Train 30 steps in a folder that is thrown away; lines of text with time, data wait and arithmetic of the last 25.

    The arithmetic of a step is taken as three forward passes of the exits that are trained. None in all processes of a
    run but the first.
    """
    with tempfile.TemporaryDirectory() as folder:
        training = prepare(replace(recipe, steps=_STEPS, checkpoint_every=2 * _STEPS), Path(folder))
        learner = training.learner
        macs = macs_per_pixel(learner.network, learner.objective.weights)
        fit(training)
    if not training.fabric.is_global_zero:
        return None
    network = f"{sum(p.numel() for p in learner.network.parameters()):,} parameters, {learner.precision}"
    waited, computed = (sum(list(times)[_WARM_UP:]) for times in (training.waits, training.durations))
    step = (waited + computed) / (_STEPS - _WARM_UP)
    side = recipe.data.patch // SCALE
    flops = 3 * 2 * macs * side**2 * recipe.batch
    return "\n".join(
        [
            f"network   {recipe.network}: {network}, {macs / 1e3:.1f} kMAC per LR pixel",
            f"step      {1e3 * step:.0f} ms, {recipe.batch / step:.1f} samples/s of {side}x{side} LR pixels",
            f"data      {waited / (waited + computed):.1%} of the time waited for",
            f"reached   {flops / step / 1e9:.1f} GFLOP/s",
        ]
    )
