"""The deblurring and joint networks of other papers: sizes and checkpoints as published, compact ones in the budget."""

from typing import Any

import pytest
import torch
from published import digest, make_positive
from torch import nn

from cnlrn.errors import CnlrnError
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.deblurgan import DEBLURGAN_2019, DEBLURGAN_S, DeblurGAN, DeblurGANPreset
from cnlrn.networks.deblurganv2 import DEBLURGANV2_S, DeblurGANv2, DeblurGANv2Preset, InvertedResidual
from cnlrn.networks.eddsrn import EDDSRN, EDDSRN_S, EDDSRNPreset
from cnlrn.networks.gfn import GFN, GFN_S, GFNPreset
from cnlrn.networks.macs import macs_per_pixel
from cnlrn.networks.mprnet import MPRNET_S, MPRNet, MPRNetPreset
from cnlrn.networks.pssnsc import PSSNSC, PSSNSC_S, NestedSkips, PSSNSCPreset
from cnlrn.networks.scgan import SCGAN, SCGAN_S, SCGANPreset
from cnlrn.networks.srn import SRN, SRN_S, ConvLSTM, SRNPreset

COMPACT: dict[type[RestorationNetwork], Any] = {
    DeblurGAN: DEBLURGAN_S,
    DeblurGANv2: DEBLURGANV2_S,
    SRN: SRN_S,
    PSSNSC: PSSNSC_S,
    MPRNet: MPRNET_S,
    SCGAN: SCGAN_S,
    EDDSRN: EDDSRN_S,
    GFN: GFN_S,
}
# A few blocks each: quick, and the context is still that of the formula.
SMALL: dict[type[RestorationNetwork], Any] = {
    DeblurGAN: DeblurGANPreset(width=2, blocks=2),
    DeblurGANv2: DeblurGANv2Preset(width=8, backbone_width=0.1),
    SRN: SRNPreset(width=2, blocks=1),
    PSSNSC: PSSNSCPreset(width=2, blocks=2),
    MPRNet: MPRNetPreset(width=4, width_step=4, last_step=4, blocks=2, reduction=2),
    SCGAN: SCGANPreset(width=3, convolutions=3),
    EDDSRN: EDDSRNPreset(width=2, blocks=1, enlarging_blocks=2),
    GFN: GFNPreset(width=2, deblurring_blocks=1, features_blocks=2, reconstruction_blocks=3),
}
each = pytest.mark.parametrize("network", list(COMPACT), ids=lambda network: network.__name__)


@pytest.mark.parametrize(
    ("network", "preset", "parameters"),
    [
        (MPRNet, MPRNetPreset(), 20_127_073),  # one PReLU, which the checkpoint holds once a block
        (DeblurGAN, DeblurGANPreset(), 11_378_179),
        (DeblurGAN, DEBLURGAN_2019, 6_067_459),
        (SRN, SRNPreset(), 6_881_251 + 1_180_160),  # encoder and decoder, and the memory
    ],
)
def test_the_papers_sizes_have_the_papers_number_of_parameters(network, preset, parameters):
    with torch.device("meta"):
        assert count(network(preset)) == parameters


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("network", "preset", "parameters"),
    [(PSSNSC, PSSNSCPreset(), 2.84e6), (SCGAN, SCGANPreset(), 1.1e6), (EDDSRN, EDDSRNPreset(), 25e6)],
)
def test_networks_whose_papers_leave_counts_open_come_near_the_published_number_of_parameters(
    network, preset, parameters
):
    with torch.device("meta"):
        assert count(network(preset)) == pytest.approx(parameters, rel=0.02)


def test_deblurgan_v2_with_the_unused_end_of_its_backbone_has_the_published_number_of_parameters():
    with torch.device("meta"):
        last = count(nn.Conv2d(320, 1280, 1, bias=False)) + count(nn.BatchNorm2d(1280))
        unused = count(InvertedResidual(160, 160, 6, 1)) + count(InvertedResidual(160, 320, 6, 1)) + last
        assert round((count(DeblurGANv2(DeblurGANv2Preset())) + unused) / 1e6, 1) == 3.3


@pytest.mark.parametrize(
    ("network", "preset", "tensors", "values", "expected"),
    [
        (GFN, GFNPreset(), 168, 12_210_438, "04751347f5aef296ea6eb948296426624499d0a4896e6607cb7680274760d4db"),
        (MPRNet, MPRNetPreset(), 316, 20_127_127, "465b2a54e45ea6d99e2103a41b396a3fd19f39aad54e23f6c4de718673c5df7a"),
        (
            DeblurGAN,
            DeblurGANPreset(),
            117,
            11_388_698,
            "66d9aae4c9e619001a0ccb6559902afef7ccbfc099b7fd586b7a55c81040a6d9",
        ),
        (
            DeblurGAN,
            DEBLURGAN_2019,
            72,
            6_073_361,
            "fa3e315402359b4631dc72bc6e25ccc42e6f8d5945158eff7d7aa9594588c5b1",
        ),
    ],
)
def test_names_and_shapes_are_those_of_the_published_checkpoints(network, preset, tensors, values, expected):
    with torch.device("meta"):
        assert digest(network(preset)) == (tensors, values, expected)


@each
def test_compact_sizes_use_the_budget_and_stay_within_it(network):
    with torch.device("meta"):
        assert 200 <= macs_per_pixel(network(COMPACT[network])) / 1000 <= 230


@each
@torch.no_grad()
def test_compact_sizes_restore_pictures_of_any_batch_and_scale_the_same_way_every_time(network):
    net = network(COMPACT[network]).eval()
    h, w = net.multiple * -(-16 // net.multiple), net.multiple * -(-24 // net.multiple)
    lr = torch.rand(2, 3, h, w)
    outputs = net.outputs(lr)
    assert tuple(outputs) == net.scales
    for scale in net.scales:
        restored = net(lr, scale)
        assert restored.shape == (2, 3, h * scale, w * scale)
        assert torch.equal(restored, outputs[scale])
        assert torch.allclose(restored[1:], net(lr[1:], scale), atol=1e-4)
    with pytest.raises(CnlrnError, match="no exit for x3"):
        net(lr, 3)


def small_and_positive(network: type[RestorationNetwork]) -> RestorationNetwork:
    net = network(SMALL[network]).eval()
    make_positive(net)
    return net


def gray(h: int, w: int) -> torch.Tensor:
    """Above the middle, where [-1, 1] has positive values, and below where a clamp would stop gradients."""
    return 0.5 + 0.2 * torch.rand(1, 3, h, w, dtype=torch.float64)


@each
def test_gradients_reach_every_parameter(network):
    net = small_and_positive(network)
    if isinstance(net, MPRNet):
        net.shallow_feat1[1].body[0].weight.data[0].neg_()  # a PReLU learns from negative values only
    side = max(8, 2 * net.multiple)
    sum(restored.square().sum() for restored in net.outputs(gray(side, side)).values()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("network", [DeblurGAN, SRN, PSSNSC, SCGAN, EDDSRN, GFN])
def test_nothing_beyond_the_context_reaches_a_pixel_and_something_near_its_rim_does(network, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "detach", lambda x: x)  # SRN stops gradients, which here tell what is seen
    net = small_and_positive(network)
    multiple, scale = net.multiple, max(net.scales)
    margin = net.context + multiple
    lr = gray(max(8, multiple), 2 * margin + multiple).requires_grad_()
    net(lr, scale)[..., scale * margin : scale * (margin + multiple)].sum().backward()
    seen = lr.grad.abs().sum((0, 1, 2)).nonzero()
    assert seen.min() >= multiple
    assert seen.max() <= lr.shape[-1] - 1 - multiple
    assert seen.min() < 3 * multiple, "the context is larger than the network needs"


@pytest.mark.parametrize("network", [DeblurGANv2, MPRNet])
def test_networks_without_a_context_see_the_whole_picture(network):
    torch.manual_seed(0)
    net = network(SMALL[network]).double().eval()
    lr = torch.rand(1, 3, 2 * net.multiple, 32 * net.multiple, dtype=torch.float64, requires_grad=True)
    net(lr)[..., 0].sum().backward()
    assert net.context is None
    assert lr.grad.abs().sum((0, 1, 2)).min() > 0


@pytest.mark.parametrize("network", [DeblurGAN, DeblurGANv2, MPRNet])
@torch.no_grad()
def test_without_its_last_convolution_a_deblurring_network_gives_the_blurry_picture(network):
    net = network(SMALL[network])
    *_, last = (module for module in net.modules() if isinstance(module, nn.Conv2d) and module.out_channels == 3)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    lr = torch.rand(1, 3, 32, 64)
    torch.testing.assert_close(net(lr), lr, atol=1e-6, rtol=0)


def test_deblurgan_takes_statistics_of_the_picture_in_training_and_running_ones_in_evaluation():
    torch.manual_seed(0)
    net = DeblurGAN(DeblurGANPreset(width=2, blocks=1, dropout=0))
    lr = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        trained, evaluated = net.train()(lr), net.eval()(lr)
        assert not torch.allclose(trained, evaluated, atol=1e-3)
        for _ in range(200):
            net.train()(lr)
        evaluated = net.eval()(lr)
    assert torch.allclose(trained, evaluated, atol=0.05)


def test_all_blocks_of_mprnet_share_one_activation():
    net = MPRNet(SMALL[MPRNet])
    activations = [module for module in net.modules() if isinstance(module, nn.PReLU)]
    assert len(activations) == 1
    assert sum(name.endswith("body.1.weight") for name in net.state_dict()) == 3 + 2 * 6 + 2 * 8 + 3 * 2


@torch.no_grad()
def test_early_stages_of_mprnet_see_quarters_and_halves_only():
    torch.manual_seed(0)
    net, lr = MPRNet(SMALL[MPRNet]).eval(), torch.rand(1, 3, 32, 32)
    other = lr.clone()
    other[..., 16:, 16:] = 0  # the last quarter
    (first, second, last), (first_, second_, last_) = net.stages(lr), net.stages(other)
    assert torch.equal(first[..., :16, :], first_[..., :16, :])
    assert not torch.equal(first[..., 16:, 16:], first_[..., 16:, 16:])
    assert not torch.equal(second[..., :16, :16], second_[..., :16, :16])
    assert not torch.equal(last[..., :16, :16], last_[..., :16, :16])


@pytest.mark.parametrize("network", [SRN, PSSNSC])
@torch.no_grad()
def test_a_pyramid_holds_the_picture_at_three_sizes_the_full_one_last(network):
    net, lr = network(SMALL[network]), torch.rand(1, 3, 32, 48)
    quarter, half, full = net.pyramid(lr)
    assert (quarter.shape, half.shape) == ((1, 3, 8, 12), (1, 3, 16, 24))
    assert torch.equal(full, net(lr))


def test_gradients_of_srn_go_back_to_earlier_passes_through_the_memory_alone():
    torch.manual_seed(0)
    net = SRN(SMALL[SRN])
    pictures = net.pyramid(torch.rand(1, 3, 32, 32))
    assert torch.autograd.grad(pictures[1].sum(), pictures[0], allow_unused=True) == (None,)


@torch.no_grad()
def test_an_lstm_with_open_memory_keeps_its_cell_and_with_closed_gates_gives_nothing():
    lstm = ConvLSTM(2)
    x, cell, hidden = torch.rand(3, 1, 2, 4, 4)
    lstm.gates.weight.zero_()
    lstm.gates.bias.copy_(torch.tensor([-50.0, -50, 1, 1, 50, 50, 50, 50]))  # take, new, keep, give
    torch.testing.assert_close(lstm(x, cell, hidden), (cell, cell.tanh()))
    lstm.gates.bias.copy_(torch.tensor([50.0, 50, 1, 1, -50, -50, -50, -50]))
    torch.testing.assert_close(
        lstm(x, cell, hidden), (torch.ones_like(x).tanh(), torch.zeros_like(x)), atol=0.3, rtol=0
    )


@torch.no_grad()
def test_nested_skips_agree_with_their_formula():
    torch.manual_seed(0)
    chain, x = NestedSkips(3, 3), torch.rand(1, 3, 6, 6)
    one, two, three = chain.blocks
    torch.testing.assert_close(chain(x), x + three(x + two(one(x))))


@torch.no_grad()
def test_the_gate_of_gfn_weighs_the_deblurring_features():
    torch.manual_seed(0)
    net, lr = GFN(SMALL[GFN]), torch.rand(1, 3, 8, 8)
    gate, branch = net.geteMoudle[0], net.deblurMoudle[0]
    for parameter in gate.conv2.parameters():
        nn.init.zeros_(parameter)
    closed = net(lr)
    torch.testing.assert_close(closed, net.reconstructMoudle(net.srMoudle(lr)))
    nn.init.ones_(gate.conv2.bias)
    _, clear = branch(lr)
    torch.testing.assert_close(net(lr), net.reconstructMoudle(net.srMoudle(lr) + clear))
