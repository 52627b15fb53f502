"""The losses of the papers whose networks this package has, said as a recipe says them.

`loss: paper` in a recipe stands for the loss of the paper of its network, `loss: esrgan` for that of the paper named.
docs/losses.md tells where each comes from and what deviates. Learning rates, patches and steps are the recipe's.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from cnlrn.errors import CnlrnError, cut, nearest

log = logging.getLogger(__name__)

Section = Mapping[str, object]

_COMPACT = ("-s", "-xs")
_COMPACT_WIDTH = 16
"""Of the discriminators of compact networks: a paper's would cost several times as much as such a network."""


def _terms(**weights: object) -> Section:
    """The section `loss` with these weights and no others."""
    return {"l1": 0.0, "gradient": 0.0, **weights}


@dataclass(frozen=True)
class Paper:
    """Sections of a recipe that make up a paper's loss."""

    loss: Section
    adversarial: Section = field(default_factory=dict)
    perceptual: Section = field(default_factory=dict)
    """Without `weights`, which are the user's."""
    featureless: Section | None = None
    """The section `loss` where the user has no weights for `perceptual`; None is `loss`."""


_L1 = Paper(_terms(l1=1.0))
_SQUARED = Paper(_terms(squared=1.0))
_OWN = Paper({"exits": {4: 1.0, 2: 0.2, 1: 0.2}, "l1": 1.0, "gradient": 0.1, "squared": 4.0})

# Weights of squares are four times those of papers whose pictures are in [-1, 1]: here they are in [0, 1].
_PAPERS = {
    "cnlrn": Paper(_terms(l1=1.0, gradient=0.1)),
    "cnlrn-deblur": _L1,
    "cnlrn-s": _OWN,
    "cnlrn-xs": _OWN,
    "srcnn": _SQUARED,
    "vdsr": _SQUARED,
    "lapsrn": Paper(_terms(exits={4: 1.0, 2: 0.25}, charbonnier=1.0)),  # a sum over pixels: x2 has a quarter of them
    "srresnet": _SQUARED,
    "srgan": Paper(
        _terms(),
        adversarial={"kind": "vanilla", "discriminator": "srgan", "weight": 1e-3},
        perceptual={"layers": {"relu5_4": 0.006}},
        featureless=_terms(squared=4.0),
    ),
    "edsr": _L1,
    "rdn": _L1,
    "rcan": _L1,
    "dbpn": _L1,
    "rrdbnet": _L1,
    "esrgan": Paper(
        _terms(l1=0.01),
        adversarial={"kind": "relativistic", "discriminator": "srgan", "weight": 5e-3},
        perceptual={"layers": {"conv5_4": 1.0}, "difference": "l1"},
        featureless=_terms(l1=1.0),
    ),
    "deblurgan": Paper(
        _terms(),
        adversarial={"kind": "wgan-gp", "discriminator": "patch", "weight": 1.0, "steps": 5},
        perceptual={"layers": {"relu3_3": 100.0}},
        featureless=_terms(l1=100.0),
    ),
    "deblurgan-v2": Paper(
        _terms(squared=2.0),
        # 0.01 times the mean over two discriminators of half the sum of both sides, where here all four are summed
        adversarial={"kind": "relativistic-lsgan", "discriminator": "double-scale", "weight": 0.0025},
        perceptual={"layers": {"conv3_3": 0.006}},
    ),
    "srn": _SQUARED,
    "pss-nsc": _SQUARED,
    "mprnet": Paper(_terms(charbonnier=1.0, edge=0.05)),
    "scgan": Paper(
        _terms(squared=4.0),
        adversarial={"kind": "vanilla", "discriminator": "srgan", "weight": 1e-3, "matching": 1e-3},
    ),
    "ed-dsrn": Paper(_terms(exits={4: 1.0, 1: 0.5}, squared=1.0)),
    "gfn": Paper(_terms(exits={4: 1.0, 1: 0.5}, squared=1.0)),
    "ikc": _L1,
}


def expanded(tree: Mapping[str, object]) -> dict[str, object]:
    """A recipe whose `loss` is "paper" or a paper's name, with that paper's sections in its place.

    What the recipe itself says in `adversarial` and `perceptual` comes first; null leaves a section out. Features need
    `perceptual.weights`: without it, a warning says what is compared in their stead.

    Raises:
        CnlrnError: the paper, or a loss for this network, is not known.
    """
    network, wanted = str(tree.get("network")), str(tree["loss"])
    paper = _of_network(network) if wanted == "paper" else _PAPERS.get(wanted)
    if paper is None:
        hint = nearest(cut(wanted), ("paper", *_PAPERS))
        raise CnlrnError(f"loss is {cut(wanted)}, and no paper of that name is known; {hint}")
    adversarial, perceptual, loss = paper.adversarial, paper.perceptual, paper.loss
    if adversarial and network.endswith(_COMPACT):
        adversarial = {**adversarial, "width": _COMPACT_WIDTH}
    features = tree.get("perceptual")
    if perceptual and not (isinstance(features, Mapping) and "weights" in features):
        log.warning("without perceptual.weights, weights of VGG-19, features are not compared, only pixels")
        perceptual, loss = {}, paper.featureless or loss
    result = {**tree, "loss": loss}
    for name, section in (("adversarial", adversarial), ("perceptual", perceptual)):
        own = tree.get(name, {})
        if section and isinstance(own, Mapping):
            result[name] = {**section, **own}
    return result


def _of_network(name: str) -> Paper:
    """The loss of the paper of the network `name`, of whatever size (`rcan-s`, `edsr-l`)."""
    paper = _PAPERS.get(name) or _PAPERS.get(name.rpartition("-")[0])
    if paper is None:
        raise CnlrnError(f"the loss of {cut(name)}'s paper is not known; give the section loss")
    return paper
