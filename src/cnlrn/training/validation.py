"""PSNR and SSIM of a network on sets of pairs, by the paper's protocol, during training."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt
import torch

from cnlrn.data.sets import PairSet
from cnlrn.degradation import SCALE
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import Score, mean, score
from cnlrn.evaluation.pairs import compared
from cnlrn.networks.base import RestorationNetwork, restore

Byte = npt.NDArray[np.uint8]

_SHOWN = 3


@dataclass(frozen=True)
class Result:
    """The mean score of a set, and sheets of its first pictures: blurry, restored and sharp side by side, uint8 HWC."""

    score: Score
    sheets: list[Byte]


def validate(network: RestorationNetwork, sets: Mapping[str, PairSet], scale: int) -> dict[str, Result]:
    """Score the network's exit `scale` on each set, in float32.

    At x1 and x2 the sharp pictures are reduced by the protocol's bicubic. CnlrnError names the picture that cannot be
    read, on which memory runs out, or of which the network makes NaN or infinity.
    """
    return {name: _validate(network, files, scale) for name, files in sets.items()}


def _validate(network: RestorationNetwork, pairs: PairSet, scale: int) -> Result:
    scores: list[Score] = []
    sheets: list[Byte] = []
    device = next(network.parameters()).device
    for pair in pairs:
        lr, hr = pair.read()
        sharp = _target(hr, scale)
        x = torch.from_numpy(lr).to(device).permute(2, 0, 1)[None].float() / 255
        try:
            restored = _rounded(restore(network, x, scale)[0])
            scores.append(score(*compared(pair, restored, sharp, partial(_target, scale=scale))))
        except CnlrnError as error:
            raise CnlrnError(f"{pair.blurry}: {error}") from error
        if len(sheets) < _SHOWN:
            blurry = cv2.resize(lr, (sharp.shape[1], sharp.shape[0]), interpolation=cv2.INTER_CUBIC)
            sheets.append(np.concatenate([blurry, restored, sharp], axis=1))
    return Result(mean(scores), sheets)


def _target(sharp: Byte, scale: int) -> Byte:
    return sharp if scale == SCALE else _bytes(bicubic(sharp, scale / SCALE) / np.float32(255))


def _rounded(picture: torch.Tensor) -> Byte:
    """(3, h, w) in [0, 1] to uint8 HWC; what is given is overwritten, to spare memory."""
    return picture.mul_(255).round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def _bytes(picture: npt.NDArray[np.float32]) -> Byte:
    return np.asarray(np.clip(np.rint(picture * 255), 0, 255), np.uint8)
