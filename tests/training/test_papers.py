from pathlib import Path

import pytest
import torch

from cnlrn.errors import CnlrnError
from cnlrn.networks import build, presets
from cnlrn.training.recipe import Adversarial, Loss, Perceptual, load

CONFIGS = Path(__file__).parents[2] / "configs"
COMPARE = CONFIGS / "compare.yaml"


@pytest.mark.parametrize("network", sorted(presets().keys() - {"cnlrn-own"}))  # which is not for pairs of x4
def test_every_network_can_be_trained_by_the_loss_of_its_paper(network: str) -> None:
    recipe = load(COMPARE, [f"network={network}"])
    with torch.device("meta"):
        net = build(network)
    assert set(recipe.loss.exits) <= set(net.scales)
    assert recipe.data.patch % (4 * net.multiple) == 0
    assert recipe.adversarial is None or network.startswith(("deblurgan", "scgan"))


@pytest.mark.parametrize(
    ("network", "loss"),
    [
        ("cnlrn", Loss(l1=1, gradient=0.1)),
        ("cnlrn-deblur", Loss(l1=1, gradient=0)),
        ("vdsr-s", Loss(l1=0, gradient=0, squared=1)),
        ("lapsrn", Loss({4: 1, 2: 0.25}, l1=0, gradient=0, charbonnier=1)),
        ("edsr-l", Loss(l1=1, gradient=0)),
        ("mprnet-s", Loss(l1=0, gradient=0, charbonnier=1, edge=0.05)),
        ("gfn", Loss({4: 1, 1: 0.5}, l1=0, gradient=0, squared=1)),
    ],
)
def test_pixel_losses_are_those_of_the_papers(network: str, loss: Loss) -> None:
    recipe = load(COMPARE, [f"network={network}"])
    assert recipe.loss == loss
    assert recipe.adversarial is recipe.perceptual is None


@pytest.mark.parametrize("network", ["cnlrn-s", "cnlrn-xs"])
def test_our_own_networks_are_trained_as_by_their_recipes(network: str) -> None:
    assert load(COMPARE, [f"network={network}"]).loss == load(CONFIGS / f"{network}.yaml").loss


def test_adversarial_papers_compare_features_where_the_user_has_weights() -> None:
    weights = "perceptual.weights=vgg19.pth"
    deblurgan = load(COMPARE, ["network=deblurgan", weights])
    assert deblurgan.adversarial == Adversarial("wgan-gp", "patch", 1.0, steps=5)
    assert deblurgan.perceptual == Perceptual(Path("vgg19.pth"), {"relu3_3": 100.0})
    assert deblurgan.loss == Loss(l1=0, gradient=0)
    esrgan = load(CONFIGS / "esrgan.yaml", ["network=rrdbnet", weights])
    assert esrgan.adversarial == Adversarial("relativistic", "srgan", 5e-3)
    assert esrgan.perceptual == Perceptual(Path("vgg19.pth"), {"conv5_4": 1.0}, "l1")
    assert esrgan.loss == Loss(l1=0.01, gradient=0)
    second = load(COMPARE, ["network=deblurgan-v2", weights])
    assert second.adversarial == Adversarial("relativistic-lsgan", "double-scale", 0.0025)
    assert second.perceptual == Perceptual(Path("vgg19.pth"), {"conv3_3": 0.006})
    assert second.loss == Loss(l1=0, gradient=0, squared=2)


def test_without_weights_they_compare_pixels_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    recipe = load(CONFIGS / "srgan.yaml")
    assert recipe.loss == Loss(l1=0, gradient=0, squared=4)
    assert recipe.perceptual is None
    assert "without perceptual.weights" in caplog.text
    caplog.clear()
    load(CONFIGS / "srgan.yaml", ["perceptual.weights=vgg19.pth"])
    load(COMPARE, ["network=scgan"])
    assert not caplog.text


def test_compact_networks_get_compact_discriminators() -> None:
    widths = [load(CONFIGS / "srgan.yaml", [f"network={name}"]).adversarial for name in ("srresnet", "srresnet-s")]
    assert [settings and settings.width for settings in widths] == [64, 16]


def test_what_the_recipe_says_itself_comes_first() -> None:
    recipe = load(CONFIGS / "srgan.yaml", ["adversarial.width=8", "adversarial.lr=3e-4"])
    assert recipe.adversarial == Adversarial("vanilla", "srgan", 1e-3, lr=3e-4, width=8)
    assert load(CONFIGS / "srgan.yaml", ["adversarial=null"]).adversarial is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=srgam"], "no paper of that name is known; did you mean srgan"),
        (["network=mine"], "the loss of mine's paper is not known"),
        (["adversarial.width=8"], "lacks adversarial.kind"),
        (["network=scgan", "adversarial=3"], "adversarial is 3; expected keys and values"),
        (["loss.l1=2"], "loss is a value, not a section"),
    ],
)
def test_a_wrong_loss_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(CnlrnError, match=message):
        load(COMPARE, overrides)
