"""PSNR and SSIM by the paper's protocol: 8-bit RGB, a border of 4 pixels left out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

from cnlrn.errors import CnlrnError

Byte = npt.NDArray[np.uint8]

BORDER = 4
_WINDOW = 11


@dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM (1 is equal)."""

    psnr: float
    ssim: float


def score(restored: Byte, sharp: Byte) -> Score:
    """PSNR and SSIM of two uint8 HWC RGB pictures of one size, after cropping 4 pixels from each border.

    PSNR is 10 log10(255^2 / MSE) over all channels, at most 168.1 dB (equal pictures). SSIM (Wang et al., IEEE TIP
    2004) has an 11x11 gaussian window of sigma 1.5, in the region where the window fits, mean over channels. CnlrnError
    where the sizes differ or are below 19 pixels. Source: the figures for REDS and DVD in Bai et al., CVPRW 2021.
    """
    if restored.shape != sharp.shape:
        raise CnlrnError(f"the restored picture is {_size(restored)}, the sharp one {_size(sharp)}; they must be equal")
    if min(sharp.shape[:2]) < 2 * BORDER + _WINDOW:
        raise CnlrnError(f"a picture of {_size(sharp)} is too small to score; {2 * BORDER + _WINDOW} pixels are needed")
    inner = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    a, b = restored[inner].astype(np.float64), sharp[inner].astype(np.float64)
    error = max(float(np.mean((a - b) ** 2)), 1e-12)
    ssim = structural_similarity(  # type: ignore[no-untyped-call]
        a, b, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return Score(float(10 * np.log10(255.0**2 / error)), float(ssim))


def mean(scores: list[Score]) -> Score:
    """The mean over pictures of each figure."""
    return Score(float(np.mean([s.psnr for s in scores])), float(np.mean([s.ssim for s in scores])))


def _size(picture: Byte) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
