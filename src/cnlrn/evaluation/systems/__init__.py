"""What can be compared: systems that make a blurry picture sharp, four times as wide and high or at its own size.

One file a kind of system, and the contract that all keep in `contract`. Measuring is not here.
"""

from cnlrn.evaluation.systems.bicubic import Bicubic
from cnlrn.evaluation.systems.chain import Chain
from cnlrn.evaluation.systems.classical import Classical
from cnlrn.evaluation.systems.command import Command
from cnlrn.evaluation.systems.contract import SCALE, Byte, Costs, Opened, Part, Spec, Step, Steps
from cnlrn.evaluation.systems.kernelgan import KernelGAN
from cnlrn.evaluation.systems.model import Model
from cnlrn.evaluation.systems.network import Network
from cnlrn.evaluation.systems.steps import System, costs, fingerprint, left_out, plan

KINDS: dict[str, type[Spec]] = {
    "bicubic": Bicubic,
    "model": Model,
    "network": Network,
    "kernelgan": KernelGAN,
    "classical": Classical,
    "command": Command,
    "chain": Chain,
}
"""Kind, as a suite's YAML file names it -> what the suite says of a system of this kind."""

__all__ = [
    "KINDS",
    "SCALE",
    "Bicubic",
    "Byte",
    "Chain",
    "Classical",
    "Command",
    "Costs",
    "KernelGAN",
    "Model",
    "Network",
    "Opened",
    "Part",
    "Spec",
    "Step",
    "Steps",
    "System",
    "costs",
    "fingerprint",
    "left_out",
    "plan",
]
