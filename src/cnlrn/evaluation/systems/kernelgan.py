"""KernelGAN and ZSSR, which have no weights."""

from dataclasses import dataclass

from cnlrn.evaluation.systems.contract import SCALE, Byte, InProcess, Opened, Part
from cnlrn.yamlfile import Count


@dataclass(frozen=True)
class KernelGAN(Part):
    """KernelGAN and ZSSR, which train on each picture by itself, in minutes, and have no weights."""

    steps: Count = 3000
    """Of KernelGAN, which finds the blur."""
    sr_steps: Count = 1000
    """Of ZSSR, for each doubling."""

    def scales(self) -> tuple[int, ...]:
        """See `Part.scales`."""
        return (SCALE,)

    def open(self, scale: int, threads: int) -> Opened:
        """See `Part.open`."""
        import torch

        from cnlrn.networks import kernelgan

        torch.set_num_threads(threads)

        def restore(lr: Byte) -> Byte:
            return kernelgan.restore(lr, scale, self.steps, self.sr_steps)

        return InProcess(restore)
