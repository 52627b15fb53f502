import copy

import pytest
import torch
from torch import Tensor, nn

from cnlrn.networks.discriminators import Discriminator
from cnlrn.training.adversarial import Adversary, discriminator_loss, gradient_penalty, network_loss
from cnlrn.training.recipe import Adversarial, AdversarialKind

KINDS: list[AdversarialKind] = ["vanilla", "lsgan", "wgan-gp", "relativistic", "relativistic-lsgan"]
each_kind = pytest.mark.parametrize("kind", KINDS)


def alone(value: Tensor) -> Tensor:
    """The mean over one process."""
    return value


def adversary(kind: AdversarialKind = "vanilla", discriminator: str = "patch", **settings: float) -> Adversary:
    torch.manual_seed(0)
    return Adversary(Adversarial(kind, discriminator, 0.5, lr=1e-3, width=4, **settings), (0.5, 0.9))


def pictures() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    smooth = torch.rand(2, 3, 1, 1).expand(2, 3, 32, 32)
    return smooth.clone(), smooth + 0.1 * torch.randn(2, 3, 32, 32)


@each_kind
def test_both_sides_losses_fall_where_each_wins(kind: AdversarialKind) -> None:
    high, low = torch.tensor([2.0, 1.5]), torch.tensor([-2.0, -1.0])
    assert discriminator_loss(kind, high, low) < discriminator_loss(kind, low, high)
    assert network_loss(kind, low, high) < network_loss(kind, high, low)


def test_losses_agree_with_their_formulas() -> None:
    real, fake = torch.tensor([0.7, -0.2]), torch.tensor([0.1, -1.3])
    log_sigmoid = nn.LogSigmoid()
    vanilla = -log_sigmoid(real).mean() - (1 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss("vanilla", real, fake), vanilla)
    torch.testing.assert_close(network_loss("vanilla", real, fake), -log_sigmoid(fake).mean())
    more, less = (real - fake.mean()).sigmoid(), (fake - real.mean()).sigmoid()
    torch.testing.assert_close(
        discriminator_loss("relativistic", real, fake), -more.log().mean() - (1 - less).log().mean()
    )
    torch.testing.assert_close(network_loss("relativistic", real, fake), -(1 - more).log().mean() - less.log().mean())
    squares = (real - fake.mean() - 1).square().mean() + (fake - real.mean() + 1).square().mean()
    torch.testing.assert_close(discriminator_loss("relativistic-lsgan", real, fake), squares)
    torch.testing.assert_close(discriminator_loss("wgan-gp", real, fake), fake.mean() - real.mean())


@pytest.mark.parametrize(("slope", "penalty"), [(1.0, 0.0), (3.0, 4.0), (0.0, 1.0)])
def test_the_gradient_penalty_asks_for_slopes_of_one(slope: float, penalty: float) -> None:
    class Slope(nn.Module):
        def forward(self, picture: Tensor) -> Tensor:
            flat = picture.flatten(1)
            return slope * flat.sum(1, keepdim=True) / flat.shape[1] ** 0.5

    critic = Discriminator(nn.Sequential(nn.Identity()), nn.Sequential(Slope()), smallest=1)
    assert gradient_penalty(critic, torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)).item() == pytest.approx(penalty)


@each_kind
def test_a_discriminator_learns_to_tell_and_the_networks_gradient_fools_it(kind: AdversarialKind) -> None:
    judge, (restored, sharp) = adversary(kind, "patch"), pictures()
    for _ in range(30):
        judge.learn(restored, sharp, 1e-3, alone)
    assert judge.figures["told_apart"] > 0.9
    restored.requires_grad_()
    before = judge.loss(restored, sharp)
    (gradient,) = torch.autograd.grad(before, restored)
    assert judge.loss(restored - 0.1 * gradient / gradient.abs().max(), sharp) < before


@pytest.mark.parametrize("discriminator", ["srgan", "patch", "double-scale"])
def test_only_the_restored_picture_gets_the_networks_gradient(discriminator: str) -> None:
    judge, (restored, sharp) = adversary("relativistic", discriminator, matching=1.0), pictures()
    restored.requires_grad_()
    sharp.requires_grad_()
    judge.loss(restored, sharp).backward()
    assert restored.grad is not None
    assert sharp.grad is None
    assert all(parameter.grad is None for parameter in judge.module.parameters())


def test_weights_of_adversarial_and_matched_features_count() -> None:
    restored, sharp = pictures()
    plain, matched = adversary(), adversary(matching=2.0)
    (each,) = matched.discriminators
    features = [each.features(2 * picture - 1) for picture in (restored, sharp)]
    extra = 2 * nn.functional.mse_loss(*features)
    torch.testing.assert_close(matched.loss(restored, sharp) - plain.loss(restored, sharp), extra)
    assert plain.loss(restored, sharp).item() == pytest.approx(0.5 * plain.figures["adversarial"])


def test_a_state_taken_up_goes_on_as_the_first_did() -> None:
    first, second, (restored, sharp) = adversary("wgan-gp", steps=2), adversary("wgan-gp", steps=2), pictures()
    first.learn(restored, sharp, 1e-3, alone)
    second.load_state(copy.deepcopy(first.state()))
    for judge in (first, second):
        torch.manual_seed(3)
        judge.learn(restored, sharp, 1e-3, alone)
    assert first.figures["discriminator"] == second.figures["discriminator"]
    own, other = first.module.state_dict(), second.module.state_dict()
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_a_gradient_that_is_not_finite_leaves_the_discriminator_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    judge, (restored, sharp) = adversary(), pictures()
    before = {name: tensor.clone() for name, tensor in judge.module.state_dict().items()}
    judge.learn(restored * torch.nan, sharp, 1e-3, alone)
    assert all(torch.equal(before[name], tensor) for name, tensor in judge.module.state_dict().items())
    assert "skipped a step of the discriminator" in caplog.text
