"""KernelGAN, and ZSSR that enlarges with its kernel: formulas, alignment, and what a short run is good for."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.networks import kernelgan, zssr
from cnlrn.networks.blocks import Bicubic
from cnlrn.networks.kernelgan import CENTRE, SIDE, Discriminator, Generator, bicubic_kernel, cleaned, kernel_x4
from cnlrn.networks.zssr import ZSSR, downscale, ensemble, super_resolve


def gaussian(row: float, column: float, across: float = 1.0, along: float = 1.0) -> torch.Tensor:
    """Standard deviations `across` (rows) and `along` (columns), centre of mass at (row, column), sum 1."""
    steps = torch.arange(SIDE)
    rows, columns = (-((steps - row) ** 2) / (2 * across**2)).exp(), (-((steps - column) ** 2) / (2 * along**2)).exp()
    kernel = torch.outer(rows, columns)
    return kernel / kernel.sum()


def impulse(row: int, column: int) -> torch.Tensor:
    kernel = torch.zeros(SIDE, SIDE)
    kernel[row, column] = 1
    return kernel


def squares(side: int, seed: int = 0) -> torch.Tensor:
    """A picture of squares of many sizes, (1, 3, side, side)."""
    generator = np.random.default_rng(seed)
    picture = generator.random((side, side, 3), np.float32)
    for _ in range(side * side // 8):
        top, left = generator.integers(-8, side, 2)
        size = int(2 / math.sqrt(1 - 0.99 * generator.random()))
        picture[max(top, 0) : max(top + size, 0), max(left, 0) : max(left + size, 0)] = generator.random(3)
    return torch.from_numpy(picture).permute(2, 0, 1)[None]


def in_bytes(picture: torch.Tensor) -> torch.Tensor:
    return (picture * 255).round().clamp(0, 255) / 255


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    return Generator()


@torch.no_grad()
def test_the_one_kernel_does_what_the_generators_layers_do(generator):
    picture = torch.rand(1, 1, 20, 25)
    layered = picture
    for layer in generator.layers:
        last = layer is generator.layers[-1]
        layered = F.conv2d(layered, layer.weight, stride=2 if last else 1)
    torch.testing.assert_close(F.conv2d(picture, generator()[None, None], stride=2), layered, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_generator_starts_from_the_bicubic_kernel(generator):
    torch.testing.assert_close(generator(), bicubic_kernel(), atol=1e-3, rtol=0)


def test_the_bicubic_kernel_reduces_as_the_protocol_does():
    picture = torch.rand(1, 3, 24, 30)
    expected = torch.from_numpy(bicubic(picture[0].permute(1, 2, 0).numpy(), 0.5)).permute(2, 0, 1)[None]
    reduced = downscale(picture, bicubic_kernel(), 2)
    torch.testing.assert_close(reduced[..., 3:-3, 3:-3], expected[..., 3:-3, 3:-3], atol=1e-5, rtol=0)
    assert downscale(picture[..., :23, :29], bicubic_kernel(), 2).shape == (1, 3, 12, 15)


def test_regularisers_agree_with_their_formulas():
    middle, edge, uniform = impulse(6, 6), impulse(6, 12), torch.full((SIDE, SIDE), 1 / SIDE**2)
    assert kernelgan.sum_to_one(3 * middle) == pytest.approx(2)
    assert kernelgan.sum_to_one(uniform) == pytest.approx(0, abs=1e-6)
    assert kernelgan.boundaries(-2 * edge) == pytest.approx(2)
    assert kernelgan.boundaries(middle) == pytest.approx(math.exp(-6))
    assert kernelgan.boundaries(impulse(0, 0)) == pytest.approx(math.exp(math.hypot(6, 6) - 6), rel=1e-5)
    assert kernelgan.sparsity(middle) == pytest.approx(1 / SIDE**2, abs=2e-4)
    assert kernelgan.sparsity(uniform) == pytest.approx(1 / SIDE, abs=1e-4)
    assert kernelgan.centring(5 * middle) == pytest.approx(math.hypot(0.5, 0.5))
    assert kernelgan.centring(edge) == pytest.approx(math.hypot(0.5, 5.5))
    assert kernelgan.centring(bicubic_kernel()) == pytest.approx(0, abs=1e-5)
    weighted = 0.5 * 0 + 0.5 * 1 + 0.1 * float(kernelgan.sparsity(edge)) + math.hypot(0.5, 5.5)
    assert kernelgan.regularisation(edge) == pytest.approx(weighted)


def test_the_adversarial_loss_is_the_mean_distance_to_the_label():
    likely = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    assert kernelgan.adversarial_loss(likely[:1], 1) == pytest.approx(0.5)
    assert kernelgan.adversarial_loss(likely[0, :1], 0) == pytest.approx(0.25)
    assert kernelgan.adversarial_loss(likely[1], 1) == pytest.approx(0.5)


def test_the_discriminator_judges_patches_of_7x7():
    torch.manual_seed(0)
    net = Discriminator().eval()
    picture = torch.rand(1, 3, 26, 26, requires_grad=True)
    likely = net(picture)
    assert likely.shape == (1, 1, 20, 20)
    assert likely.min() >= 0
    assert likely.max() <= 1
    likely[..., 10, 4].sum().backward()
    rows, columns = picture.grad.abs().sum((0, 1)).nonzero().unbind(1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 16, 4, 10)


def test_parts_are_drawn_where_edges_are():
    torch.manual_seed(0)
    picture = torch.full((1, 3, 80, 200), 0.5)
    picture[..., 40:42, 150:152] = 1
    found = list(kernelgan.parts(picture, 26, 50))
    assert len(found) == 50
    assert all(part.shape == (1, 3, 26, 26) and part.max() == 1 and part.min() == 0 for part in found)


def test_a_cleaned_kernel_is_centred_sums_to_one_and_has_lost_what_is_small():
    noisy = gaussian(5.2, 7.4) + 1e-4 * torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    kernel = cleaned(noisy)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel.min() == 0
    assert (kernel[:2] == 0).all()
    assert kernelgan.centring(kernel) < 1e-3
    assert (kernel - gaussian(CENTRE, CENTRE)).norm() < 0.15 * kernel.norm()


def test_the_kernel_for_x4_reduces_as_twice_the_kernel_for_x2():
    picture, kernel = torch.rand(1, 3, 80, 88), cleaned(gaussian(6, 7, 0.8, 1.5))
    once, twice = downscale(picture, kernel_x4(kernel), 4), downscale(downscale(picture, kernel, 2), kernel, 2)
    assert once.shape == twice.shape
    torch.testing.assert_close(once[..., 5:-5, 5:-5], twice[..., 5:-5, 5:-5], atol=1e-5, rtol=0)
    assert kernel_x4(kernel).sum() == pytest.approx(1, abs=1e-5)


def test_a_short_run_is_closer_to_the_true_kernel_than_what_it_starts_from_and_than_no_blur():
    truth = gaussian(CENTRE, CENTRE, 0.8, 2.0)
    estimate = kernelgan.estimate_kernel(in_bytes(downscale(squares(192), truth, 2)), steps=200)
    assert estimate.sum() == pytest.approx(1, abs=1e-5)
    assert estimate.min() >= 0
    error = (estimate - truth).norm()
    for other in (bicubic_kernel(), cleaned(bicubic_kernel()), impulse(6, 6)):
        assert error < (other - truth).norm()


def test_the_seed_decides_the_kernel_and_nothing_outside_it():
    lr = squares(64)
    torch.manual_seed(1)
    first, drawn = kernelgan.estimate_kernel(lr, steps=3, seed=5), torch.rand(3)
    torch.manual_seed(2)
    second, drawn_then = kernelgan.estimate_kernel(lr, steps=3, seed=5), torch.rand(3)
    assert torch.equal(first, second)
    assert not torch.equal(drawn, drawn_then)
    assert not torch.equal(first, kernelgan.estimate_kernel(lr, steps=3, seed=6))


@pytest.mark.parametrize("scale", [2, 4])
def test_the_system_enlarges_a_picture_the_same_way_every_time(scale, monkeypatch):
    monkeypatch.setattr(zssr, "WIDTH", 4)  # quick
    lr = (squares(72)[0, :, :64].permute(1, 2, 0) * 255).byte().numpy()
    first, second = (kernelgan.restore(lr, scale, steps=2, sr_steps=2) for _ in range(2))
    assert first.shape == (64 * scale, 72 * scale, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)


def test_what_kernelgan_cannot_do_is_refused():
    with pytest.raises(CnlrnError, match="at least 64x64 pixels; this one has 80x63"):
        kernelgan.restore(np.zeros((63, 80, 3), np.uint8))
    with pytest.raises(CnlrnError, match="x2 or x4, not x3"):
        kernelgan.restore(np.zeros((64, 64, 3), np.uint8), 3)


def test_zssr_has_the_papers_eight_convolutions():
    with torch.device("meta"):
        net = ZSSR()
    assert sum(isinstance(layer, nn.Conv2d) for layer in net.layers) == 8
    assert sum(parameter.numel() for parameter in net.parameters()) == 1_792 + 6 * 36_928 + 1_731


def test_zssr_that_adds_nothing_gives_the_enlarged_picture_whichever_way_it_is_turned():
    net = ZSSR()
    for parameter in net.layers[-1].parameters():
        nn.init.zeros_(parameter)
    picture = torch.rand(1, 3, 9, 14)
    assert torch.equal(ensemble(net, picture), picture)


def test_zssr_that_knows_the_kernel_is_better_than_bicubic():
    blocks = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    kernel, sharp = gaussian(CENTRE, CENTRE, 1.2, 1.2), F.interpolate(blocks, scale_factor=8)
    lr = downscale(sharp, kernel, 2)
    restored = super_resolve(lr, {2: kernel}, steps=100)
    assert F.mse_loss(restored, sharp) < 0.95 * F.mse_loss(Bicubic(2)(lr), sharp)


def test_zssr_takes_the_picture_of_each_factor_as_an_example_for_the_next(monkeypatch):
    monkeypatch.setattr(zssr, "WIDTH", 4)
    trained_on = []
    train = zssr._train

    def spy(network, examples, kernel, factor, steps):
        trained_on.append((factor, [tuple(example.shape[2:]) for example in examples]))
        train(network, examples, kernel, factor, steps)

    monkeypatch.setattr(zssr, "_train", spy)
    kernel = cleaned(bicubic_kernel())
    lr = squares(20)[..., :15]
    restored = super_resolve(lr, {4: kernel_x4(kernel), 2: kernel}, steps=2)
    sizes = [(20, 15), (18, 14), (16, 12), (14, 11), (12, 9), (10, 8)]
    assert trained_on == [(2, sizes), (4, [*sizes, (40, 30)])]
    assert restored.shape == (1, 3, 80, 60)
