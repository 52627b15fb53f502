"""The networks of this package by name: one paper one file, its presets in the table below. Needs torch."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from cnlrn.errors import CnlrnError
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.cnlrn import CNLRN, CNLRNPreset, DeblurringPretraining
from cnlrn.networks.compact import CNLRN_S, CNLRN_XS, CompactCNLRN

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A name's hyper-parameters, and the class that is built from them.
_NETWORKS: dict[str, tuple[DataclassInstance, Callable[[Any], RestorationNetwork]]] = {
    "cnlrn": (CNLRNPreset(), CNLRN),
    "cnlrn-deblur": (CNLRNPreset(), DeblurringPretraining),
    "cnlrn-s": (CNLRN_S, CompactCNLRN),
    "cnlrn-xs": (CNLRN_XS, CompactCNLRN),
}


def build(name: str, changes: Mapping[str, int] | None = None) -> RestorationNetwork:
    """Build the network called `name` with fresh random weights, in float32 on torch's default device.

    `changes` are hyper-parameters that differ from the preset's, for experiments.

    Raises:
        CnlrnError: there is no such name or hyper-parameter; the message offers the nearest.
    """
    if name not in _NETWORKS:
        raise CnlrnError(f'There is no network called "{name}": {_hint(name, _NETWORKS)}')
    preset, network = _NETWORKS[name]
    known = [field.name for field in dataclasses.fields(preset)]
    for change in changes or {}:
        if change not in known:
            raise CnlrnError(f'{name} has no hyper-parameter called "{change}": {_hint(change, known)}')
    return network(dataclasses.replace(preset, **(changes or {})))


def _hint(wanted: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(wanted.lower(), known, n=1, cutoff=0.4)
    return f'did you mean "{near[0]}"?' if near else f"choose from {', '.join(known)}."


def presets() -> dict[str, DataclassInstance]:
    """Name -> frozen dataclass of hyper-parameters, of every network that `build` knows."""
    return {name: preset for name, (preset, _) in _NETWORKS.items()}
