"""Bicubic enlargement, which reports compare the other systems with."""

from dataclasses import dataclass

from cnlrn.evaluation.systems.contract import SCALE, Byte, Costs, InProcess, Opened, Part, as_bytes


@dataclass(frozen=True)
class Bicubic(Part):
    """Bicubic enlargement as MATLAB's `imresize` does it: what papers call bicubic."""

    is_baseline = True

    def scales(self) -> tuple[int, ...]:
        """See `Part.scales`."""
        return (SCALE,)

    def costs(self, scale: int) -> Costs:
        """See `Part.costs`."""
        return Costs(0, 3 * 4 * (scale + scale**2))  # three colours, four taps, first along one axis, then the other

    def open(self, scale: int, threads: int) -> Opened:
        """See `Part.open`."""
        from cnlrn.degradation.resize import bicubic

        def restore(lr: Byte) -> Byte:
            return as_bytes(bicubic(lr, scale))

        return InProcess(restore)
