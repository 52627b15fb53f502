"""Chains of systems."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cnlrn.errors import CnlrnError, cut, shown
from cnlrn.evaluation.systems.bicubic import Bicubic
from cnlrn.evaluation.systems.contract import SCALE, Part, Spec, Step, Steps
from cnlrn.evaluation.systems.model import Model
from cnlrn.models import models

ROLES = {"deblur": 1, "sr": SCALE}
"""What a part of a chain does -> how many times it enlarges."""


@dataclass(frozen=True)
class Chain(Spec):
    """Systems one after the other, such as "deblur:srn + sr:rcan"; NAME is a system of the suite.

    "bicubic" and the names that `cnlrn models` lists need not be in the suite.
    """

    chain: str

    def resolve(self, name: str, scale: int, specs: Mapping[str, Spec]) -> Steps | None:
        """See `Spec.resolve`."""
        steps = tuple(self._step(name, text, specs) for text in re.split(r"\s+\+\s+", self.chain.strip()))
        total = math.prod(step.scale for step in steps)
        if total > SCALE:
            raise CnlrnError(f'{name}: "{cut(self.chain)}" enlarges x{total}; at most one part may be sr:NAME')
        return steps if total == scale else None

    def _step(self, name: str, text: str, specs: Mapping[str, Spec]) -> Step:
        role, colon, part = text.partition(":")
        if not colon or role not in ROLES:
            raise CnlrnError(
                f'{name}: "{cut(text)}" is no part of a chain; write deblur:NAME or sr:NAME, joined by " + "'
            )
        spec = specs[part] if part in specs else _implied(name, part, specs)
        if not isinstance(spec, Part):
            raise CnlrnError(f"{name}: {part} is a chain itself; write its parts here instead")
        scales = spec.scales()
        if scales is not None and ROLES[role] not in scales:
            able = ", ".join(f"x{scale}" for scale in scales)
            raise CnlrnError(f"{name}: {part} cannot be {role}:{part}, which is x{ROLES[role]}; it can only do {able}")
        return Step(part, spec, ROLES[role])


def _implied(name: str, part: str, specs: Mapping[str, Spec]) -> Bicubic | Model:
    """The system called `part` that is not in the suite."""
    if part == "bicubic":
        return Bicubic()
    if part in (card.name for card in models()):
        return Model(part)
    raise CnlrnError(f"{name}: there is no system {shown(part)}; the suite has {cut(', '.join(specs), 200)}")
