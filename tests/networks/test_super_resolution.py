"""The super-resolution networks of other papers: sizes and checkpoints as published, compact ones within the budget."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from published import digest, make_positive
from torch import nn

from cnlrn.errors import CnlrnError
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.blocks import Bicubic, MeanShift
from cnlrn.networks.dbpn import DBPN, DBPN_S, DBPNPreset
from cnlrn.networks.edsr import EDSR, EDSR_L, EDSR_S, EDSRPreset
from cnlrn.networks.lapsrn import LAPSRN_S, LapSRN, LapSRNPreset
from cnlrn.networks.macs import macs_per_pixel
from cnlrn.networks.rcan import RCAN, RCAN_S, RCANPreset
from cnlrn.networks.rdn import RDN, RDN_S, RDNPreset
from cnlrn.networks.rrdbnet import RRDBNET_S, RRDBNet, RRDBNetPreset
from cnlrn.networks.srcnn import SRCNN, SRCNN_S, SRCNNPreset
from cnlrn.networks.srresnet import SRRESNET_S, SRResNet, SRResNetPreset
from cnlrn.networks.vdsr import VDSR, VDSR_S, VDSRPreset

COMPACT: dict[type[RestorationNetwork], Any] = {
    SRCNN: SRCNN_S,
    VDSR: VDSR_S,
    LapSRN: LAPSRN_S,
    SRResNet: SRRESNET_S,
    EDSR: EDSR_S,
    RDN: RDN_S,
    RCAN: RCAN_S,
    DBPN: DBPN_S,
    RRDBNet: RRDBNET_S,
}
# A few blocks each: quick, and the context is still that of the formula.
SMALL: dict[type[RestorationNetwork], Any] = {
    SRCNN: SRCNNPreset(first_width=6, second_width=5),
    VDSR: VDSRPreset(width=4, depth=6),
    LapSRN: LapSRNPreset(width=4, depth=3),
    SRResNet: SRResNetPreset(width=4, blocks=2),
    EDSR: EDSRPreset(width=4, blocks=2),
    RDN: RDNPreset(width=4, growth=3, blocks=2, layers=2),
    RCAN: RCANPreset(width=4, groups=2, blocks=2, reduction=2),
    DBPN: DBPNPreset(stages=3, width=3, features=5),
    RRDBNet: RRDBNetPreset(width=4, growth=3, blocks=1),
}
each = pytest.mark.parametrize("network", list(COMPACT), ids=lambda network: network.__name__)


@pytest.mark.parametrize(
    ("network", "preset", "parameters"),
    [
        (SRCNN, SRCNNPreset(), 8_032 + 97),
        (VDSR, VDSRPreset(), 664_704 + 1_217),
        (LapSRN, LapSRNPreset(), 871_586),
        (EDSR, EDSR_L, 43_089_923),
        (RDN, RDNPreset(), 22_271_107),
    ],
)
def test_the_papers_sizes_have_the_papers_number_of_parameters(network, preset, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in network(preset).parameters()) == parameters


@pytest.mark.parametrize(
    ("network", "preset", "tensors", "parameters", "expected"),
    [
        (EDSR, EDSRPreset(), 74, 1_517_571, "97385e5238f0e05815df2289de6e03c9fb0758e2a63447fa02ddef7ec654ad9a"),
        (RCAN, RCANPreset(), 1630, 15_592_355, "f4bd5084cabfc66bc0a4817fb52e1323ecdbe6ac4220c5f0507de5029f719b91"),
        (RRDBNet, RRDBNetPreset(), 702, 16_697_987, "03d98ed6e9e63b6d5f50f4d1eccea8c35d0b5844e83f69000879db94a1990f5e"),
        (SRResNet, SRResNetPreset(), 74, 1_517_571, "246c1f8ed6b34539c7a942d1bb58729c44ce2945042ad43875c4e280b6811d71"),
        (DBPN, DBPNPreset(), 155, 10_426_358, "5da89315cc57f567b64671442cd8af0b3b13903cc1cdae518ce19f5b47a37c76"),
    ],
)
def test_names_and_shapes_are_those_of_the_published_checkpoints(network, preset, tensors, parameters, expected):
    with torch.device("meta"):
        assert digest(network(preset)) == (tensors, parameters, expected)


@each
def test_compact_sizes_use_the_budget_and_stay_within_it(network):
    assert 200 <= macs_per_pixel(network(COMPACT[network])) / 1000 <= 230


@each
def test_compact_sizes_enlarge_pictures_of_any_size_the_same_way_every_time(network):
    net = network(COMPACT[network]).eval()
    lr = torch.rand(2, 3, 7, 10)
    with torch.no_grad():
        for scale in net.scales:
            restored = net(lr, scale)
            assert restored.shape == (2, 3, 7 * scale, 10 * scale)
            assert torch.equal(restored, net(lr, scale))
            assert torch.allclose(restored[1:], net(lr[1:], scale), atol=1e-4)
    with pytest.raises(CnlrnError, match="no exit for x3"):
        net(lr, 3)


def small_and_positive(network: type[RestorationNetwork]) -> RestorationNetwork:
    net = network(SMALL[network])
    make_positive(net)
    return net


def bright(side: int) -> torch.Tensor:
    return 0.5 + 0.5 * torch.rand(1, 3, side, side, dtype=torch.float64)


@each
def test_gradients_reach_every_parameter(network):
    torch.manual_seed(0)
    net = network(COMPACT[network]).double()
    if network is RCAN:  # where chance closes all ReLUs of some channel attention
        net = small_and_positive(network)
    sum(restored.square().sum() for restored in net.outputs(bright(8)).values()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("network", [network for network in COMPACT if network is not RCAN])
def test_nothing_beyond_the_context_reaches_a_pixel_and_its_outermost_pixels_do(network):
    net = small_and_positive(network)
    context = net.context
    lr = bright(2 * context + 3).requires_grad_()
    first = 4 * (context + 1)
    net(lr)[..., first : first + 4, first : first + 4].sum().backward()
    seen = lr.grad.abs().sum((0, 1)).nonzero()
    assert (seen.min(), seen.max()) == (1, 2 * context + 1)


def test_every_pixel_of_the_picture_reaches_every_pixel_of_rcan():
    net = small_and_positive(RCAN)
    lr = bright(40).requires_grad_()
    net(lr)[..., 0, 0].sum().backward()
    assert net.context is None
    assert lr.grad.abs().min() > 0


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (EDSR(EDSRPreset(width=16, blocks=2, residual_scale=0.1)), [0.43177, 0.069573, 0.466414, 0.257504, 0.405069]),
        (
            RCAN(RCANPreset(width=16, groups=2, blocks=2, reduction=4)),
            [0.431195, 0.0800158, 0.512903, 0.282937, 0.395726],
        ),
        (RRDBNet(RRDBNetPreset(width=16, growth=8, blocks=2)), [0.0212689, 0.059057, 0.0600759, 0.0180297, -0.016748]),
        (SRResNet(SRResNetPreset(width=16, blocks=2)), [0.457475, 0.21211, 0.677653, 0.787998, 0.529997]),
    ],
    ids=lambda value: type(value).__name__,
)
@torch.no_grad()
def test_small_configurations_give_what_basicsr_gives(net, expected, set_rule_weights, rule_picture):
    """The numbers are BasicSR 1.4.2's: mean and deviation of its output, and three of its pixels."""
    set_rule_weights(net)
    restored = net(rule_picture(1, 3, 5, 6))
    found = torch.stack([restored.mean(), restored.std(), *restored[0, (0, 1, 2), (0, 7, 19), (23, 9, 0)]])
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("network", "base"),
    [
        (VDSR, Bicubic(4)),
        (SRResNet, lambda lr: F.interpolate(lr, scale_factor=4, mode="bilinear")),
        (EDSR, lambda lr: MeanShift().inverse(torch.zeros(1, 3, 32, 36))),
        (RCAN, lambda lr: MeanShift().inverse(torch.zeros(1, 3, 32, 36))),
        (RDN, lambda lr: torch.zeros(1, 3, 32, 36)),
        (RRDBNet, lambda lr: torch.zeros(1, 3, 32, 36)),
        (DBPN, lambda lr: torch.zeros(1, 3, 32, 36)),
    ],
)
def test_without_its_last_convolution_a_network_gives_what_it_adds_to(network, base):
    net = network(SMALL[network])
    *_, last = (module for module in net.modules() if isinstance(module, nn.Conv2d) and module.out_channels in (1, 3))
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    lr = torch.rand(1, 3, 8, 9)
    torch.testing.assert_close(net(lr), base(lr), atol=1e-6, rtol=0)


@pytest.mark.parametrize("network", [SRCNN, VDSR, LapSRN])
@torch.no_grad()
def test_networks_on_luminance_leave_the_bicubic_colour_differences(network):
    net = network(SMALL[network])
    lr = torch.rand(1, 3, 8, 9)
    for scale in net.scales:
        change = net(lr, scale) - Bicubic(scale)(lr)
        torch.testing.assert_close(change, change[:, :1].expand_as(change), atol=1e-6, rtol=0)
        assert change.abs().max() > 1e-4


@torch.no_grad()
def test_lapsrn_without_residuals_is_the_bilinear_enlargement():
    net = LapSRN(SMALL[LapSRN])
    for level in net.levels:
        nn.init.zeros_(level.residual.weight)
        nn.init.zeros_(level.residual.bias)
    lr = torch.rand(1, 1, 8, 9).expand(1, 3, 8, 9)
    bilinear = F.interpolate(lr, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(net(lr, 2)[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1], atol=1e-6, rtol=0)


@torch.no_grad()
def test_lapsrn_gives_both_scales_in_one_pass():
    net, lr = LapSRN(SMALL[LapSRN]), torch.rand(1, 3, 8, 9)
    outputs = net.outputs(lr)
    assert outputs.keys() == {2, 4}
    assert all(torch.equal(outputs[scale], net(lr, scale)) for scale in outputs)
