"""What a system costs in parameters and arithmetic, and on what machine time and memory are measured.

Parameters and multiplications are counted where the network is known. Seconds and memory are measured by
`cnlrn.evaluation.worker`.
"""

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from cnlrn import networks
from cnlrn.engine import onnxfile
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.systems import SCALE, Bicubic, Classical, Command, KernelGAN, Model, Network, Step, Steps
from cnlrn.models import find
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.macs import macs_per_pixel

_LIBRARIES = ("cnlrn", "numpy", "onnxruntime", "torch")


@dataclass(frozen=True)
class Costs:
    """Parameters, and multiply-accumulates per pixel of the blurry picture; None where not known, as of a command."""

    parameters: int | None
    macs: float | None


def of(steps: Steps) -> Costs:
    """The costs of all steps together; what comes behind an enlargement computes on that many more pixels."""
    parameters: dict[str, int | None] = {}
    macs: list[float | None] = []
    area = 1
    for step in steps:
        costs = _step(step)
        parameters[step.name] = costs.parameters  # a system in two roles has its parameters once
        macs.append(None if costs.macs is None else area * costs.macs)
        area *= step.scale**2
    known = [count for count in parameters.values() if count is not None]
    known_macs = [part for part in macs if part is not None]
    return Costs(
        sum(known) if len(known) == len(parameters) else None, sum(known_macs) if len(known_macs) == len(macs) else None
    )


def machine(threads: int) -> dict[str, str]:
    """What times depend on, in words: processor, threads, memory, system, versions."""
    return {
        "processor": _processor(),
        "threads": f"{threads} of {cores()} CPUs",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.system(),
        "Python": platform.python_version(),
        **{name: _version(name) for name in _LIBRARIES},
    }


def cores() -> int:
    """How many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _step(step: Step) -> Costs:
    spec = step.spec
    if isinstance(spec, Bicubic):
        return Costs(0, 3 * 4 * (SCALE + SCALE**2))  # three colours, four taps, first along one axis, then the other
    if isinstance(spec, Command | KernelGAN | Classical):
        return Costs(None, None)
    with torch.device("meta"):
        network = networks.build(spec.network, spec.preset) if isinstance(spec, Network) else _network_of(spec)
        if network is None:
            return Costs(None, None)
        macs = macs_per_pixel(network, {step.scale: 1.0})
    return Costs(sum(parameter.numel() for parameter in network.parameters()), macs)


def _network_of(spec: Model) -> RestorationNetwork | None:
    """The network that a model was exported from; None where the file cannot be read or names none."""
    try:
        metadata = onnxfile.check(find(spec.model)[0].read_bytes())
        return networks.build(metadata.name, metadata.preset) if metadata.name in networks.presets() else None
    except (OSError, ValueError, CnlrnError):  # it has no costs; why it cannot be run is told where it is
        return None


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
