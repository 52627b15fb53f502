"""Discriminators: sizes of the papers, what they look at, and how small a picture may be."""

import pytest
import torch
from torch import nn

from cnlrn.networks.discriminators import build, patch, srgan


def test_srgans_discriminator_has_the_papers_layers_and_ends_in_one_score_a_picture():
    with torch.device("meta"):
        net = srgan()
        score = net(torch.empty(2, 3, 96, 96))
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [layer.stride[0] for layer in convolutions] == [1, 2] * 4
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in net.modules()) == 7  # all but the first convolution
    dense = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in dense] == [(6 * 6 * 512, 1024), (1024, 1)]
    assert score.shape == (2, 1)


def test_a_patch_of_patchgan_is_70_pixels_wide():
    torch.manual_seed(0)
    net = patch(width=2).double()
    for norm in [name for name, layer in net.named_modules() if isinstance(layer, nn.InstanceNorm2d)]:
        net.set_submodule(norm, nn.Identity())  # statistics of the whole picture
    picture = torch.rand(1, 3, 192, 192, dtype=torch.float64, requires_grad=True)
    scores = net(picture)
    assert scores.shape == (1, 1, 192 // 8 - 2, 192 // 8 - 2)
    scores[0, 0, 10, 11].backward()
    assert picture.grad is not None
    for dim in (2, 3):
        seen = picture.grad.abs().sum((0, 1, 5 - dim)).nonzero()
        assert seen.max() - seen.min() + 1 == 70


def test_the_double_scale_pair_scores_patches_and_the_whole_picture():
    local, whole = build("double-scale", width=2)
    picture = torch.rand(2, 3, 64, 48)
    assert local(picture).shape == (2, 1, 6, 4)
    assert whole(picture).shape == (2, 1)


@pytest.mark.parametrize("make", [srgan, patch])
def test_the_smallest_picture_is_judged_and_a_gradient_comes_back(make):
    net = make(width=4)
    picture = torch.rand(2, 3, net.smallest, net.smallest, requires_grad=True)
    net(picture).sum().backward()
    assert picture.grad is not None
    assert picture.grad.isfinite().all()
    assert all(parameter.grad is not None for parameter in net.parameters())
