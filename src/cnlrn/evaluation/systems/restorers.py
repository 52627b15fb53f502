"""Systems that are a `Restorer`, as users run them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnlrn.errors import CnlrnError
from cnlrn.evaluation.systems.contract import Byte, InProcess, Opened

if TYPE_CHECKING:
    from cnlrn.restoration.restorer import Restorer


def opened(name: str, restorer: Restorer, scale: int) -> Opened:
    """A restorer that enlarges `scale` times, sharp pictures too; CnlrnError, which names it, where it cannot."""
    if scale not in (scales := restorer.engine.scales):
        known = ", ".join(f"x{able}" for able in scales)
        raise CnlrnError(f"{name} has no exit for x{scale}: choose from {known}")

    def restore(lr: Byte) -> Byte:
        return restorer.restore(lr, scale, force=True)

    return InProcess(restore)
