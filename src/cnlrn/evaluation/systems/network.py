"""Networks that torch runs on the whole picture, and what networks cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cnlrn.evaluation.systems.contract import Byte, Costs, InProcess, Opened, Part, as_bytes
from cnlrn.yamlfile import Number

if TYPE_CHECKING:
    from cnlrn.networks.base import RestorationNetwork


@dataclass(frozen=True)
class Network(Part):
    """A network run by torch on the whole picture: a name that `cnlrn networks` lists, and a file of its weights."""

    network: str
    weights: Path
    preset: dict[str, Number] = field(default_factory=dict)
    """Hyper-parameters that differ from the preset's, as in the recipe it was trained by."""

    def scales(self) -> tuple[int, ...]:
        """See `Part.scales`."""
        return without_weights(self.network, self.preset).scales

    def costs(self, scale: int) -> Costs:
        """See `Part.costs`."""
        return costs_of(without_weights(self.network, self.preset), scale)

    def files(self) -> list[Path]:
        """See `Part.files`."""
        return [self.weights]

    def open(self, scale: int, threads: int) -> Opened:
        """See `Part.open`."""
        import torch

        from cnlrn import networks
        from cnlrn.networks.base import restore
        from cnlrn.networks.checkpoints import load_checkpoint

        torch.set_num_threads(threads)
        network = networks.build(self.network, self.preset).eval()
        network.check_scale(scale)
        load_checkpoint(network, self.weights)

        def run(lr: Byte) -> Byte:
            x = torch.from_numpy(lr).permute(2, 0, 1)[None].float() / 255
            return as_bytes(255 * restore(network, x, scale)[0].permute(1, 2, 0).numpy())

        return InProcess(run)


def without_weights(name: str, preset: dict[str, Number]) -> RestorationNetwork:
    """A network whose weights take no memory; CnlrnError where there is no such network or hyper-parameter."""
    import torch

    from cnlrn import networks

    with torch.device("meta"):
        return networks.build(name, preset)


def costs_of(network: RestorationNetwork, scale: int) -> Costs:
    """What a network made by `without_weights` costs when it enlarges `scale` times."""
    import torch

    from cnlrn.networks.macs import macs_per_pixel

    with torch.device("meta"):
        macs = macs_per_pixel(network, {scale: 1.0})
    return Costs(sum(parameter.numel() for parameter in network.parameters()), macs)
