"""Results of other programs on the same weights.

BasicSR 1.4.2's of EDSR, RCAN, RRDBNet and MSRResNet, that of MPRNet's authors, and super-image 0.2.0's of DBPN. Those
of GFN and DeblurGAN come of no published program but of second writings (see docs/networks.md).
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cnlrn import networks

EXPECTED = load_file(Path(__file__).parents[1] / "golden" / "published_networks.safetensors")


@pytest.mark.parametrize("name", EXPECTED)
@torch.no_grad()
def test_on_the_same_weights_and_picture_the_result_is_that_of_the_other_program(
    name: str, set_rule_weights: Callable[[nn.Module], None], rule_picture: Callable[..., Tensor]
) -> None:
    net = networks.build(name).eval()
    set_rule_weights(net)
    result = net.double()(rule_picture(1, 3, 8, 16).double(), net.scales[-1])
    expected = EXPECTED[name].double()
    rounding = 5e-4 * float(expected.abs().max())  # of float32, in which the other programs ran; RCAN's is the largest
    torch.testing.assert_close(result, expected, atol=rounding, rtol=0)
