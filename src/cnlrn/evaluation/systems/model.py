"""Models that are shipped or exported, run by ONNX Runtime."""

from dataclasses import dataclass
from pathlib import Path

from cnlrn.engine import onnxfile
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.systems.contract import Costs, Opened, Part
from cnlrn.evaluation.systems.restorers import opened
from cnlrn.models import find


@dataclass(frozen=True)
class Model(Part):
    """A model as users run it: a name that `cnlrn models` lists, or an .onnx file made by `cnlrn export`."""

    model: str

    def scales(self) -> tuple[int, ...] | None:
        """See `Part.scales`."""
        path, _ = find(self.model)
        try:
            return onnxfile.check(path.read_bytes()).scales
        except (OSError, ValueError):
            return None

    def costs(self, scale: int) -> Costs:
        """See `Part.costs`: those of the network that the model was exported from, where its file names one."""
        from cnlrn import networks
        from cnlrn.evaluation.systems.network import costs_of, without_weights

        try:
            metadata = onnxfile.check(find(self.model)[0].read_bytes())
            if metadata.name not in networks.presets():
                return Costs(None, None)
            network = without_weights(metadata.name, metadata.preset)
        except (OSError, ValueError, CnlrnError):  # why it cannot be run is told where it is opened
            return Costs(None, None)
        return costs_of(network, scale)

    def files(self) -> list[Path]:
        """See `Part.files`."""
        return [find(self.model)[0]]

    def open(self, scale: int, threads: int) -> Opened:
        """See `Part.open`."""
        from cnlrn.restoration.restorer import Restorer

        return opened(self.model, Restorer(self.model, threads=threads), scale)
