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
    rich_width=4,
    joining_width=8,
    joining_blocks=1,
    survey_width=8,
)


@pytest.fixture
def tiny() -> OwnSizeCNLRN:
    torch.manual_seed(0)
    return OwnSizeCNLRN(TINY).eval()


def test_the_preset_stays_within_its_budget():
    net = networks.build("cnlrn-own")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, 3, 256, 256))
    assert counter.get_total_flops() / 2 / 256**2 <= 40_000
    assert sum(p.numel() for p in net.parameters()) <= 2_000_000


def test_halving_is_the_protocols_bicubic_but_for_the_borders():
    picture = np.random.default_rng(0).random((32, 48, 3)).astype(np.float32)
    with torch.no_grad():
        halved = Halved()(torch.from_numpy(picture).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(halved[2:-2, 2:-2], bicubic(picture, 0.5)[2:-2, 2:-2], atol=1e-6)


def test_without_its_exit_the_photo_stays_as_it_is(tiny):
    torch.nn.init.zeros_(tiny.exit.weight)
    with torch.no_grad():
        tiny.exit.bias.copy_(torch.tensor([0.0] * 12 + [-100.0] * 12))
        photo = torch.rand(1, 3, 128, 256)
        torch.testing.assert_close(tiny(photo), photo, atol=1e-6, rtol=0)


def test_light_cannot_drift_whatever_the_weights(tiny):
    torch.nn.init.constant_(tiny.exit.bias, 0.5)
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


def test_blur_anywhere_in_the_photo_changes_the_result_everywhere(tiny):
    for tuning in (tiny.coarse_tuning, tiny.fine_tuning, tiny.joining_tuning):
        torch.nn.init.normal_(tuning.outer.weight, std=0.1)
    photo = torch.rand(1, 3, 128, 128)
    blurry = F.avg_pool2d(photo, 9, stride=1, padding=4)
    with torch.no_grad():
        told = [tiny(photo, survey=tiny.survey(whole)) for whole in (photo, blurry)]
    assert not torch.allclose(*told, atol=1e-4)


def test_it_begins_with_the_weights_of_a_compact_cascade(tmp_path: Path):
    torch.manual_seed(0)
    cascade, own = networks.build("cnlrn-s"), networks.build("cnlrn-own")
    torch.nn.init.normal_(cascade.tuning.outer.weight, std=0.1)
    save_weights(cascade, tmp_path / "cascade.safetensors", half=False)
    initialise(own, tmp_path / "cascade.safetensors")
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        survey = cascade.survey(picture)
        tuning = iter(cascade.tuning(survey))
        expected = cascade.body[0](cascade.deblur(picture), tuning)
        others = [torch.rand_like(survey) for _ in range(2)]
        told = torch.cat([others[0], survey, others[1]], 1)
        torch.testing.assert_close(own.fine(picture, iter(own.fine_tuning(told))), expected)
        told = torch.cat([*others, survey], 1)
        torch.testing.assert_close(own.coarse(picture, iter(own.coarse_tuning(told))), expected)


def test_a_cascade_of_other_widths_is_refused(tmp_path: Path):
    save_weights(networks.build("cnlrn-xs"), tmp_path / "cascade.safetensors", half=False)
    with pytest.raises(CnlrnError, match="do not fit"):
        initialise(networks.build("cnlrn-own"), tmp_path / "cascade.safetensors")


@pytest.mark.parametrize("name", ["coarse", "fine", "finish"])
def test_nothing_beyond_a_context_reaches_what_is_made_and_something_within_does(name: str) -> None:
    torch.manual_seed(0)
    net = networks.build("cnlrn-own", {"group_blocks": 2, "quarter_blocks": 1})
    for parameter in (*net.from_coarse.parameters(), *net.detail.parameters()):
        torch.nn.init.normal_(parameter, std=0.1)
    cell = net.cell
    context = {"coarse": net.coarse_to_fine[0].context, "fine": net.coarse_to_fine[1].context, "finish": net.context}[
        name
    ]
    side = -(-(2 * context + cell) // net.multiple) * net.multiple
    photo = torch.rand(1, 3, side, side, requires_grad=True)
    with torch.no_grad():
        survey = net.survey(photo)
        features = [
            torch.rand(1, one.channels, side // one.reduction, side // one.reduction) for one in net.coarse_to_fine
        ]
    if name == "finish":
        made, reduction = net(photo, 1, survey, features[1].requires_grad_()), 1
    else:
        index = ("coarse", "fine").index(name)
        made, reduction = (
            net.level(index, photo, survey, features[0] if index else None),
            net.coarse_to_fine[index].reduction,
        )
    inner = slice(context // reduction, (context + cell) // reduction)
    made[..., inner, inner].abs().sum().backward()
    seen = photo.grad.abs().sum((0, 1)).nonzero()
    assert seen.min() > 0 or context == side
    assert seen.min() < 3 * cell


def test_a_tile_on_the_grid_with_its_contexts_equals_the_whole(tiny):
    for parameter in (*tiny.from_coarse.parameters(), *tiny.detail.parameters()):
        torch.nn.init.normal_(parameter, std=0.1)
    photo = torch.rand(1, 3, 128, 1024)
    with torch.no_grad():
        survey = tiny.survey(photo)
        before, features = None, []
        for index, level in enumerate(tiny.coarse_to_fine):
            before = tiny.level(index, photo, survey, before)
            features.append(before)
            assert before.shape == (1, level.channels, 128 // level.reduction, 1024 // level.reduction)
        whole = tiny(photo)
        torch.testing.assert_close(tiny(photo, 1, survey, before), whole)
        start, stop = 512, 640
        for index, (level, made) in enumerate(zip(tiny.coarse_to_fine, features, strict=True)):
            outer = slice(max(0, start - level.context), min(1024, stop + level.context))
            given = features[0][..., outer.start // 8 : outer.stop // 8] if index else None
            part = tiny.level(index, photo[..., outer], survey, given)
            inner = slice((start - outer.start) // level.reduction, (stop - outer.start) // level.reduction)
            expected = made[..., start // level.reduction : stop // level.reduction]
            torch.testing.assert_close(part[..., inner], expected, atol=1e-5, rtol=1e-4)
        outer = slice(start - tiny.context, stop + tiny.context)
        part = tiny(photo[..., outer], 1, survey, features[1][..., outer.start // 4 : outer.stop // 4])
        inner = slice(start - outer.start, stop - outer.start)
        torch.testing.assert_close(part[..., inner], whole[..., start:stop], atol=1e-5, rtol=1e-4)


def test_torch_restores_in_tiles_as_in_one_piece(tiny):
    for parameter in (*tiny.from_coarse.parameters(), *tiny.detail.parameters()):
        torch.nn.init.normal_(parameter, std=0.1)
    photo = torch.rand(1, 3, 100, 2200)
    torch.testing.assert_close(restore(tiny, photo, 1, area=128 * 1800), restore(tiny, photo, 1), atol=1e-5, rtol=1e-4)
