import math

import pytest
import torch
from torch import nn

from cnlrn.training.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(32, 288), (96, 32), (16, 16)])
def test_all_directions_of_an_orthogonalised_matrix_are_about_as_long(shape):
    torch.manual_seed(0)
    result = orthogonalised(torch.randn(shape))
    lengths = torch.linalg.svdvals(result)
    assert result.shape == shape
    assert lengths.min() > 0.6
    assert lengths.max() < 1.3


def test_singular_vectors_stay():
    left, right = (torch.linalg.qr(torch.randn(24, 24))[0] for _ in range(2))
    matrix = left @ torch.diag(torch.linspace(0.2, 5, 24)) @ right
    inner = left.T @ orthogonalised(matrix) @ right.T
    assert (inner - torch.diag(torch.diagonal(inner))).abs().max() < 1e-4


def test_an_update_is_as_large_as_the_rate_says_whatever_the_gradient():
    for size in (1e-6, 1e3):
        kernel = nn.Parameter(torch.zeros(32, 16, 3, 3))
        kernel.grad = torch.randn(32, 16, 3, 3) * size
        Muon([kernel], lr=0.1, betas=(0.9, 0.99)).step()
        assert kernel.detach().square().mean().sqrt() == pytest.approx(0.2 * 0.1, rel=0.2)


def test_kernels_decay_by_the_rate_and_nothing_else_does():
    kernel, bias = nn.Parameter(torch.ones(16, 16)), nn.Parameter(torch.ones(16))
    kernel.grad, bias.grad = torch.zeros(16, 16), torch.zeros(16)
    Muon([kernel, bias], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5).step()
    torch.testing.assert_close(kernel.detach(), torch.full((16, 16), 0.95))
    torch.testing.assert_close(bias.detach(), torch.ones(16))


def test_narrow_kernels_and_biases_are_learned_as_adam_does():
    torch.manual_seed(0)
    shapes = [(3, 32, 3, 3), (32, 3, 3, 3), (32,)]
    ours, theirs = ([nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    muon, adam = Muon(ours, lr=0.01, betas=(0.9, 0.99)), torch.optim.Adam(theirs, lr=0.01, betas=(0.9, 0.99))
    for _ in range(5):
        for own, other in zip(ours, theirs, strict=True):
            own.grad = torch.randn_like(own)
            other.grad = own.grad.clone()
        muon.step()
        adam.step()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other)


def test_a_loss_falls_that_has_steep_and_flat_directions():
    torch.manual_seed(0)
    wanted, stretch = torch.randn(16, 16), torch.logspace(0, -1, 16)
    kernel = nn.Parameter(torch.zeros(16, 16))
    optimiser = Muon([kernel], lr=1.0, betas=(0.9, 0.99))
    for step in range(200):
        optimiser.param_groups[0]["lr"] = (1 + math.cos(math.pi * step / 200)) / 2
        optimiser.zero_grad()
        ((kernel - wanted) @ torch.diag(stretch)).square().sum().backward()
        optimiser.step()
    assert (kernel - wanted).abs().max() < 0.1
