"""Systems without networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnlrn.errors import CnlrnError
from cnlrn.evaluation.systems.contract import Opened, Part
from cnlrn.evaluation.systems.restorers import opened

if TYPE_CHECKING:
    from cnlrn.classical.restorer import ClassicalRestorer


@dataclass(frozen=True)
class Classical(Part):
    """A system without networks: a name that `cnlrn restore --method` takes."""

    method: str

    def scales(self) -> tuple[int, ...]:
        """See `Part.scales`."""
        return self._restorer(threads=1).engine.scales

    def open(self, scale: int, threads: int) -> Opened:
        """See `Part.open`."""
        return opened(self.method, self._restorer(threads), scale)

    def _restorer(self, threads: int) -> ClassicalRestorer:
        try:
            from cnlrn.classical.restorer import ClassicalRestorer
        except ModuleNotFoundError as error:
            raise CnlrnError(f'{error.name} is not installed; it comes with the extra "classical"') from error
        return ClassicalRestorer(self.method, threads=threads)
