"""What every restoration network of this package declares, and `restore`, which runs one on a picture of any size.

Networks only see 3-channel pictures whose sides are multiples of `RestorationNetwork.multiple`; padding, cropping, gray
pictures and tiles where memory is short are dealt with here, once. Reading files and self-ensemble are not here: see
`cnlrn.restoration.restorer`.
"""

import math
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from cnlrn.errors import CnlrnError
from cnlrn.networks import memory
from cnlrn.restoration import tiling as tiles

_SMALL = 96**2
"""LR pixels for which there is always memory."""


class LevelOfDetail(NamedTuple):
    """One level of a network that works coarse to fine: its features are made of the whole picture before the next's.

    `reduction`: how many pixels of the picture a feature is wide and high. `channels`: of a feature. `context`: pixels
    of the picture around a tile after which the tile's features equal those of the whole. `multiple`: a tile begins and
    ends at multiples of so many pixels of the picture, which divide the network's own.
    """

    reduction: int
    channels: int
    context: int
    multiple: int


class RestorationNetwork(nn.Module):
    """A network that turns a blurry LR picture into a sharp one at one or more scales.

    Attributes:
        scales: enlargements the network can give, ascending, e.g. (1, 2, 4); each is one exit.
        multiple: height and width of the LR picture must be multiples of this many pixels.
        context: LR pixels around a tile after which the tile's result equals that of the whole picture;
            None when the network looks at the whole picture.
        coarse_to_fine: levels that are made of the whole picture beforehand, each from the one before; `context` is
            then that of what is left to do.
        deblurring: name of the attribute that holds a deblurring module, which training may treat apart; None when the
            network has no such part.
    """

    scales: tuple[int, ...]
    multiple: int
    context: int | None
    coarse_to_fine: tuple[LevelOfDetail, ...] = ()
    deblurring: str | None = None

    def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
        """Restore `lr` (n, 3, h, w), float32 in [0, 1], to (n, 3, scale*h, scale*w), not clipped.

        A subclass calls `check_scale` first, which raises CnlrnError for a scale it does not have.
        """
        raise NotImplementedError

    def outputs(self, lr: Tensor) -> dict[int, Tensor]:
        """Restore `lr` (n, 3, h, w) at every scale: scale -> (n, 3, scale*h, scale*w), as `forward` does one by one.

        A subclass of several exits makes them all in one pass.
        """
        return {scale: self(lr, scale) for scale in self.scales}

    def training_outputs(self, lr: Tensor, scales: Collection[int]) -> dict[int, list[Tensor]]:
        """The pictures that training compares with the sharp one, for each exit in `scales`: its own comes last.

        Before it come pictures of earlier stages, of any size, where a subclass has such and its paper trains them too.
        """
        if len(scales) == 1:
            (scale,) = scales
            return {scale: [self(lr, scale)]}
        outputs = self.outputs(lr)
        return {scale: [outputs[scale]] for scale in scales}

    def survey(self, lr: Tensor) -> Tensor | None:
        """What the network has to know of a whole picture `lr` (n, 3, h, w) before it restores a part, (n, k).

        These are means over the picture's pixels. A subclass that needs any takes them as `survey` in `forward` and
        `outputs`, and makes them of `lr` itself if they are not given. None where it needs nothing.
        """
        return None

    def level(self, index: int, lr: Tensor, survey: Tensor | None, before: Tensor | None) -> Tensor:
        """The features of level `index` of a part `lr` (n, 3, h, w): (n, channels, h/reduction, w/reduction).

        `survey` is that of the whole picture, and `before` are the features of the level before, None for the first. A
        subclass with levels takes the last level's features as `features` in `forward` and `outputs`.
        """
        raise NotImplementedError

    def project_target(self, lr: Tensor, target: Tensor, scale: int) -> Tensor:
        """What training should ask of the exit `scale` for `lr` in place of `target` (n, 3, scale*h, scale*w).

        A subclass whose results are bound to something, such as the light of `lr`, applies the same to `target`,
        so that the loss does not pull where the network cannot go.
        """
        return target

    def check_scale(self, scale: int) -> None:
        """Raise CnlrnError when the network has no exit for `scale`."""
        if scale not in self.scales:
            known = ", ".join(f"x{s}" for s in self.scales)
            raise CnlrnError(f"{type(self).__name__} has no exit for x{scale}: choose from {known}.")


@torch.no_grad()
def restore(net: RestorationNetwork, lr: Tensor, scale: int = 4, area: int | None = None) -> Tensor:
    """Restore pictures of any size, colour or gray, without gradients.

    The picture is mirrored at its right and lower border (its edge repeated where it is too small to mirror) up to
    `net.multiple`, and the result cropped back. Gray is repeated to three channels, the three results averaged.

    Where half of the free memory is too little for the whole picture it is restored in tiles: with the same result if
    the network has a `context`, else they are blended into one another.

    Args:
        net: the network, on the device of `lr`.
        lr: (n, 1 or 3, h, w), float in [0, 1].
        scale: one of `net.scales`.
        area: LR pixels to compute at once; from the free memory when None.

    Returns:
        (n, 1 or 3, scale*h, scale*w), same channels as `lr`, not clipped.

    Raises:
        CnlrnError: the shape is not one of the above, the network has no such scale, its result is not finite, or
            memory ran out.
    """
    net.check_scale(scale)
    if lr.ndim != 4 or lr.shape[1] not in (1, 3) or 0 in lr.shape:
        raise CnlrnError(f"Pictures must be (n, 1 or 3, height, width) and not empty, but these are {tuple(lr.shape)}.")
    pictures = [_restore(net, picture.expand(3, -1, -1)[None], scale, area) for picture in lr]
    restored = pictures[0] if len(pictures) == 1 else torch.cat(pictures)
    if not all(bool(extreme.isfinite()) for extreme in restored.aminmax()):
        raise CnlrnError(f"{type(net).__name__} gives NaN or infinity for a picture; its weights are of no use")
    return restored.mean(dim=1, keepdim=True) if lr.shape[1] == 1 else restored


def _restore(net: RestorationNetwork, lr: Tensor, scale: int, area: int | None) -> Tensor:
    """One picture (1, 3, h, w), in one piece or in tiles, which are made smaller if memory runs out nevertheless."""
    height, width = (size + -size % net.multiple for size in lr.shape[2:])
    margin = tiles.BLEND if (context := _context(net)) is None else context
    least = min(height * width, (3 * margin) ** 2)  # smaller tiles would be mostly margin
    area = max(least, _fitting(net, height, width, scale, lr.device)) if area is None else area
    while True:
        try:
            return _whole(net, lr, scale) if area >= height * width else _tiled(net, lr, scale, area)
        except (RuntimeError, MemoryError) as error:
            if not memory.ran_out(error):
                raise
        if area <= least:
            raise CnlrnError(
                f"there is not enough memory for {type(net).__name__} on {lr.shape[3]}x{lr.shape[2]} pixels; "
                "close other programs, or take a smaller picture or network"
            )
        area = max(least, min(area, height * width) // 4)


def _fitting(net: RestorationNetwork, height: int, width: int, scale: int, device: torch.device) -> int:
    """How many LR pixels of a picture fit into half of the free memory; all, or those of a square."""
    area = height * width
    if area <= _SMALL:
        return area
    room = memory.free(device) // 2
    while memory.needed(net, height, width, scale) > room and min(height, width) > net.multiple:
        area //= 2
        height = width = math.isqrt(area) // net.multiple * net.multiple or net.multiple
    return area


def _context(net: RestorationNetwork) -> int | None:
    """That of a tile of which no level is known."""
    return None if net.context is None else net.context + sum(level.context for level in net.coarse_to_fine)


def _whole(net: RestorationNetwork, lr: Tensor, scale: int) -> Tensor:
    height, width = lr.shape[2:]
    restored: Tensor = net(_pad_side(_pad_side(lr, net.multiple, 2), net.multiple, 3), scale)
    return restored[:, :, : height * scale, : width * scale]


def _tiled(net: RestorationNetwork, lr: Tensor, scale: int, area: int) -> Tensor:
    height, width = lr.shape[2:]
    survey = net.survey(_pad_side(_pad_side(lr, net.multiple, 2), net.multiple, 3))
    known = {} if survey is None else {"survey": survey}

    def restore_piece(piece: NDArray[np.float32]) -> NDArray[np.float32]:
        restored = net(torch.from_numpy(piece).to(lr.device).permute(2, 0, 1)[None].contiguous(), scale, **known)
        return np.asarray(restored[0].permute(1, 2, 0).cpu().numpy(), np.float32)

    pixels = lr[0].permute(1, 2, 0).cpu().numpy()
    restored = torch.empty(1, 3, height * scale, width * scale, device=lr.device)
    for top, left, block in tiles.blocks(
        restore_piece,
        lambda rows, columns: pixels[rows, columns],
        height,
        width,
        scale=scale,
        area=area,
        context=_context(net),
        multiple=net.multiple,
    ):
        placed = restored[0, :, top : top + block.shape[0], left : left + block.shape[1]]
        placed[:] = torch.from_numpy(block).permute(2, 0, 1)
    return restored


def _pad_side(x: Tensor, multiple: int, dim: int) -> Tensor:
    """Lengthen dimension `dim` (2 or 3) of an NCHW tensor at its end, up to the next multiple."""
    size = x.shape[dim]
    missing = -size % multiple
    if not missing:
        return x
    amounts = (0, missing, 0, 0) if dim == 3 else (0, 0, 0, missing)
    return F.pad(x, amounts, mode="reflect" if missing < size else "replicate")
