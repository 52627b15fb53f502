"""The networks of this package by name: one paper one file, its presets in the table below. Needs torch."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from cnlrn.errors import CnlrnError, cut, nearest
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.cnlrn import CNLRN, CNLRNPreset, DeblurringPretraining
from cnlrn.networks.compact import CNLRN_S, CNLRN_XS, CompactCNLRN
from cnlrn.networks.dbpn import DBPN, DBPN_S, DBPNPreset
from cnlrn.networks.deblurgan import DEBLURGAN_2019, DEBLURGAN_S, DeblurGAN, DeblurGANPreset
from cnlrn.networks.deblurganv2 import DEBLURGANV2_S, DeblurGANv2, DeblurGANv2Preset
from cnlrn.networks.eddsrn import EDDSRN, EDDSRN_S, EDDSRNPreset
from cnlrn.networks.edsr import EDSR, EDSR_L, EDSR_S, EDSRPreset
from cnlrn.networks.gfn import GFN, GFN_S, GFNPreset
from cnlrn.networks.ikc import IKC, IKC_S, IKCPreset
from cnlrn.networks.lapsrn import LAPSRN_S, LapSRN, LapSRNPreset
from cnlrn.networks.mprnet import MPRNET_S, MPRNet, MPRNetPreset
from cnlrn.networks.own import CNLRN_OWN, OwnSizeCNLRN
from cnlrn.networks.pssnsc import PSSNSC, PSSNSC_S, PSSNSCPreset
from cnlrn.networks.rcan import RCAN, RCAN_S, RCANPreset
from cnlrn.networks.rdn import RDN, RDN_S, RDNPreset
from cnlrn.networks.rrdbnet import RRDBNET_S, RRDBNet, RRDBNetPreset
from cnlrn.networks.scgan import SCGAN, SCGAN_S, SCGANPreset
from cnlrn.networks.srcnn import SRCNN, SRCNN_S, SRCNNPreset
from cnlrn.networks.srn import SRN, SRN_S, SRNPreset
from cnlrn.networks.srresnet import SRRESNET_S, SRResNet, SRResNetPreset
from cnlrn.networks.vdsr import VDSR, VDSR_S, VDSRPreset

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A name's hyper-parameters, and the class that is built from them.
_NETWORKS: dict[str, tuple[DataclassInstance, Callable[[Any], RestorationNetwork]]] = {
    "cnlrn": (CNLRNPreset(), CNLRN),
    "cnlrn-deblur": (CNLRNPreset(), DeblurringPretraining),
    "cnlrn-s": (CNLRN_S, CompactCNLRN),
    "cnlrn-xs": (CNLRN_XS, CompactCNLRN),
    "cnlrn-own": (CNLRN_OWN, OwnSizeCNLRN),  # photos at their own size
    # super-resolution; -s are compact, as expensive as cnlrn-s
    "srcnn": (SRCNNPreset(), SRCNN),
    "srcnn-s": (SRCNN_S, SRCNN),
    "vdsr": (VDSRPreset(), VDSR),
    "vdsr-s": (VDSR_S, VDSR),
    "lapsrn": (LapSRNPreset(), LapSRN),
    "lapsrn-s": (LAPSRN_S, LapSRN),
    "srresnet": (SRResNetPreset(), SRResNet),
    "srresnet-s": (SRRESNET_S, SRResNet),
    "edsr-m": (EDSRPreset(), EDSR),
    "edsr-l": (EDSR_L, EDSR),
    "edsr-s": (EDSR_S, EDSR),
    "rdn": (RDNPreset(), RDN),
    "rdn-s": (RDN_S, RDN),
    "rcan": (RCANPreset(), RCAN),
    "rcan-s": (RCAN_S, RCAN),
    "dbpn": (DBPNPreset(), DBPN),
    "dbpn-s": (DBPN_S, DBPN),
    "rrdbnet": (RRDBNetPreset(), RRDBNet),
    "rrdbnet-s": (RRDBNET_S, RRDBNet),
    # blind super-resolution; KernelGAN learns from the picture it restores and is not trained
    "ikc": (IKCPreset(), IKC),
    "ikc-s": (IKC_S, IKC),
    # deblurring
    "deblurgan": (DeblurGANPreset(), DeblurGAN),
    "deblurgan-2019": (DEBLURGAN_2019, DeblurGAN),
    "deblurgan-s": (DEBLURGAN_S, DeblurGAN),
    "deblurgan-v2": (DeblurGANv2Preset(), DeblurGANv2),
    "deblurgan-v2-s": (DEBLURGANV2_S, DeblurGANv2),
    "srn": (SRNPreset(), SRN),
    "srn-s": (SRN_S, SRN),
    "pss-nsc": (PSSNSCPreset(), PSSNSC),
    "pss-nsc-s": (PSSNSC_S, PSSNSC),
    "mprnet": (MPRNetPreset(), MPRNet),
    "mprnet-s": (MPRNET_S, MPRNet),
    # both
    "scgan": (SCGANPreset(), SCGAN),
    "scgan-s": (SCGAN_S, SCGAN),
    "ed-dsrn": (EDDSRNPreset(), EDDSRN),
    "ed-dsrn-s": (EDDSRN_S, EDDSRN),
    "gfn": (GFNPreset(), GFN),
    "gfn-s": (GFN_S, GFN),
}

_LARGEST = 10_000  # hyper-parameter


def build(name: str, changes: Mapping[str, float] | None = None) -> RestorationNetwork:
    """Build the network called `name` with fresh random weights, in float32 on torch's default device.

    `changes` are hyper-parameters that differ from the preset's, for experiments.

    Raises:
        CnlrnError: there is no such name or hyper-parameter (the message offers the nearest), or the network does not
            work with `changes`.
    """
    if name not in _NETWORKS:
        raise CnlrnError(f'There is no network called "{cut(name)}": {nearest(cut(name), _NETWORKS)}')
    preset, network = _NETWORKS[name]
    if not changes:
        return network(preset)
    known = dataclasses.asdict(preset)
    for change, value in changes.items():
        if change not in known:
            raise CnlrnError(f'{name} has no hyper-parameter called "{cut(change)}": {nearest(cut(change), known)}')
        if isinstance(known[change], int) and not isinstance(value, int):
            raise CnlrnError(f"{name}'s {change} is {value}; it must be a whole number")
        if not abs(value) <= _LARGEST:  # millions of layers would be made for hours
            raise CnlrnError(f"{name}'s {change} is {value:g}; it must be at most {_LARGEST:,}")
    changed = dataclasses.replace(preset, **changes)
    try:  # without computing anything, as numbers may make no sense in many ways
        with torch.device("meta"), torch.no_grad():
            trial = network(changed)
            side = trial.multiple * math.ceil(48 / trial.multiple)
            trial.outputs(torch.empty(1, 3, side, side))
    except Exception as error:
        numbers = ", ".join(f"{change}={value}" for change, value in changes.items())
        raise CnlrnError(f"{name} does not work with {numbers} ({cut(str(error), 200)})") from error
    return network(changed)


def presets() -> dict[str, DataclassInstance]:
    """Name -> frozen dataclass of hyper-parameters, of every network that `build` knows."""
    return {name: preset for name, (preset, _) in _NETWORKS.items()}
