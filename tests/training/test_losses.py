import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cnlrn.training.losses import charbonnier_loss, edge_loss, gradient_loss, psnr_loss, restoration_loss


def picture(seed: int, *shape: int) -> Tensor:
    return torch.from_numpy(np.random.RandomState(seed).random_sample(shape).astype(np.float32))


def sobel_by_convolution(x: Tensor, transposed: bool) -> Tensor:
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernel = (kernel.T if transposed else kernel).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


def test_gradient_loss_reproduces_the_reference() -> None:
    assert gradient_loss(picture(1, 2, 3, 20, 28), picture(2, 2, 3, 20, 28)).item() == pytest.approx(
        2.1734020709991455, abs=1e-4
    )


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradient_loss_is_its_formula(memory_format: torch.memory_format) -> None:
    out = picture(0, 2, 3, 9, 7).to(memory_format=memory_format)
    gt = picture(1, 2, 3, 9, 7).to(memory_format=memory_format)
    along_x, along_y = (
        F.l1_loss(sobel_by_convolution(out, transposed), sobel_by_convolution(gt, transposed))
        for transposed in (False, True)
    )
    torch.testing.assert_close(gradient_loss(out, gt), along_x + along_y)


def test_psnr_loss_is_the_mean_of_what_each_sample_lacks_in_decibels() -> None:
    gt = picture(0, 2, 3, 8, 8)
    out = gt + torch.tensor([0.1, 0.01]).reshape(2, 1, 1, 1)
    lacking = [10 * np.log10(1 + (255 * error) ** 2) for error in (0.1, 0.01)]
    assert psnr_loss(out, gt).item() == pytest.approx(np.mean(lacking), rel=1e-4)
    assert psnr_loss(gt, gt).item() == 0
    torch.testing.assert_close(restoration_loss(out, gt, l1=0, gradient=0, psnr=2.0), 2 * psnr_loss(out, gt))


def test_combined_loss_is_l1_and_a_tenth_of_the_gradient_loss() -> None:
    out, gt = picture(0, 1, 3, 8, 8), picture(1, 1, 3, 8, 8)
    torch.testing.assert_close(restoration_loss(out, gt), F.l1_loss(out, gt) + 0.1 * gradient_loss(out, gt))
    torch.testing.assert_close(restoration_loss(out, gt, gradient=0), F.l1_loss(out, gt))
    squared = restoration_loss(out, gt, gradient=0, squared=4)
    torch.testing.assert_close(squared, F.l1_loss(out, gt) + 4 * F.mse_loss(out, gt))


def test_charbonnier_loss_is_l1_far_from_zero_and_square_near_it() -> None:
    gt = torch.full((1, 3, 4, 4), 0.5)
    assert charbonnier_loss(gt, gt).item() == pytest.approx(1e-3)
    assert charbonnier_loss(gt + 0.3, gt).item() == pytest.approx(0.3, rel=1e-4)
    assert charbonnier_loss(gt + 1e-4, gt).item() - 1e-3 == pytest.approx(1e-8 / 2e-3, rel=0.05)


def test_edge_loss_sees_detail_and_not_what_is_smooth() -> None:
    gt = picture(1, 1, 3, 40, 40)
    ramp = torch.linspace(0, 1, 40).expand(1, 3, 40, 40)
    assert edge_loss(gt + 0.4, gt).item() == pytest.approx(1e-3, rel=0.01)
    assert edge_loss(gt + ramp, gt).item() < 0.01
    checks = 0.5 * (torch.arange(40) % 2 == torch.arange(40)[:, None] % 2).float()
    assert edge_loss(gt + checks, gt).item() == pytest.approx(0.25, rel=0.05)


@pytest.mark.parametrize("side", [8, 9])
def test_edge_loss_is_its_formula(side: int) -> None:
    out, gt = picture(0, 1, 2, side, side), picture(1, 1, 2, side, side)
    kernel = torch.tensor([0.05, 0.25, 0.4, 0.25, 0.05])
    kernel = torch.outer(kernel, kernel).expand(2, 1, 5, 5)

    def smoothed(x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), kernel, groups=2)

    def detail(x: Tensor) -> Tensor:
        dots = torch.zeros(side, side)
        dots[::2, ::2] = 4
        return x - smoothed(smoothed(x) * dots)

    expected = ((detail(out) - detail(gt)).square() + 1e-6).sqrt().mean()
    torch.testing.assert_close(edge_loss(out, gt), expected)


def test_every_term_counts_by_its_weight() -> None:
    out, gt = picture(0, 1, 3, 8, 8), picture(1, 1, 3, 8, 8)
    expected = 2 * charbonnier_loss(out, gt) + 3 * edge_loss(out, gt)
    torch.testing.assert_close(restoration_loss(out, gt, l1=0, gradient=0, charbonnier=2, edge=3), expected)


def test_losses_are_computed_in_float32_from_bfloat16_and_under_autocast() -> None:
    out, gt = picture(0, 1, 3, 8, 8).bfloat16(), picture(1, 1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        loss = restoration_loss(out, gt)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, restoration_loss(out.float(), gt), atol=0, rtol=0)


def test_losses_are_zero_for_equal_pictures_and_fall_along_their_gradient() -> None:
    gt = picture(1, 1, 3, 8, 8)
    assert restoration_loss(gt, gt).item() == 0
    out = picture(0, 1, 3, 8, 8).requires_grad_()
    loss = restoration_loss(out, gt)
    (gradient,) = torch.autograd.grad(loss, out)
    assert restoration_loss(out - gradient, gt) < loss
