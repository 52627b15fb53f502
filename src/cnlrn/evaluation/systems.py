"""What can be compared: systems that make a blurry picture sharp, four times as wide and high or at its own size.

A system is described by a spec, which a suite's YAML file holds, and becomes the steps that a picture goes through:
one, or in a chain several. Only a `System`, made where it shall run, loads what is heavy. Measuring is not here.
"""

import hashlib
import math
import os
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import psutil

from cnlrn.engine import onnxfile
from cnlrn.errors import CnlrnError, cut, shown
from cnlrn.models import find, models
from cnlrn.yamlfile import Count, Number

if TYPE_CHECKING:
    from cnlrn.restoration.restorer import Restorer

Byte = npt.NDArray[np.uint8]

SCALE = 4
ROLES = {"deblur": 1, "sr": SCALE}
"""What a part of a chain does -> how many times it enlarges."""

_POLL = 0.05  # seconds between two looks at a command's memory


@dataclass(frozen=True)
class Bicubic:
    """Bicubic enlargement as MATLAB's `imresize` does it: what papers call bicubic."""


@dataclass(frozen=True)
class Model:
    """A model as users run it: a name that `cnlrn models` lists, or an .onnx file made by `cnlrn export`."""

    model: str


@dataclass(frozen=True)
class Network:
    """A network run by torch on the whole picture: a name that `cnlrn networks` lists, and a file of its weights."""

    network: str
    weights: Path
    preset: dict[str, Number] = field(default_factory=dict)
    """Hyper-parameters that differ from the preset's, as in the recipe it was trained by."""


@dataclass(frozen=True)
class KernelGAN:
    """KernelGAN and ZSSR, which train on each picture by itself, in minutes, and have no weights."""

    steps: Count = 3000
    """Of KernelGAN, which finds the blur."""
    sr_steps: Count = 1000
    """Of ZSSR, for each doubling."""


@dataclass(frozen=True)
class Classical:
    """A system without networks: a name that `cnlrn restore --method` takes."""

    method: str


@dataclass(frozen=True)
class Command:
    """Any program that reads the PNG file {input} and writes the PNG file {output}; no shell is involved."""

    command: str
    scale: int = SCALE
    """How many times it enlarges: 4, or 1 if it only deblurs."""
    timeout: float = 600.0
    """Seconds a picture."""


@dataclass(frozen=True)
class Chain:
    """Systems one after the other, such as "deblur:srn + sr:rcan"; NAME is a system of the suite.

    "bicubic" and the names that `cnlrn models` lists need not be in the suite.
    """

    chain: str


Part = Bicubic | Model | Network | KernelGAN | Classical | Command
Spec = Part | Chain
KINDS: dict[str, type] = {
    "bicubic": Bicubic,
    "model": Model,
    "network": Network,
    "kernelgan": KernelGAN,
    "classical": Classical,
    "command": Command,
    "chain": Chain,
}


@dataclass(frozen=True)
class Step:
    """One enlargement by `scale` (1: deblurring only) by the system called `name`, whose spec is no chain."""

    name: str
    spec: Part
    scale: int


Steps = tuple[Step, ...]


def plan(specs: Mapping[str, Spec], scale: int = SCALE) -> dict[str, Steps]:
    """Name -> steps of each system that enlarges `scale` times, 4 or 1; the others are left out.

    Raises:
        CnlrnError: a spec or chain makes no sense, or a part cannot play its role. Files of weights are not looked for.
    """
    for name, spec in specs.items():
        if isinstance(spec, Command):
            _check_command(name, spec)
    chains = {name: _parse_chain(name, spec, specs) for name, spec in specs.items() if isinstance(spec, Chain)}
    planned: dict[str, Steps] = {}
    for name, spec in specs.items():
        if isinstance(spec, Chain):
            if math.prod(step.scale for step in chains[name]) == scale:
                planned[name] = chains[name]
        elif (scales := _scales(spec)) is None or scale in scales:
            planned[name] = (Step(name, spec, scale),)
    return planned


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
        for file in _files(step.spec):
            try:
                with file.open("rb") as stream:
                    facts.append(hashlib.file_digest(stream, "sha256").hexdigest())
            except OSError as error:
                raise CnlrnError(f"{file} cannot be read ({error.strerror})") from error
    return hashlib.sha256(repr(facts).encode()).hexdigest()


class System:
    """Steps, loaded and ready to run in this process."""

    def __init__(self, steps: Steps, threads: int) -> None:
        """Load what the steps need; each computes with so many CPU threads. CnlrnError where it cannot be loaded."""
        self._parts = [_open(step, threads) for step in steps]

    def restore(self, lr: Byte) -> Byte:
        """The picture `lr`, uint8 HWC RGB, restored and enlarged by all steps; CnlrnError where a part fails."""
        picture = lr
        for part in self._parts:
            picture = part(picture)
        return picture

    def memory(self, here: int) -> int:
        """The most bytes that any one of its processes held so far; `here` is what this process held.

        Where all parts are commands this process only waits for them and does not count.
        """
        commands = [part.memory for part in self._parts if isinstance(part, _Program)]
        return max(commands) if len(commands) == len(self._parts) else max([here, *commands])


def _parse_chain(name: str, chain: Chain, specs: Mapping[str, Spec]) -> Steps:
    steps = []
    for text in re.split(r"\s+\+\s+", chain.chain.strip()):
        role, colon, part = text.partition(":")
        if not colon or role not in ROLES:
            raise CnlrnError(
                f'{name}: "{cut(text)}" is no part of a chain; write deblur:NAME or sr:NAME, joined by " + "'
            )
        spec = specs[part] if part in specs else _implied(name, part, specs)
        if isinstance(spec, Chain):
            raise CnlrnError(f"{name}: {part} is a chain itself; write its parts here instead")
        scales = _scales(spec)
        if scales is not None and ROLES[role] not in scales:
            able = ", ".join(f"x{scale}" for scale in scales)
            raise CnlrnError(f"{name}: {part} cannot be {role}:{part}, which is x{ROLES[role]}; it can only do {able}")
        steps.append(Step(part, spec, ROLES[role]))
    total = math.prod(step.scale for step in steps)
    if total > SCALE:
        raise CnlrnError(f'{name}: "{cut(chain.chain)}" enlarges x{total}; at most one part may be sr:NAME')
    return tuple(steps)


def _implied(name: str, part: str, specs: Mapping[str, Spec]) -> Bicubic | Model:
    """The system called `part` that is not in the suite."""
    if part == "bicubic":
        return Bicubic()
    if part in (card.name for card in models()):
        return Model(part)
    raise CnlrnError(f"{name}: there is no system {shown(part)}; the suite has {cut(', '.join(specs), 200)}")


def _scales(spec: Part) -> tuple[int, ...] | None:
    """How many times a system can enlarge; None where its file cannot be read (the system fails when it is opened)."""
    if isinstance(spec, Network):
        import torch

        from cnlrn import networks

        with torch.device("meta"):
            return networks.build(spec.network, spec.preset).scales
    if isinstance(spec, Model):
        path, _ = find(spec.model)
        try:
            return onnxfile.check(path.read_bytes()).scales
        except (OSError, ValueError):
            return None
    if isinstance(spec, Classical):
        return _classical(spec, 1).engine.scales
    return (spec.scale,) if isinstance(spec, Command) else (SCALE,)


def _check_command(name: str, spec: Command) -> None:
    try:
        words = shlex.split(spec.command)
    except ValueError as error:
        raise CnlrnError(f"{name}: the command cannot be split into words ({error})") from error
    for placeholder in ("{input}", "{output}"):
        if not any(placeholder in word for word in words[1:]):
            raise CnlrnError(f'{name}: the command lacks {placeholder}; write it as "tool {{input}} {{output}}"')
    if spec.scale not in ROLES.values():
        raise CnlrnError(f"{name}: scale is {spec.scale}; it must be {SCALE}, or 1 for a command that only deblurs")
    if not spec.timeout > 0:
        raise CnlrnError(f"{name}: timeout is {spec.timeout:g} seconds; it must be more than 0")


def _files(spec: Part) -> list[Path]:
    """The files whose contents decide what a system does; of a command, those that it names."""
    if isinstance(spec, Model):
        return [find(spec.model)[0]]
    if isinstance(spec, Network):
        return [spec.weights]
    words = shlex.split(spec.command) if isinstance(spec, Command) else []
    return [Path(word) for word in words if os.path.isfile(word)]  # noqa: PTH113 - never raises


def _open(step: Step, threads: int) -> Callable[[Byte], Byte]:
    spec, scale = step.spec, step.scale
    if isinstance(spec, Bicubic):
        return _bicubic
    if isinstance(spec, Command):
        return _Program(spec)
    if isinstance(spec, Network):
        return _network(spec, scale, threads)
    if isinstance(spec, KernelGAN):
        return _kernelgan(spec, threads)
    from cnlrn.restoration.restorer import Restorer

    restorer = _classical(spec, threads) if isinstance(spec, Classical) else Restorer(spec.model, threads=threads)
    if scale not in (scales := restorer.engine.scales):
        known = ", ".join(f"x{able}" for able in scales)
        raise CnlrnError(f"{step.name} has no exit for x{scale}: choose from {known}")
    return lambda lr: restorer.restore(lr, scale, force=True)


def _classical(spec: Classical, threads: int) -> "Restorer":
    try:
        from cnlrn.classical.restorer import ClassicalRestorer
    except ModuleNotFoundError as error:
        raise CnlrnError(f'{error.name} is not installed; it comes with the extra "classical"') from error
    return ClassicalRestorer(spec.method, threads=threads)


def _bicubic(lr: Byte) -> Byte:
    from cnlrn.degradation.resize import bicubic

    return _bytes(bicubic(lr, SCALE))


def _network(spec: Network, scale: int, threads: int) -> Callable[[Byte], Byte]:
    import torch

    from cnlrn import networks
    from cnlrn.networks.base import restore
    from cnlrn.networks.checkpoints import load_checkpoint

    torch.set_num_threads(threads)
    network = networks.build(spec.network, spec.preset).eval()
    network.check_scale(scale)
    load_checkpoint(network, spec.weights)

    def run(lr: Byte) -> Byte:
        x = torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255
        return _bytes(255 * restore(network, x, scale)[0].permute(1, 2, 0).numpy())

    return run


def _kernelgan(spec: KernelGAN, threads: int) -> Callable[[Byte], Byte]:
    import torch

    from cnlrn.networks.kernelgan import restore

    torch.set_num_threads(threads)
    return lambda lr: restore(lr, SCALE, spec.steps, spec.sr_steps)


def _bytes(picture: npt.NDArray[np.float32]) -> Byte:
    """Values from 0 to 255 as bytes; CnlrnError where some are no numbers."""
    if not np.isfinite(picture).all():
        raise CnlrnError("its result has values that are no numbers or infinite")
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)


class _Program:
    """A command, run anew for each picture in a temporary folder; `memory` is the most its processes held so far."""

    def __init__(self, spec: Command) -> None:
        self.spec = spec
        self.memory = 0

    def __call__(self, lr: Byte) -> Byte:
        import cv2

        from cnlrn.data import pictures

        with tempfile.TemporaryDirectory(prefix="cnlrn-") as folder:
            files = {"{input}": Path(folder, "input.png"), "{output}": Path(folder, "output.png")}
            cv2.imwrite(str(files["{input}"]), lr[..., ::-1])
            words = shlex.split(self.spec.command)
            for placeholder, file in files.items():
                words = [word.replace(placeholder, str(file)) for word in words]
            self._run(words, Path(folder, "messages"))
            restored = pictures.read(files["{output}"])
        if restored is None:
            raise CnlrnError(f"{words[0]} wrote no picture to {{output}}")
        height, width = (side * self.spec.scale for side in lr.shape[:2])
        if restored.shape[:2] != (height, width):
            found = f"{restored.shape[1]}x{restored.shape[0]}"
            raise CnlrnError(f"{words[0]} wrote {found} pixels where {width}x{height} were due")
        return restored

    def _run(self, words: list[str], messages: Path) -> None:
        deadline = time.monotonic() + self.spec.timeout
        with messages.open("wb") as stream:
            try:
                process = psutil.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
            except OSError as error:
                raise CnlrnError(f"{words[0]} cannot be started ({error.strerror})") from error
        try:
            while process.poll() is None:
                self.memory = max(self.memory, *(_resident(part) for part in _family(process)))
                if time.monotonic() > deadline:
                    raise CnlrnError(f"{words[0]} was not done after {self.spec.timeout:g} s")
                with suppress(psutil.TimeoutExpired):
                    process.wait(_POLL)
        finally:
            for part in _family(process):
                _kill(part)
            process.wait()
        if process.returncode:
            lines = messages.read_text(encoding="utf-8", errors="replace").split("\n")
            said = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
            raise CnlrnError(f"{words[0]} ended with code {process.returncode}: {said[:200]}")


def _family(process: psutil.Process) -> list[psutil.Process]:
    """A process and its descendants, as far as they still run."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [process]


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()
