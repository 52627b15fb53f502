"""PSNR and SSIM of a network on folders of pairs, by the paper's protocol, during training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from cnlrn.data import pictures
from cnlrn.data.sources import match, reds
from cnlrn.degradation import SCALE
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import Score, mean, score
from cnlrn.networks.base import RestorationNetwork, restore

Byte = npt.NDArray[np.uint8]
Pairs = list[tuple[Path, Path]]

_SHOWN = 3


@dataclass(frozen=True)
class Result:
    """The mean score of a set, and sheets of its first pictures: blurry, restored and sharp side by side, uint8 HWC."""

    score: Score
    sheets: list[Byte]


def pairs(folder: Path) -> Pairs:
    """(LR, HR) files of a folder that holds blurry_x4/ and sharp/, matched by name; CnlrnError where they do not match.

    In a folder with the layout of REDS they are those of Val300: frames 9, 19, ..., 99 of each validation clip.
    """
    if (folder / "val_sharp").is_dir():
        return [pair for pair in reds(folder, "val") if pair[0].stem.endswith("9")]
    return match(folder / "blurry_x4", folder / "sharp")


def validate(network: RestorationNetwork, sets: Mapping[str, Pairs], scale: int) -> dict[str, Result]:
    """Score the network's exit `scale` on each set, in float32.

    At x1 and x2 the sharp pictures are reduced by the protocol's bicubic. CnlrnError names what cannot be read.
    """
    return {name: _validate(network, files, scale) for name, files in sets.items()}


def _validate(network: RestorationNetwork, files: Pairs, scale: int) -> Result:
    scores: list[Score] = []
    sheets: list[Byte] = []
    device = next(network.parameters()).device
    for lr_file, hr_file in files:
        lr, hr = _read(lr_file), _read(hr_file)
        sharp = hr if scale == SCALE else _bytes(bicubic(hr, scale / SCALE) / np.float32(255))
        x = torch.from_numpy(lr).to(device).permute(2, 0, 1)[None].float() / 255
        restored = _bytes(restore(network, x, scale)[0].permute(1, 2, 0).cpu().numpy())
        try:
            scores.append(score(restored, sharp))
        except CnlrnError as error:
            raise CnlrnError(f"{hr_file}: {error}") from error
        if len(sheets) < _SHOWN:
            blurry = cv2.resize(lr, (sharp.shape[1], sharp.shape[0]), interpolation=cv2.INTER_CUBIC)
            sheets.append(np.concatenate([blurry, restored, sharp], axis=1))
    return Result(mean(scores), sheets)


def _read(file: Path) -> Byte:
    picture = pictures.read(file)
    if picture is None:
        raise CnlrnError(f"{file} cannot be read as a picture; mend or remove it and its partner")
    return picture


def _bytes(picture: npt.NDArray[np.float32]) -> Byte:
    return np.asarray(np.clip(np.rint(picture * 255), 0, 255), np.uint8)
