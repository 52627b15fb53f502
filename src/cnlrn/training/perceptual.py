"""Pictures compared by the features of a network for recognising things, whose weights are the user's.

Any plain stack of 3x3 convolutions, ReLUs and poolings by 2 in torchvision's layout will do, VGG-19 above all. None
comes with this package, and none is downloaded.
"""

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.errors import CnlrnError
from cnlrn.networks.checkpoints import read_checkpoint
from cnlrn.training.recipe import Perceptual

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class PerceptualLoss(nn.Module):
    """The weighted differences of features of two pictures (Johnson, Alahi, Fei-Fei, ECCV 2016, sec. 3.2).

    Attributes:
        smallest: least height and width of a picture.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: Perceptual) -> None:
        """Read the weights; CnlrnError where the file is none of such a network or lacks a layer."""
        super().__init__()
        self.weights = settings.layers
        self.compare = F.l1_loss if settings.difference == "l1" else F.mse_loss
        layers = _layers(settings.weights)
        names = list(layers)
        for name in settings.layers:
            if name not in layers:
                raise CnlrnError(f"{settings.weights} has no layer {name}; it has conv1_1, relu1_1, ... {names[-1]}")
        last = max(names.index(name) for name in settings.layers)
        self.layers = nn.ModuleDict({name: layers[name] for name in names[: last + 1]}).requires_grad_(False)
        self.smallest = 2 ** sum(name.startswith("pool") for name in self.layers)
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_DEVIATION)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1))

    def forward(self, out: Tensor, gt: Tensor) -> Tensor:
        """The loss, a float32 scalar, of RGB pictures (n, 3, h, w) in [0, 1]; gradients go to `out` alone."""
        with torch.no_grad():
            expected = self._features(gt)
        loss = torch.zeros((), device=out.device)
        for name, features in self._features(out).items():
            loss = loss + self.weights[name] * self.compare(features.float(), expected[name].float())
        return loss

    def _features(self, picture: Tensor) -> dict[str, Tensor]:
        x = (picture - self.mean) / self.deviation
        features = {}
        for name, layer in self.layers.items():
            x = layer(x)
            if name in self.weights:
                features[name] = x
        return features


def _layers(file: Path) -> dict[str, nn.Module]:
    """All layers of the stack by name, in order.

    torchvision numbers convolutions, ReLUs and poolings alike, so a pooling shows as a gap before a convolution.
    """
    tensors = {name: tensor for name, tensor in read_checkpoint(file).items() if name.startswith("features.")}
    positions = sorted(int(match[1]) for name in tensors if (match := re.fullmatch(r"features\.(\d+)\.weight", name)))
    layers: dict[str, nn.Module] = {}
    block, index, channels, expected = 1, 1, 3, 0
    for position in positions:
        weight, bias = tensors[f"features.{position}.weight"], tensors.get(f"features.{position}.bias")
        if weight.shape[1:] != (channels, 3, 3) or bias is None or position - expected not in (0, 1):
            break
        if position > expected:
            layers[f"pool{block}"] = nn.MaxPool2d(2)
            block, index = block + 1, 1
        channels = len(weight)
        convolution = nn.Conv2d(weight.shape[1], channels, 3, padding=1)
        convolution.load_state_dict({"weight": weight, "bias": bias})
        layers |= {f"conv{block}_{index}": convolution, f"relu{block}_{index}": nn.ReLU()}
        index, expected = index + 1, position + 2
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in layers.values())
    if not layers or len(tensors) != 2 * convolutions:
        raise CnlrnError(
            f"{file} holds no plain stack of 3x3 convolutions in the layout of torchvision's VGG-19; "
            "features.0.weight, features.0.bias, features.2.weight and so on were expected"
        )
    return layers
