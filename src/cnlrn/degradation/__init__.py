"""Sharp pictures made blurry and small, as a camera in an unsteady hand would: for training, tests and demos."""

from cnlrn.degradation.facts import Facts, Motion
from cnlrn.degradation.pipeline import RECIPES, SCALE, Pair, Recipe, captured, degrade, degrade_patch, recipe

__all__ = ["RECIPES", "SCALE", "Facts", "Motion", "Pair", "Recipe", "captured", "degrade", "degrade_patch", "recipe"]
