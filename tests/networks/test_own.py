from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from cnlrn import networks
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.networks.base import restore
from cnlrn.networks.checkpoints import save_weights
from cnlrn.networks.own import Halved, OwnSizeCNLRN, OwnSizePreset
from cnlrn.training.run import initialise

TINY = OwnSizePreset(
    width=8,
    half_width=8,
    quarter_width=16,
    quarter_blocks=1,
    group_blocks=1,
    attention_width=8,
    up_width=4,
    near_half_width=8,
    near_quarter_width=8,
    near_group_blocks=1,
    near_attention_width=8,
    near_up_width=4,
    survey_width=8,
)


def disturb(net: OwnSizeCNLRN) -> None:
    """Let every level enter the next one, and the mixture depend on the place."""
    for layer in (net.from_coarse, net.fine_detail, net.from_fine, net.near_detail, net.shares, net.change):
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.1)


@pytest.fixture
def tiny() -> OwnSizeCNLRN:
    torch.manual_seed(0)
    return OwnSizeCNLRN(TINY).eval()


def test_the_preset_stays_within_its_budget():
    net = networks.build("cnlrn-own")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 256, 256))
    assert counter.get_total_flops() / 2 / 256**2 <= 44_000
    assert sum(p.numel() for p in net.parameters()) <= 2_100_000


def test_halving_is_the_protocols_bicubic_but_for_the_borders():
    picture = np.random.default_rng(0).random((32, 48, 3)).astype(np.float32)
    with torch.no_grad():
        halved = Halved()(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(halved[2:-2, 2:-2], bicubic(picture, 0.5)[2:-2, 2:-2], atol=1e-6)


def test_a_mixture_of_nothing_but_the_photo_is_the_photo(tiny):
    with torch.no_grad():
        tiny.gate.outer.bias.copy_(torch.tensor([100.0, 0, 0, 0]))
        photo = torch.rand(1, 3, 128, 256)
        torch.testing.assert_close(tiny(photo), photo, atol=1e-6, rtol=0)


def test_before_training_the_photo_stays_nearly_as_it_is(tiny):
    photo = F.interpolate(torch.rand(1, 3, 8, 8), scale_factor=16.0, mode="bilinear")
    with torch.no_grad():
        assert (tiny(photo) - photo).abs().mean() < 0.02


def test_light_cannot_drift_whatever_the_weights(tiny):
    torch.nn.init.constant_(tiny.change.bias, 0.5)
    photo = F.interpolate(0.3 + 0.4 * torch.rand(1, 3, 8, 8), scale_factor=32.0, mode="bilinear")
    with torch.no_grad():
        restored = tiny(photo)
    torch.testing.assert_close(restored.pow(2.2).mean((2, 3)), photo.pow(2.2).mean((2, 3)), atol=5e-3, rtol=0)


def test_trails_of_clipped_lights_may_become_darker(tiny):
    photo = torch.full((1, 3, 256, 256), 0.2)
    photo[..., 96:160, 96:160] = 1.0
    target = torch.full_like(photo, 0.2)
    target[..., 120:136, 120:136] = 1.0
    asked = tiny.project_target(photo, target, 1)
    assert (asked - target).abs().mean() < 0.2 * (photo - target).abs().mean()


@pytest.mark.parametrize("part", ["coarse", "fine", "near", "gate"])
def test_blur_anywhere_in_the_photo_changes_the_result_everywhere(tiny, part: str):
    module = getattr(tiny, part)
    torch.nn.init.normal_(getattr(module, "tuning", module).outer.weight, std=0.5)
    photo = torch.rand(1, 3, 128, 128)
    blurry = F.avg_pool2d(photo, 9, stride=1, padding=4)
    with torch.no_grad():
        told = [tiny(photo, survey=tiny.survey(whole)) for whole in (photo, blurry)]
    assert not torch.allclose(*told, atol=1e-6)


def test_its_levels_draw_what_the_compact_cascades_drew(tmp_path: Path):
    torch.manual_seed(0)
    own = networks.build("cnlrn-own")
    cascades = {}
    for name in ("cnlrn-s", "cnlrn-xs"):
        cascades[name] = networks.build(name)
        for layer in (cascades[name].tuning.outer, cascades[name].exit2, cascades[name].exit4):
            torch.nn.init.normal_(layer.weight, std=0.1)
        save_weights(cascades[name], tmp_path / f"{name}.safetensors", half=False)
        initialise(own, tmp_path / f"{name}.safetensors")
    picture = torch.rand(1, 3, 64, 64)
    for size, (level, name, scale) in enumerate(
        ((own.near, "cnlrn-xs", 2), (own.fine, "cnlrn-s", 4), (own.coarse, "cnlrn-s", 4))
    ):
        cascade = cascades[name]
        with torch.no_grad():
            survey = cascade.survey(picture)
            told = [torch.rand_like(survey) for _ in range(3)]
            told[size] = survey
            drawn = level.draw(picture, level(picture, torch.cat(told, 1)))
            expected = cascade(picture, scale)
        lights = F.avg_pool2d(drawn - expected, 16 * scale)
        smooth = F.interpolate(lights, scale_factor=16.0 * scale, mode="bilinear")
        inner = (..., slice(32, -32), slice(32, -32))
        torch.testing.assert_close((drawn - expected)[inner], smooth[inner], atol=0.05, rtol=0)


def test_plain_gray_is_drawn_as_it_is_from_the_weights_of_a_cascade():
    torch.manual_seed(0)
    own, cascade = networks.build("cnlrn-own"), networks.build("cnlrn-xs")
    torch.nn.init.constant_(cascade.exit2.bias, -0.4)
    own.begin_with(cascade.state_dict())
    gray = torch.full((1, 3, 64, 64), 0.5)
    with torch.no_grad():
        drawn = own.near.draw(gray, own.near(gray, torch.zeros(1, own.near.surveyed)))
    assert (drawn - 0.5)[..., 48:-48, 48:-48].mean((2, 3)).abs().max() < 0.01


def test_a_cascade_of_other_widths_is_refused(tmp_path: Path):
    other = networks.build("cnlrn-xs", {"width": 16, "group_blocks": 5})
    save_weights(other, tmp_path / "cascade.safetensors", half=False)
    with pytest.raises(CnlrnError, match="fit no level"):
        initialise(networks.build("cnlrn-own"), tmp_path / "cascade.safetensors")


@pytest.mark.parametrize("name", ["coarse", "fine", "near"])
def test_nothing_beyond_a_context_reaches_what_is_made_and_something_within_does(name: str) -> None:
    torch.manual_seed(0)
    net = networks.build("cnlrn-own", {"group_blocks": 2, "quarter_blocks": 1})
    disturb(net)
    index = ("coarse", "fine", "near").index(name)
    level = net.coarse_to_fine[index]
    reduction, context = level.reduction, level.context
    cell = net.cell
    side = -(-(2 * context + cell) // net.multiple) * net.multiple
    photo = torch.rand(1, 3, side, side, requires_grad=True)
    before = None
    with torch.no_grad():
        survey = net.survey(photo)
        if index:
            one = net.coarse_to_fine[index - 1]
            before = torch.rand(1, one.channels, side // one.reduction, side // one.reduction)
    if before is not None:
        before.requires_grad_()
    made = net.level(index, photo, survey, before)
    inner = slice(context // reduction, (context + cell) // reduction)
    made[..., inner, inner].abs().sum().backward()
    seen = photo.grad.abs().sum((0, 1)).nonzero()
    assert 0 < seen.min() < 3 * cell
    if before is not None:
        assert before.grad.abs().sum((0, 1)).nonzero().min() > 0


def test_a_tile_on_the_grid_with_its_contexts_equals_the_whole(tiny):
    disturb(tiny)
    photo = torch.rand(1, 3, 128, 1024)
    with torch.no_grad():
        survey = tiny.survey(photo)
        features = []
        for index, level in enumerate(tiny.coarse_to_fine):
            features.append(tiny.level(index, photo, survey, features[-1] if features else None))
            assert features[-1].shape == (1, level.channels, 128 // level.reduction, 1024 // level.reduction)
        whole = tiny(photo)
        torch.testing.assert_close(tiny(photo, 1, survey, features[-1]), whole)
        start, stop = 512, 640
        for index, (level, made) in enumerate(zip(tiny.coarse_to_fine, features, strict=True)):
            outer = slice(max(0, start - level.context), min(1024, stop + level.context))
            given = None
            if index:
                finer = tiny.coarse_to_fine[index - 1].reduction
                given = features[index - 1][..., outer.start // finer : outer.stop // finer]
            part = tiny.level(index, photo[..., outer], survey, given)
            inner = slice((start - outer.start) // level.reduction, (stop - outer.start) // level.reduction)
            expected = made[..., start // level.reduction : stop // level.reduction]
            torch.testing.assert_close(part[..., inner], expected, atol=1e-5, rtol=1e-4)
        outer = slice(start - tiny.context, stop + tiny.context)
        part = tiny(photo[..., outer], 1, survey, features[-1][..., outer])
        inner = slice(start - outer.start, stop - outer.start)
        torch.testing.assert_close(part[..., inner], whole[..., start:stop], atol=1e-5, rtol=1e-4)


def test_torch_restores_in_tiles_as_in_one_piece(tiny):
    disturb(tiny)
    photo = torch.rand(1, 3, 100, 2200)
    torch.testing.assert_close(restore(tiny, photo, 1, area=128 * 1800), restore(tiny, photo, 1), atol=1e-5, rtol=1e-4)
