"""ZSSR: "Zero-Shot" Super-Resolution using Deep Internal Learning (Shocher, Cohen, Irani, CVPR 2018).

No weights and no data but the picture itself: a small network learns to undo the reduction of that picture by a given
kernel, then enlarges it. KernelGAN (`cnlrn.networks.kernelgan`) gives the kernel. Where the paper lowers the learning
rate when the error stops falling, it falls here to a tenth after each quarter of the given steps. The paper's
back-projection is left out: it amplifies the noise of real pictures.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cnlrn.degradation.resize import bicubic
from cnlrn.networks.blocks import Bicubic, conv3

WIDTH, DEPTH = 64, 8
RATE = 1e-3  # of Adam in the first quarter of the steps; a tenth in each of the next
CROP = 128  # side of a training sample at most, in pixels of the larger picture
SIZES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # of the picture, as examples of what to restore


class ZSSR(nn.Module):
    """Eight convolutions on an enlarged picture (n, 3, h, w), which give what it lacks (paper, sec. 3.1)."""

    def __init__(self) -> None:
        """Build with random weights."""
        super().__init__()
        self.layers = nn.Sequential(conv3(3, WIDTH), nn.ReLU())
        for _ in range(DEPTH - 2):
            self.layers.extend((conv3(WIDTH, WIDTH), nn.ReLU()))
        self.layers.append(conv3(WIDTH, 3))

    def forward(self, enlarged: Tensor) -> Tensor:
        """RGB (n, 3, h, w) about [0, 1] to the same shape, not clipped."""
        missing: Tensor = self.layers(enlarged)
        return enlarged + missing


def downscale(picture: Tensor, kernel: Tensor, factor: int) -> Tensor:
    """Reduce `picture` (n, c, h, w) to (n, c, ceil(h/factor), ceil(w/factor)) by correlation with `kernel`.

    The kernel (odd side) is centred on every `factor`-th pixel, from the first; borders are repeated. A kernel whose
    centre of mass lies (factor - 1) / 2 pixels right of and below its middle does not move the picture.
    """
    reach = kernel.shape[0] // 2
    edged = F.pad(picture, (reach, reach, reach, reach), mode="replicate").transpose(0, 1)
    channels = len(edged)
    reduced = F.conv2d(edged.reshape(-1, 1, *edged.shape[2:]), kernel[None, None], stride=factor)
    return reduced.reshape(channels, -1, *reduced.shape[2:]).transpose(0, 1)


def super_resolve(lr: Tensor, kernels: Mapping[int, Tensor], steps: int = 1000, seed: int = 0) -> Tensor:
    """Enlarge a picture by the largest factor in `kernels`, by a network trained on that picture alone.

    Factors are taken in turn, smallest first; the result of each is one more example for the next ("gradual" in the
    paper, sec. 3.2). The same seed gives the same picture on a CPU.

    Args:
        lr: (1, 3, h, w), float in [0, 1], sides of at least the largest factor.
        kernels: factor (2 or 4) to the kernel of the reduction by it, as `downscale` takes it.
        steps: of training, for each factor.
        seed: of weights and samples.

    Returns:
        (1, 3, factor*h, factor*w), in [0, 1].
    """
    examples = [_resized(lr, size) for size in SIZES]
    devices = [] if lr.device.type == "cpu" else [lr.device]
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        network = ZSSR().to(lr.device)
        for factor, kernel in sorted(kernels.items()):
            usable = [example for example in examples if min(example.shape[2:]) >= factor]
            _train(network, usable, kernel, factor, steps)
            enlarged = ensemble(network, Bicubic(factor).to(lr.device)(lr))
            examples.append(enlarged)
    return enlarged


def _train(network: ZSSR, examples: list[Tensor], kernel: Tensor, factor: int, steps: int) -> None:
    """Train `network` to undo the reduction of `examples` by `factor`; large ones are drawn more often."""
    pairs = []
    for example in examples:
        height, width = (side - side % factor for side in example.shape[2:])
        whole = example[..., :height, :width]
        enlarged = Bicubic(factor).to(whole.device)(downscale(whole, kernel, factor))
        pairs.append(torch.cat((enlarged, whole)))
    areas = torch.tensor([float(pair[0, 0].numel()) for pair in pairs])
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, max(1, steps // 4), 0.1)
    for choice in torch.multinomial(areas, steps, replacement=True).tolist():
        pair = _turned(_cropped(pairs[choice]), int(torch.randint(8, ())))
        descend(optimiser, F.l1_loss(network(pair[:1]), pair[1:]))
        schedule.step()


def descend(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of `optimiser` down the gradient of `loss`."""
    optimiser.zero_grad()
    torch.autograd.backward(loss)
    optimiser.step()


def _cropped(pair: Tensor) -> Tensor:
    """A random part of at most CROP pixels a side."""
    top, left = (int(torch.randint(max(0, side - CROP) + 1, ())) for side in pair.shape[2:])
    return pair[..., top : top + CROP, left : left + CROP]


def _turned(x: Tensor, way: int) -> Tensor:
    """One of the eight flips and rotations, 0 to 7; 0 is `x` itself."""
    return torch.rot90(x.flip(3) if way >= 4 else x, way % 4, (2, 3))


def _returned(x: Tensor, way: int) -> Tensor:
    """What `_turned` gives, back as it was."""
    back = torch.rot90(x, -(way % 4), (2, 3))
    return back.flip(3) if way >= 4 else back


@torch.no_grad()
def ensemble(network: ZSSR, enlarged: Tensor) -> Tensor:
    """The median of the results of all flips and rotations, in [0, 1] (paper, sec. 3.1)."""
    results = [_returned(network(_turned(enlarged, way)), way) for way in range(8)]
    return torch.stack(results).median(dim=0).values.clamp(0, 1)


def _resized(lr: Tensor, size: float) -> Tensor:
    """`lr` (1, 3, h, w) reduced by the protocol's bicubic."""
    small = bicubic(lr[0].permute(1, 2, 0).cpu().numpy(), size)
    return torch.from_numpy(small).permute(2, 0, 1)[None].to(lr)
