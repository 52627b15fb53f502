"""Discriminators of the adversarial papers, which training sets against a restoration network; nothing else uses them.

SRGAN's (Ledig et al., CVPR 2017, fig. 4) has VGG-like convolutions and two dense layers, and gives a score a picture.
PatchGAN (Isola et al., CVPR 2017), DeblurGAN's critic (Kupyn et al., CVPR 2018), gives one for every patch of 70x70
pixels. Scores are logits or a critic's values: no sigmoid ends the networks.
"""

from typing import Literal

from torch import Tensor, nn

SLOPE = 0.2  # of all LeakyReLUs
DENSE_SIDE = 6  # what is left of SRGAN's patches of 96 pixels before the dense layers

Name = Literal["srgan", "patch", "double-scale"]


class Discriminator(nn.Module):
    """Hidden features of a picture and, made from them, how real it seems.

    Attributes:
        smallest: least height and width of a picture.
    """

    def __init__(self, features: nn.Sequential, head: nn.Sequential, smallest: int) -> None:
        """`features`: picture (n, 3, h, w) to (n, c, h', w'); `head`: these to scores, n in number or n a patch."""
        super().__init__()
        self.features = features
        self.head = head
        self.smallest = smallest

    def forward(self, picture: Tensor) -> Tensor:
        """Scores of pictures (n, 3, h, w) in [-1, 1]: (n, 1) or (n, 1, rows, columns), larger is more real."""
        scores: Tensor = self.head(self.features(picture))
        return scores


def build(name: Name, width: int = 64) -> list[Discriminator]:
    """The discriminators called `name` with random weights; `width`: channels of the first convolution.

    "double-scale" is DeblurGAN-v2's pair (Kupyn et al., ICCV 2019, sec. 3.2), one for patches and one for the whole
    picture. Its paper leaves the layers of the second open; here they are SRGAN's.
    """
    made = {"srgan": (srgan,), "patch": (patch,), "double-scale": (patch, srgan)}
    return [make(width) for make in made[name]]


def srgan(width: int = 64) -> Discriminator:
    """SRGAN's discriminator, the paper's with 64 channels: (n, 3, h, w) to (n, 1), h and w at least 32.

    Features are averaged to 6x6 before the dense layers, as many as 96x96 pixels have, so pictures may have any size.
    """
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(SLOPE)]
    channels = width
    for factor, stride in ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)):
        layers += (
            nn.Conv2d(channels, factor * width, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(factor * width, track_running_stats=False),
            nn.LeakyReLU(SLOPE),
        )
        channels = factor * width
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(DENSE_SIDE),
        nn.Flatten(),
        nn.Linear(channels * DENSE_SIDE**2, 16 * width),
        nn.LeakyReLU(SLOPE),
        nn.Linear(16 * width, 1),
    )
    return Discriminator(nn.Sequential(*layers), head, smallest=32)


def patch(width: int = 64) -> Discriminator:
    """PatchGAN of 70x70 pixels with instance norm: (n, 3, h, w) to (n, 1, h/8 - 2, w/8 - 2), h and w at least 24."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, padding=1), nn.LeakyReLU(SLOPE)]
    channels = width
    for factor, stride in ((2, 2), (4, 2), (8, 1)):
        layers += (
            nn.Conv2d(channels, factor * width, 4, stride, padding=1, bias=False),
            nn.InstanceNorm2d(factor * width),
            nn.LeakyReLU(SLOPE),
        )
        channels = factor * width
    return Discriminator(nn.Sequential(*layers), nn.Sequential(nn.Conv2d(channels, 1, 4, padding=1)), smallest=24)
