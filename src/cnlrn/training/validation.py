"""PSNR and SSIM of a network on sets of pairs, by the paper's protocol, during training."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from cnlrn.data.sets import PairSet, open_set
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import BORDERS, Score, mean, score
from cnlrn.evaluation.pairs import compared
from cnlrn.networks.base import RestorationNetwork, restore

Byte = npt.NDArray[np.uint8]

_SHOWN = 3


@dataclass(frozen=True)
class Result:
    """The mean score of a set, and sheets of its first pictures: blurry, restored and sharp side by side, uint8 HWC."""

    score: Score
    sheets: list[Byte]


def open_sets(folders: Mapping[str, Path], scale: int) -> dict[str, PairSet]:
    """The sets of a recipe, for a network whose exit `scale` is validated.

    CnlrnError where one cannot be opened, or is of pairs of one size and the network enlarges.
    """
    sets = {name: open_set(folder) for name, folder in folders.items()}
    for name, pairs in sets.items():
        if scale > pairs.scale:
            raise CnlrnError(
                f"validation.{name} is a set of pairs of one size, and the network is trained to enlarge x{scale}; "
                "validate it on a set of x4 pairs"
            )
    return sets


def validate(network: RestorationNetwork, sets: Mapping[str, PairSet], scale: int) -> dict[str, Result]:
    """Score the network's exit `scale` on each set, in float32.

    At x1 and x2 the sharp pictures of x4 pairs are reduced by the protocol's bicubic. Pairs of one size are scored with
    a border of 16 pixels, others with 4. CnlrnError names the picture that cannot be
    read, on which memory runs out, or of which the network makes NaN or infinity.
    """
    return {name: _validate(network, files, scale) for name, files in sets.items()}


def _validate(network: RestorationNetwork, pairs: PairSet, scale: int) -> Result:
    scores: list[Score] = []
    sheets: list[Byte] = []
    device = next(network.parameters()).device
    target = partial(_target, reduction=pairs.scale // scale)
    for pair in pairs:
        lr, hr = pair.read()
        sharp = target(hr)
        x = torch.from_numpy(lr).to(device).permute(2, 0, 1)[None].float() / 255
        try:
            restored = _rounded(restore(network, x, scale)[0])
            scores.append(score(*compared(pair, restored, sharp, target), BORDERS[pairs.scale]))
        except CnlrnError as error:
            raise CnlrnError(f"{pair.blurry}: {error}") from error
        if len(sheets) < _SHOWN:
            blurry = cv2.resize(lr, (sharp.shape[1], sharp.shape[0]), interpolation=cv2.INTER_CUBIC)
            sheets.append(np.concatenate([blurry, restored, sharp], axis=1))
    return Result(mean(scores), sheets)


def _target(sharp: Byte, reduction: int) -> Byte:
    return sharp if reduction == 1 else _bytes(bicubic(sharp, 1 / reduction) / np.float32(255))


def _rounded(picture: torch.Tensor) -> Byte:
    """(3, h, w) in [0, 1] to uint8 HWC; what is given is overwritten, to spare memory."""
    return picture.mul_(255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def _bytes(picture: npt.NDArray[np.float32]) -> Byte:
    return np.asarray(np.clip(np.rint(picture * 255), 0, 255), np.uint8)
