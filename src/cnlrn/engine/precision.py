"""In how many bits a network is computed, and which processors gain by eight, by the flags that they tell."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from cnlrn.errors import CnlrnError, nearest
from cnlrn.models import Precision

PRECISIONS = ("float32", "int8", "auto")
_GAINING = {"x86_64": {"avx2"}, "aarch64": {"asimddp"}}
"""Machine to flags, one of which is enough: docs/engines.md has the times. VNNI comes with AVX2 alone."""
_LONGEST = 2**20  # bytes of /proc/cpuinfo that are looked at


def settled(precision: str, device: str, processor: Path = Path("/proc/cpuinfo")) -> Precision:
    """`precision`, but "float32" instead of "auto" where eight bits gain nothing: on GPUs, and on processors that are
    not in the table or that tell nothing of themselves in the file `processor`.

    Raises:
        CnlrnError: there is no such precision.
    """
    if precision == "float32":
        return "float32"
    if precision == "int8":
        return "int8"
    if precision != "auto":
        raise CnlrnError(f"there is no precision {precision!r}; {nearest(str(precision), PRECISIONS)}")
    return "auto" if device == "cpu" and _gains(processor) else "float32"


def _gains(processor: Path) -> bool:
    machine = platform.machine()
    if sys.platform == "darwin":
        return machine == "arm64"  # all of them have the dot product
    try:
        with processor.open("rb") as file:
            lines = file.read(_LONGEST).decode("ascii", "replace").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features"))), [])
    return not _GAINING.get(machine, set()).isdisjoint(flags)
