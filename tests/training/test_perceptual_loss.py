from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from cnlrn.errors import CnlrnError
from cnlrn.training.perceptual import IMAGENET_DEVIATION, IMAGENET_MEAN, PerceptualLoss
from cnlrn.training.recipe import Perceptual

VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)
"""Channels of the convolutions of VGG-19 (Simonyan, Zisserman, ICLR 2015, table 1, E); 0 is a pooling."""


def stack(*widths: int) -> nn.Sequential:
    """Convolutions with ReLUs, 0 a pooling, numbered as torchvision numbers them."""
    layers: list[nn.Module] = []
    channels = 3
    for width in widths:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
        channels = width or channels
    return nn.Sequential(*layers)


def written(net: nn.Sequential, file: Path) -> Path:
    state = {f"features.{name}": tensor for name, tensor in net.state_dict().items()}
    state["classifier.0.weight"] = torch.zeros(2, 2)
    save_file(state, file) if file.suffix == ".safetensors" else torch.save(state, file)
    return file


@pytest.fixture
def pictures() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.rand(2, 3, 16, 24), torch.rand(2, 3, 16, 24)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_features_are_those_of_the_stack_in_the_file(tmp_path, pictures, suffix):
    torch.manual_seed(1)
    net, (out, gt) = stack(4, 5, 0, 6, 7, 0, 8), pictures
    file = written(net, tmp_path / f"weights{suffix}")
    loss = PerceptualLoss(Perceptual(file, {"conv2_2": 2.0, "relu1_1": 3.0}))

    mean, deviation = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    out_, gt_ = (out - mean) / deviation, (gt - mean) / deviation
    expected = 2 * F.mse_loss(net[:8](out_), net[:8](gt_)) + 3 * F.mse_loss(net[:2](out_), net[:2](gt_))
    torch.testing.assert_close(loss(out, gt), expected)
    absolute = PerceptualLoss(Perceptual(file, {"conv3_1": 1.0}, "l1"))
    torch.testing.assert_close(absolute(out, gt), F.l1_loss(net[:11](out_), net[:11](gt_)))


def test_the_layers_of_vgg19_have_their_usual_names(tmp_path):
    with torch.device("meta"):
        net = stack(*VGG19)
    assert len(net) == 36  # torchvision's features[35] is relu5_4
    tiny = stack(*(width // 64 for width in VGG19))
    file = written(tiny, tmp_path / "vgg19.pth")
    loss = PerceptualLoss(Perceptual(file, {"relu5_4": 1.0}))
    assert len(loss.layers) == 36
    assert list(PerceptualLoss(Perceptual(file, {"conv5_4": 1.0})).layers)[-1] == "conv5_4"
    assert list(PerceptualLoss(Perceptual(file, {"relu3_3": 1.0})).layers)[-1] == "relu3_3"
    assert loss.smallest == 16


def test_gradients_reach_the_restored_picture_and_no_weight(tmp_path, pictures):
    out, gt = (picture.requires_grad_() for picture in pictures)
    loss = PerceptualLoss(Perceptual(written(stack(4), tmp_path / "w.pth"), {"conv1_1": 1.0}))
    loss(out, gt).backward()
    assert out.grad is not None
    assert out.grad.abs().sum() > 0
    assert gt.grad is None
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_what_is_no_such_stack_or_lacks_the_layer_is_refused(tmp_path):
    normalised = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    wide = nn.Sequential(nn.Conv2d(3, 4, 5))
    for net in (normalised, wide, nn.Sequential(nn.Linear(2, 2))):
        file = written(net, tmp_path / "other.pth")
        with pytest.raises(CnlrnError, match="no plain stack of 3x3 convolutions"):
            PerceptualLoss(Perceptual(file, {"conv1_1": 1.0}))
    file = written(stack(4, 0, 5), tmp_path / "short.pth")
    with pytest.raises(CnlrnError, match=r"short\.pth has no layer conv5_4; .* relu2_1"):
        PerceptualLoss(Perceptual(file, {"conv5_4": 1.0}))
    with pytest.raises(CnlrnError, match=r"no file of weights at .*vgg19\.pth"):
        PerceptualLoss(Perceptual(tmp_path / "vgg19.pth", {"conv5_4": 1.0}))
