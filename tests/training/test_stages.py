from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cnlrn.degradation import optics
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.networks.ikc import IKC, IKCPreset
from cnlrn.training import stages
from cnlrn.training.recipe import load
from cnlrn.training.run import train

SMOKE = Path(__file__).parents[2] / "configs" / "smoke.yaml"
SMALL = IKCPreset(width=4, transform_width=3, blocks=1, output_kernel=3, estimator_width=4, iterations=2)


@pytest.fixture
def net() -> IKC:
    torch.manual_seed(0)
    return IKC(SMALL)


def sharp(n: int = 4) -> torch.Tensor:
    coarse = torch.rand(n, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    return coarse.repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_patches_are_blurred_by_the_kernel_that_the_code_stands_for(net, monkeypatch):
    monkeypatch.setattr(stages, "WIDTHS", (1.5, 1.5))
    hr = sharp(1)
    lr, code = stages.blurred(net, hr)
    kernel = np.zeros((21, 21), np.float32)
    kernel[5:16, 5:16] = optics.gaussian_psf(1.5)[:, :]
    torch.testing.assert_close(code, net.encode(torch.from_numpy(kernel)[None]), atol=1e-3, rtol=0)
    soft = cv2.GaussianBlur(hr[0].permute(1, 2, 0).numpy(), (21, 21), 1.5, borderType=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(lr[0].permute(1, 2, 0), bicubic(soft, 0.25), atol=0.6 / 255)


def test_the_first_turn_teaches_sftmd_alone_and_the_second_the_estimators_alone(net):
    for stage, learning in (("sftmd", {"sftmd"}), ("estimators", {"predictor", "corrector"})):
        net.zero_grad()
        stages.prepare_stage(net, stage)
        stages.stage_loss(net, stage, sharp()).backward()
        moved = {name.split(".")[0] for name, part in net.named_parameters() if part.grad is not None}
        assert moved == learning


def test_the_estimators_learn_the_codes(net):
    stages.prepare_stage(net, "estimators")
    optimiser = torch.optim.Adam([part for part in net.parameters() if part.requires_grad], lr=3e-3)
    losses = []
    for step in range(150):
        torch.manual_seed(step)
        loss = stages.stage_loss(net, "estimators", sharp(16))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])


def test_both_turns_run_one_after_the_other_by_the_trainer(tmp_path):
    (tmp_path / "photos").mkdir()
    picture = (sharp(1)[0].permute(1, 2, 0).repeat(2, 2, 1) * 255).numpy().astype(np.uint8)
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), picture)
    facts = [f"data.folder={tmp_path / 'photos'}", f"data.cache={tmp_path}", "network=ikc-s", "steps=3", "workers=0"]
    facts += ["loss=paper", "checkpoint_every=3", "precision=float32"]
    train(load(SMOKE, [*facts, "stage=sftmd"]), tmp_path / "first")
    train(load(SMOKE, [*facts, "stage=estimators"]), tmp_path / "second", [tmp_path / "first" / "weights.safetensors"])
    first, second = (load_file(tmp_path / run / "weights.safetensors") for run in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first if name.startswith("sftmd"))
    assert not all(torch.equal(first[name], second[name]) for name in first if name.startswith("predictor"))


def test_other_networks_have_no_turns(tmp_path):
    with pytest.raises(CnlrnError, match="stage: sftmd is for IKC alone"):
        stages.prepare_stage(torch.nn.Module(), "sftmd")
    with pytest.raises(CnlrnError, match="stage has a loss of its own"):
        load(SMOKE, ["stage=sftmd", "adversarial={kind: vanilla, discriminator: srgan, weight: 1}"])
