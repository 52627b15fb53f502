"""What a suite's systems become: the steps that each picture goes through, their costs, and steps that are loaded."""

import hashlib
from collections.abc import Mapping

from cnlrn.errors import CnlrnError
from cnlrn.evaluation.systems.contract import SCALE, Byte, Costs, Spec, Steps


def plan(specs: Mapping[str, Spec], scale: int = SCALE) -> dict[str, Steps]:
    """Name -> steps of each system that enlarges `scale` times, 4 or 1; the others are left out.

    Raises:
        CnlrnError: a spec or chain makes no sense, or a part cannot play its role. Files of weights are not looked for.
    """
    for name, spec in specs.items():
        spec.check(name)
    resolved = {name: spec.resolve(name, scale, specs) for name, spec in specs.items()}
    return {name: steps for name, steps in resolved.items() if steps is not None}


def left_out(specs: Mapping[str, Spec], planned: Mapping[str, Steps]) -> list[str]:
    """The systems that are neither planned themselves nor a part of a planned chain."""
    used = {step.name for steps in planned.values() for step in steps}
    return [name for name in specs if name not in planned and name not in used]


def fingerprint(steps: Steps) -> str:
    """A checksum that changes with what the steps do: specs, and contents of the files of models, weights and commands.

    CnlrnError names a file that cannot be read.
    """
    facts: list[object] = []
    for step in steps:
        facts.append((step.spec, step.scale))
        for file in step.spec.files():
            try:
                with file.open("rb") as stream:
                    facts.append(hashlib.file_digest(stream, "sha256").hexdigest())
            except OSError as error:
                raise CnlrnError(f"{file} cannot be read ({error.strerror})") from error
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def costs(steps: Steps) -> Costs:
    """The costs of all steps together; what comes behind an enlargement computes on that many more pixels."""
    parameters: dict[str, int | None] = {}
    macs: list[float | None] = []
    area = 1
    for step in steps:
        costs = step.spec.costs(step.scale)
        parameters[step.name] = costs.parameters  # a system in two roles has its parameters once
        macs.append(None if costs.macs is None else area * costs.macs)
        area *= step.scale**2
    known = [count for count in parameters.values() if count is not None]
    known_macs = [part for part in macs if part is not None]
    return Costs(
        sum(known) if len(known) == len(parameters) else None, sum(known_macs) if len(known_macs) == len(macs) else None
    )


class System:
    """Steps, loaded and ready to run in this process."""

    def __init__(self, steps: Steps, threads: int) -> None:
        """Load what the steps need; each computes with so many CPU threads. CnlrnError where it cannot be loaded."""
        self._parts = [step.spec.open(step.scale, threads) for step in steps]

    def restore(self, lr: Byte) -> Byte:
        """The picture `lr`, uint8 HWC RGB, restored and enlarged by all steps; CnlrnError where a part fails."""
        picture = lr
        for part in self._parts:
            picture = part.restore(picture)
        return picture

    def memory(self, here: int) -> int:
        """The most bytes that any one of its processes held so far; `here` is what this process held.

        Where all parts are commands this process only waits for them and does not count.
        """
        others = [part.memory for part in self._parts if part.memory is not None]
        return max(others) if len(others) == len(self._parts) else max([here, *others])
