"""The contract for systems: what every kind of system tells of itself, so that nothing else tells the kinds apart.

A suite's YAML file holds specs. A spec is resolved into steps: one, or in a chain several. A step is opened in the
process that runs it, and only then loads what is heavy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cnlrn.errors import CnlrnError

Byte = npt.NDArray[np.uint8]

SCALE = 4


@dataclass(frozen=True)
class Costs:
    """Parameters, and multiply-accumulates per pixel of the blurry picture; None where not known, as of a command."""

    parameters: int | None
    macs: float | None


class Opened(Protocol):
    """A system that is loaded and ready to run."""

    @property
    def memory(self) -> int | None:
        """The most bytes that its own processes held so far; None where it computes in this process."""
        ...

    def restore(self, lr: Byte, /) -> Byte:
        """The picture `lr`, uint8 HWC RGB, restored and enlarged; CnlrnError where it fails."""
        ...


@dataclass(frozen=True)
class InProcess:
    """A system that computes in this process."""

    restore: Callable[[Byte], Byte]
    memory: int | None = None


class Spec(ABC):
    """What a suite says of a system. Subclasses are frozen dataclasses whose fields are the keys in the YAML file."""

    is_baseline = False
    """Whether reports compare the other systems with it."""

    def check(self, name: str) -> None:  # noqa: B027 - most specs cannot be wrong by themselves
        """CnlrnError where the spec, called `name` in the suite, makes no sense by itself. Files are not looked for."""

    @abstractmethod
    def resolve(self, name: str, scale: int, specs: Mapping[str, Spec]) -> Steps | None:
        """The steps that enlarge `scale` times, 4 or 1; None where the system cannot.

        `name` is its name in the suite, whose systems are `specs`. CnlrnError where it makes no sense among them.
        """


class Part(Spec):
    """A system that is one step, by itself or in a chain."""

    @abstractmethod
    def scales(self) -> tuple[int, ...] | None:
        """How many times it can enlarge; None where its file cannot be read (it fails when it is opened).

        CnlrnError where the spec names something that does not exist.
        """

    @abstractmethod
    def open(self, scale: int, threads: int) -> Opened:
        """Load it, to enlarge `scale` times with so many CPU threads; CnlrnError where it cannot be loaded."""

    def costs(self, scale: int) -> Costs:
        """What enlarging `scale` times costs."""
        return Costs(None, None)

    def files(self) -> list[Path]:
        """The files whose contents decide what it does."""
        return []

    def resolve(self, name: str, scale: int, specs: Mapping[str, Spec]) -> Steps | None:
        """See `Spec.resolve`."""
        scales = self.scales()
        return (Step(name, self, scale),) if scales is None or scale in scales else None


@dataclass(frozen=True)
class Step:
    """One enlargement by `scale` (1: deblurring only) by the system called `name`."""

    name: str
    spec: Part
    scale: int


Steps = tuple[Step, ...]


def as_bytes(picture: npt.NDArray[np.float32]) -> Byte:
    """Values from 0 to 255 as bytes; CnlrnError where some are no numbers."""
    if not np.isfinite(picture).all():
        raise CnlrnError("its result has values that are no numbers or infinite")
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)
