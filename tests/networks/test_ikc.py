"""IKC: the paper's sizes, the loop of corrections, and codes that stand for kernels."""

from itertools import pairwise

import pytest
import torch
from published import make_positive
from torch import nn

from cnlrn.errors import CnlrnError
from cnlrn.networks.ikc import CODE, IKC, IKC_S, KERNEL, IKCPreset, Transform
from cnlrn.networks.macs import macs_per_pixel

SMALL = IKCPreset(width=4, transform_width=3, blocks=2, output_kernel=3, estimator_width=3, iterations=3)


@pytest.fixture
def net() -> IKC:
    torch.manual_seed(0)
    return IKC(SMALL).eval()


def gaussians(*widths: float) -> torch.Tensor:
    steps = torch.arange(KERNEL) - KERNEL // 2
    kernels = torch.stack([(-(steps[:, None] ** 2 + steps**2) / (2 * width**2)).exp() for width in widths])
    return kernels / kernels.sum((1, 2), keepdim=True)


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def conv(channels_in: int, channels_out: int, kernel: int) -> int:
    return (channels_in * kernel**2 + 1) * channels_out


def test_the_papers_size_has_the_parameters_of_the_papers_hyper_parameters():
    transform = 2 * (conv(64 + 10, 32, 3) + conv(32, 64, 3))
    blocks = 16 * (2 * transform + 2 * conv(64, 64, 3))
    enlargement = conv(64, 64, 3) + 2 * conv(64, 256, 3) + conv(64, 3, 9)
    first = conv(3, 64, 3) + 2 * conv(64, 64, 3)
    with torch.device("meta"):
        net = IKC(IKCPreset())
    assert count(net.sftmd) == first + blocks + transform + enlargement == 4_234_691
    assert count(net.predictor) == conv(3, 64, 5) + 2 * conv(64, 64, 5) + conv(64, 10, 5)
    dense = conv(10, 64, 1) + conv(64, 64, 1) + conv(128, 128, 1) + conv(128, 64, 1) + conv(64, 10, 1)
    assert count(net.corrector) == conv(3, 64, 5) + 4 * conv(64, 64, 5) + dense
    assert count(net) == 4_905_495


def test_the_compact_size_with_all_its_corrections_uses_the_budget_and_stays_within_it():
    with torch.device("meta"):
        assert 200 <= macs_per_pixel(IKC(IKC_S)) / 1000 <= 230


@pytest.mark.parametrize("size", [(1, 1), (7, 10)])
@torch.no_grad()
def test_pictures_of_any_size_are_enlarged_the_same_way_every_time(size):
    net = IKC(IKC_S).eval()
    lr = torch.rand(2, 3, *size)
    restored = net(lr)
    assert restored.shape == (2, 3, 4 * size[0], 4 * size[1])
    assert torch.equal(restored, net(lr))
    torch.testing.assert_close(restored[1:], net(lr[1:]), atol=1e-4, rtol=0)
    with pytest.raises(CnlrnError, match="no exit for x2"):
        net(lr, 2)


def test_the_loss_of_the_last_picture_alone_reaches_every_parameter():
    net = IKC(SMALL)
    make_positive(net)
    net(torch.rand(1, 3, 8, 8, dtype=torch.float64)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_code_sees_the_whole_picture(net):
    lr = torch.rand(1, 3, 5, 40, requires_grad=True)
    code, _ = next(net.corrections(lr))
    code.sum().backward()
    assert net.context is None
    assert lr.grad.abs().sum((0, 1)).min() > 0


@torch.no_grad()
def test_every_correction_adds_what_the_corrector_sees_in_the_picture_of_the_code_before(net):
    lr = torch.rand(2, 3, 6, 5)
    codes = [code for code, _ in net.corrections(lr)]
    assert len(codes) == 1 + SMALL.iterations
    torch.testing.assert_close(codes[0], net.predictor(lr))
    for before, after in pairwise(codes):
        assert before.shape == (2, CODE)
        torch.testing.assert_close(after, before + net.corrector(net.restore_with(lr, before), before))
    pictures = net.training_outputs(lr, (4,))[4]
    for code, picture in zip(codes, pictures, strict=True):
        torch.testing.assert_close(picture, net.restore_with(lr, code))
    assert torch.equal(net(lr), pictures[-1])


@torch.no_grad()
def test_a_transform_weighs_every_feature_and_adds_to_it():
    transform, x, maps = Transform(4, 3), torch.rand(1, 4, 5, 5), torch.rand(1, CODE, 5, 5)
    for branch in (transform.factor, transform.offset):
        nn.init.zeros_(branch[-1].weight)
    transform.factor[-1].bias.copy_(torch.tensor([-50.0, 0, 0, 50]))
    transform.offset[-1].bias.copy_(torch.tensor([1.0, 2, 3, 4]))
    factors, offsets = torch.tensor([0, 0.5, 0.5, 1]), torch.tensor([1.0, 2, 3, 4])
    torch.testing.assert_close(
        transform(x, maps), x * factors.reshape(1, 4, 1, 1) + offsets.reshape(1, 4, 1, 1), atol=1e-6, rtol=0
    )


def test_a_code_stands_for_its_kernel(net):
    kernels = gaussians(0.2, 0.73, 1.5, 4.0)
    restored = (net.encode(kernels) @ net.kernel_basis + net.kernel_mean).reshape_as(kernels)
    assert (restored - kernels).norm(dim=(1, 2)).max() < 1e-4
    torch.testing.assert_close(net.kernel_basis @ net.kernel_basis.T, torch.eye(CODE), atol=1e-5, rtol=0)
    assert net.encode(net.kernel_mean.reshape(1, KERNEL, KERNEL)).abs().max() == 0
