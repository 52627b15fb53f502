"""`cnlrn models` and `cnlrn networks`."""

from __future__ import annotations

from cnlrn.cli.options import extra
from cnlrn.cli.terminal import say


def models() -> None:
    """List the models that come with cnlrn."""
    from cnlrn.models import models

    for card in models():
        scales = ", ".join(f"x{scale}" for scale in card.scales)
        say(f"{card.name}: {card.description} ({scales})")


def networks() -> None:
    """List the networks for `cnlrn train`: scales, parameters, and multiplications per pixel of a 48x48 picture."""
    with extra():
        import torch

        from cnlrn.networks import build, presets
        from cnlrn.networks.macs import macs_per_pixel

    for name in presets():
        with torch.device("meta"):
            network = build(name)
            macs = macs_per_pixel(network)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        scales = ", ".join(f"x{scale}" for scale in network.scales)
        say(f"{name:16} {scales:12} {parameters:12,} parameters {macs / 1e3:12,.1f} kMAC")
