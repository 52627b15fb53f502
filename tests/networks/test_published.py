"""Results of other programs on the same weights.

BasicSR 1.4.2's of EDSR, RCAN, RRDBNet and MSRResNet, and those of the authors' programs of MPRNet, DBPN, GFN (both
exits) and DeblurGAN as it is since March 2019. Processors round float32 differently, so the bounds are ten times and
more what was seen.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cnlrn import networks
from cnlrn.networks.base import RestorationNetwork

EXPECTED = load_file(Path(__file__).parents[1] / "golden" / "published_networks.safetensors")
SetWeights = Callable[[nn.Module], None]
Picture = Callable[..., Tensor]


def built(name: str, set_rule_weights: SetWeights) -> RestorationNetwork:
    net = networks.build(name).eval()
    set_rule_weights(net)
    return net


def largest_difference(result: Tensor, name: str) -> float:
    """From the other program's result, as a share of the largest value in it."""
    return float((result - EXPECTED[name]).abs().max() / EXPECTED[name].abs().max())


@pytest.mark.parametrize(
    ("name", "tolerance"),
    # RCAN's 400 convolutions amplify the rounding of float32
    [("edsr-m", 1e-5), ("rcan", 1e-3), ("rrdbnet", 1e-5), ("srresnet", 1e-5), ("mprnet", 1e-5)],
)
@torch.no_grad()
def test_on_the_same_weights_and_picture_the_result_is_that_of_the_other_program(
    name: str, tolerance: float, set_rule_weights: SetWeights, rule_picture: Picture
) -> None:
    net = built(name, set_rule_weights)
    assert largest_difference(net(rule_picture(1, 3, 8, 16), net.scales[-1]), name) < tolerance


@torch.no_grad()
def test_dbpn_gives_what_its_authors_program_gives(set_rule_weights: SetWeights, rule_picture: Picture) -> None:
    net = built("dbpn", set_rule_weights)
    assert largest_difference(net(rule_picture(1, 3, 16, 20)), "dbpn") < 1e-5


@torch.no_grad()
def test_both_exits_of_gfn_give_what_its_authors_program_gives(
    set_rule_weights: SetWeights, rule_picture: Picture
) -> None:
    outputs = built("gfn", set_rule_weights).outputs(rule_picture(1, 3, 16, 20))
    assert largest_difference(outputs[4], "gfn") < 1e-5
    assert largest_difference(outputs[1], "gfn.deblurred") < 1e-5


@torch.no_grad()
def test_deblurgan_of_2019_gives_what_its_authors_program_gives(
    set_rule_weights: SetWeights, rule_picture: Picture
) -> None:
    net = built("deblurgan-2019", set_rule_weights)
    picture = rule_picture(1, 3, 64, 64)  # was given to the other program as it is, which works in [-1, 1]
    assert largest_difference(2 * net((picture + 1) / 2) - 1, "deblurgan-2019") < 1e-5
