from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from cnlrn import networks
from cnlrn.degradation.resize import bicubic
from cnlrn.networks.compact import CompactCNLRN, CompactPreset, NonLocalBlock, Survey

TINY = CompactPreset(width=8, half_width=8, quarter_width=16, up_width=4, quarter_blocks=1, attention_width=8, heads=2)


@pytest.fixture(
    params=[{}, {"deblurring": 0, "progressive": 0, "survey_width": 0}],
    ids=["whole", "without parts"],
)
def tiny(request: pytest.FixtureRequest) -> CompactCNLRN:
    torch.manual_seed(0)
    return attentive(CompactCNLRN(replace(TINY, **request.param)).eval())


def attentive(net: CompactCNLRN) -> CompactCNLRN:
    """`net` with gains and offsets that follow its survey, which new ones do not."""
    if net.tuning:
        torch.nn.init.normal_(net.tuning.outer.weight, std=0.1)
    return net


@pytest.mark.parametrize(("name", "kilomacs"), [("cnlrn-s", 230), ("cnlrn-xs", 85)])
def test_presets_stay_within_their_budget(name, kilomacs):
    net = networks.build(name)
    side = 6 * net.multiple
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, side, side))
    assert counter.get_total_flops() / 2 / side**2 / 1000 <= kilomacs
    assert sum(p.numel() for p in net.parameters()) <= 2_000_000


def test_one_pass_gives_what_the_single_exits_give(tiny):
    lr = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        outputs = tiny.outputs(lr)
        for scale in tiny.scales:
            assert outputs[scale].shape == (2, 3, 32 * scale, 48 * scale)
            torch.testing.assert_close(outputs[scale], tiny(lr, scale))


def test_without_its_exits_the_network_is_the_bicubic_enlargement(tiny):
    for layer in (tiny.exit1, tiny.exit2, tiny.exit4):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    lr = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        enlarged = tiny(lr)[0].permute(1, 2, 0).numpy()
        torch.testing.assert_close(tiny(lr, 1), lr)
    expected = bicubic(lr[0].permute(1, 2, 0).numpy(), 4)
    assert abs(enlarged - expected)[8:-8, 8:-8].max() < 1e-5


@pytest.mark.parametrize(
    ("name", "changes"),
    [("cnlrn-s", {}), ("cnlrn-xs", {}), ("cnlrn-xs", {"deblurring": 0}), ("cnlrn-xs", {"progressive": 0})],
)
def test_nothing_beyond_the_context_reaches_a_pixel_and_something_within_does(name, changes):
    torch.manual_seed(0)
    net = attentive(networks.build(name, changes)).eval()
    context, multiple = net.context, net.multiple
    side = 2 * context + multiple
    lr = torch.rand(1, 3, side, side, requires_grad=True)
    inner = slice(4 * context, 4 * (context + multiple))
    net(lr, survey=net.survey(lr).detach())[..., inner, inner].abs().sum().backward()
    seen = lr.grad.abs().sum((0, 1)).nonzero()
    assert seen.min() > 0, "the outermost pixels of the context are seen: the context may be too small"
    assert seen.min() < 2 * multiple, "the context is larger than the network needs"


def test_a_tile_on_the_grid_with_context_equals_the_whole(tiny):
    lr = torch.rand(1, 3, 4 * tiny.context, 4 * tiny.context)
    start, stop = tiny.context + tiny.multiple, 2 * tiny.context + tiny.multiple
    tile = slice(start - tiny.context, stop + tiny.context)
    with torch.no_grad():
        whole = tiny(lr)[..., 4 * start : 4 * stop, 4 * start : 4 * stop]
        part = tiny(lr[..., tile, tile], survey=tiny.survey(lr))
    inner = slice(4 * tiny.context, -4 * tiny.context)
    torch.testing.assert_close(part[..., inner, inner], whole, atol=1e-6, rtol=0)


def test_blur_anywhere_in_the_picture_changes_what_enlarging_exits_give():
    torch.manual_seed(0)
    tiny = attentive(CompactCNLRN(TINY))
    sharp = torch.rand(1, 3, 32, 96)
    blurry = F.avg_pool2d(sharp, 5, stride=1, padding=2)
    left = slice(0, 32)
    mixed = torch.cat([sharp[..., left], blurry[..., 32:]], 3)
    with torch.no_grad():
        for scale in (2, 4):
            alone = tiny(sharp[..., left], scale, survey=tiny.survey(sharp))
            assert not torch.allclose(alone, tiny(sharp[..., left], scale, survey=tiny.survey(mixed)), atol=1e-4)
        torch.testing.assert_close(tiny(mixed, 1, survey=tiny.survey(sharp)), tiny(mixed, 1))


def test_a_survey_is_the_mean_of_those_of_parts_but_for_their_rims():
    torch.manual_seed(0)
    surveyor = Survey(16)
    lr = torch.rand(1, 3, 256, 256)
    parts = torch.cat([rows.chunk(2, 3)[i] for rows in lr.chunk(2, 2) for i in (0, 1)])
    with torch.no_grad():
        torch.testing.assert_close(surveyor(parts).mean(0), surveyor(lr)[0], rtol=0.1, atol=1e-4)


def test_a_survey_of_nothing_but_one_colour_tunes_nothing_beyond_bounds():
    net = attentive(networks.build("cnlrn-xs"))
    with torch.no_grad():
        survey = net.survey(torch.full((1, 3, 32, 32), 0.7))
        assert all(torch.isfinite(one).all() and one.abs().max() < 10 for one in net.tuning(survey))


def test_attention_mixes_the_tokens_of_a_window_and_no_others():
    torch.manual_seed(0)
    block = NonLocalBlock(width=4, patch=2, attention_width=8, heads=2, window=2)
    x = torch.rand(1, 4, 8, 8, requires_grad=True)
    (block(x) - x)[..., :4, :4].sum().backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    assert seen[:4, :4].all()
    assert not seen[4:].any()
    assert not seen[:, 4:].any()


def test_attention_agrees_with_its_formula():
    torch.manual_seed(0)
    block = NonLocalBlock(width=4, patch=1, attention_width=8, heads=2, window=4)
    x = torch.rand(1, 4, 4, 4)
    with torch.no_grad():
        tokens = block.embed(x).flatten(2)[0].T  # (16 tokens, 24)
        q, k, v = (part.reshape(16, 2, 4).transpose(0, 1) for part in tokens.split(8, dim=1))
        mixed = torch.softmax(q @ k.transpose(1, 2) / 2, dim=-1) @ v
        expected = x + block.project(mixed.transpose(0, 1).reshape(16, 8).T.reshape(1, 8, 4, 4))
        torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("name", ["cnlrn-s", "cnlrn-xs"])
def test_light_cannot_drift_whatever_the_weights(name):
    torch.manual_seed(0)
    net = networks.build(name).eval()
    for layer in (net.exit1, net.exit2, net.exit4):
        torch.nn.init.constant_(layer.bias, 0.5)
    lr = F.interpolate(0.3 + 0.4 * torch.rand(1, 3, 6, 10), scale_factor=8.0, mode="bilinear")
    with torch.no_grad():
        for restored in net.outputs(lr).values():
            torch.testing.assert_close(restored.pow(2.2).mean((2, 3)), lr.pow(2.2).mean((2, 3)), atol=3e-3, rtol=0)


def stripes(period: int, scale: int) -> torch.Tensor:
    """+-0.1 across, `period` LR pixels from one to the next of the same sign."""
    return (
        torch.tensor([0.1, -0.1])
        .repeat_interleave(period * scale // 2)
        .repeat(80 // period)
        .expand(1, 3, 48 * scale, -1)
    )


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_what_training_asks_for_has_the_light_of_the_input_and_the_contrast_of_the_target(tiny, scale):
    lr = torch.full((1, 3, 48, 80), 0.5)
    asked = tiny.project_target(lr, 0.3 + stripes(8, scale), scale)
    torch.testing.assert_close(asked - asked.mean(), stripes(8, scale), atol=1e-3, rtol=0)
    torch.testing.assert_close(asked.pow(2.2).mean(), lr.pow(2.2).mean(), atol=1e-3, rtol=0)
    assert asked.mean() < 0.49


@pytest.mark.parametrize("scale", [2, 4])
def test_contrast_that_lr_cannot_show_leaves_means_as_they_are(tiny, scale):
    lr = torch.full((1, 3, 48, 80), 0.5)
    asked = tiny.project_target(lr, 0.3 + stripes(1, scale), scale)
    torch.testing.assert_close(asked, 0.5 + stripes(1, scale), atol=1e-5, rtol=0)


def test_in_the_dark_light_stays_bounded(tiny):
    lr = torch.full((1, 3, 48, 80), 1e-3)
    assert (tiny.project_target(lr, lr + stripes(8, 1), 1) - lr - stripes(8, 1)).abs().max() < 0.05


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_training_asks_for_no_more_where_the_network_is_already(tiny, scale):
    lr = torch.rand(1, 3, 48, 80)
    with torch.no_grad():
        restored = tiny(lr, scale)
        torch.testing.assert_close(tiny.project_target(lr, restored, scale), restored, atol=0.03, rtol=0)
