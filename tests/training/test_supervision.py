"""What the trainer compares with the sharp picture: intermediate pictures, smaller exits, luminance."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cnlrn import networks
from cnlrn.degradation.resize import bicubic
from cnlrn.networks.blocks import luminance
from cnlrn.training.losses import charbonnier_loss, edge_loss
from cnlrn.training.objective import Objective
from cnlrn.training.recipe import load

COMPARE = Path(__file__).parents[2] / "configs" / "compare.yaml"


def loss_of(name: str, lr: Tensor, hr: Tensor, **preset: int) -> tuple[Objective, float]:
    """The loss that the trainer gives `name`, of its paper, on one batch."""
    torch.manual_seed(0)
    recipe = load(COMPARE, [f"network={name}", f"preset={preset}", "adversarial=null"])
    objective = Objective(networks.build(name, preset), recipe)
    with torch.no_grad():
        return objective, objective(lr, hr, objective.targets(lr, hr))[1].item()


def pictures() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(1, 3, 32, 48), torch.rand(1, 3, 128, 192)


def sharp(hr: Tensor, scale: float) -> Tensor:
    array = hr[0].permute(1, 2, 0).numpy()
    return torch.from_numpy(bicubic(array, scale / 4)).permute(2, 0, 1)[None]


@torch.no_grad()
def test_all_stages_of_mprnet_are_trained() -> None:
    lr, hr = pictures()
    module, loss = loss_of("mprnet-s", lr, hr, width=4, width_step=4, last_step=4, blocks=1)
    stages, target = module.network.stages(lr), sharp(hr, 1)
    assert len(stages) == 3
    expected = sum(charbonnier_loss(stage, target) + 0.05 * edge_loss(stage, target) for stage in stages)
    assert loss == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("name", ["srn-s", "pss-nsc-s"])
@torch.no_grad()
def test_all_sizes_of_a_pyramid_are_trained(name: str) -> None:
    lr, hr = pictures()
    module, loss = loss_of(name, lr, hr, width=2, blocks=1)
    sizes = zip(module.network.pyramid(lr), (1 / 4, 1 / 2, 1), strict=True)
    assert loss == pytest.approx(sum(F.mse_loss(out, sharp(hr, scale)).item() for out, scale in sizes), rel=1e-4)


@pytest.mark.parametrize(("name", "preset"), [("gfn-s", {"width": 2}), ("ed-dsrn-s", {"width": 2, "blocks": 1})])
@torch.no_grad()
def test_the_deblurred_picture_is_trained_beside_the_restored_one(name: str, preset: dict[str, int]) -> None:
    lr, hr = pictures()
    module, loss = loss_of(name, lr, hr, **preset)
    outputs = module.network.outputs(lr)
    expected = F.mse_loss(outputs[4], hr) + 0.5 * F.mse_loss(outputs[1], sharp(hr, 1))
    assert loss == pytest.approx(expected.item(), rel=1e-4)


@torch.no_grad()
def test_both_levels_of_lapsrn_are_trained_on_luminance() -> None:
    lr, hr = pictures()
    module, loss = loss_of("lapsrn-s", lr, hr, width=2, depth=1)
    terms = {
        scale: charbonnier_loss(luminance(out), luminance(sharp(hr, scale)))
        for scale, out in module.network.outputs(lr).items()
    }
    assert loss == pytest.approx((terms[4] + 0.25 * terms[2]).item(), rel=1e-4)


@pytest.mark.parametrize("name", ["srcnn-s", "vdsr-s"])
@torch.no_grad()
def test_networks_of_luminance_are_trained_on_luminance(name: str) -> None:
    lr, hr = pictures()
    module, loss = loss_of(name, lr, hr)
    assert loss == pytest.approx(F.mse_loss(luminance(module.network(lr)), luminance(hr)).item(), rel=1e-4)
    tinted = hr + torch.tensor([0.114, 0, -0.299]).reshape(1, 3, 1, 1)  # of the same luminance
    assert loss_of(name, lr, tinted)[1] == pytest.approx(loss, rel=1e-4)


def test_a_step_of_the_compact_cascade_is_one_graph_that_computes_the_same() -> None:
    recipe = load(COMPARE.with_name("cnlrn-xs.yaml"))
    module = Objective(networks.build("cnlrn-xs", {}), recipe)
    lr, hr = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 128, 128)
    batch = lr, hr, module.targets(lr, hr)
    losses, gradients = [], []
    for compared in (module, torch.compile(module, backend="aot_eager", fullgraph=True)):
        module.network.zero_grad()
        loss = compared(*batch)[1]
        loss.backward()
        losses.append(loss.item())
        gradients.append([parameter.grad for parameter in module.network.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(*gradients)
