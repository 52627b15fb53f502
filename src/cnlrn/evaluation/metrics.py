"""Figures for a restored picture, found by name with `metric`: PSNR and SSIM by the paper's protocol, and on luma.

NIQE and ST-LPIPS, which need the extras `niqe` and `st-lpips`, are computed in `cnlrn.evaluation.perceptual`. What
each figure means is in docs/metrics.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

from cnlrn.errors import CnlrnError, cut, nearest

Byte = npt.NDArray[np.uint8]
Double = npt.NDArray[np.float64]

BORDERS = {4: 4, 1: 16}
"""Pixels cropped from each side, by how many times the result is as wide and high as the blurry picture."""
BORDER = BORDERS[4]
_WINDOW = 11


@dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM (1 is equal)."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Metric:
    """A figure for one picture.

    Attributes:
        name: what `metric` finds it by.
        title: the heading of its column in a table.
        higher_is_better: whether a larger figure is a better picture.
        digits: how many decimals a table shows.
        needs_sharp: whether the sharp picture counts; where it does not, the second argument is ignored.
        function: (restored, sharp), uint8 HWC RGB of one size -> the figure; CnlrnError for unfit sizes.
    """

    name: str
    title: str
    higher_is_better: bool
    digits: int
    needs_sharp: bool
    function: Callable[[Byte, Byte], float] = field(compare=False)

    def gain(self, figure: float, base: float) -> float:
        """By how much `figure` is better than `base`."""
        return figure - base if self.higher_is_better else base - figure


def names() -> tuple[str, ...]:
    """The names that `metric` knows."""
    return ("psnr", "ssim", "psnr-y", "ssim-y", "niqe", "st-lpips")


def metric(name: str, border: int = BORDER) -> Metric:
    """The metric called `name`, one of `names()`; psnr-y and ssim-y take another border as in "psnr-y:8" (pixels).

    `border` is what PSNR and SSIM leave out at each side otherwise, in pixels, one of `BORDERS`.
    CnlrnError where there is no such metric, with the nearest, or where its extra is not installed.
    """
    kind, colon, pixels = name.partition(":")
    if kind not in names():
        raise CnlrnError(f'there is no metric called "{cut(name)}": {nearest(cut(kind), names())}')
    if colon and not (kind.endswith("-y") and pixels.isascii() and pixels.isdigit()):
        raise CnlrnError(
            f'there is no metric called "{cut(name)}": only psnr-y and ssim-y take a border, as in psnr-y:8'
        )
    border = int(pixels) if colon else border
    suffix = f", border {border}" if colon else ""
    match kind:
        case "psnr":
            return Metric(name, "PSNR (dB)", True, 3, True, partial(psnr, border=border))
        case "ssim":
            return Metric(name, "SSIM", True, 4, True, partial(ssim, border=border))
        case "psnr-y":
            return Metric(name, f"PSNR-Y (dB){suffix}", True, 3, True, partial(psnr_y, border=border))
        case "ssim-y":
            return Metric(name, f"SSIM-Y{suffix}", True, 4, True, partial(ssim_y, border=border))
    try:
        from cnlrn.evaluation import perceptual

        if kind == "niqe":
            perceptual.pristine()
            return Metric(name, "NIQE (frames)", False, 2, False, lambda restored, _: perceptual.niqe(restored))
        perceptual.weights()
        return Metric(name, "ST-LPIPS", False, 4, True, perceptual.st_lpips)
    except ModuleNotFoundError as error:
        raise CnlrnError(f"the metric {name} needs the extra {kind}: pip install 'cnlrn[{kind}]'") from error


def score(restored: Byte, sharp: Byte, border: int = BORDER) -> Score:
    """PSNR and SSIM of two uint8 HWC RGB pictures of one size, after cropping `border` pixels from each side.

    PSNR is 10 log10(255^2 / MSE) over all channels, at most 168.1 dB (equal pictures). SSIM (Wang et al., IEEE TIP
    2004) has an 11x11 gaussian window of sigma 1.5, in the region where the window fits, mean over channels. CnlrnError
    where the sizes differ or are below twice the border and 11 pixels. Source: the figures for REDS and DVD in Bai et
    al., CVPRW 2021, whose border is 4.
    """
    return Score(psnr(restored, sharp, border), ssim(restored, sharp, border))


def psnr(restored: Byte, sharp: Byte, border: int = BORDER) -> float:
    """The PSNR of `score`, in dB."""
    return _psnr(*_inner(restored, sharp, border))


def ssim(restored: Byte, sharp: Byte, border: int = BORDER) -> float:
    """The SSIM of `score`."""
    return _ssim(*_inner(restored, sharp, border))


def psnr_y(restored: Byte, sharp: Byte, border: int = BORDER) -> float:
    """PSNR in dB of the luma Y of two uint8 HWC RGB pictures of one size, `border` pixels cropped from each side.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, from 16 to 235, not rounded: ITU-R BT.601 as MATLAB's `rgb2ycbcr`
    of a picture in doubles. PSNR is taken against 255 as the super-resolution literature does, at most 168.1 dB.
    CnlrnError where the sizes differ or are below twice the border and 11 pixels.
    """
    return _psnr(*map(_luma, _inner(restored, sharp, border)))


def ssim_y(restored: Byte, sharp: Byte, border: int = BORDER) -> float:
    """SSIM of the luma Y of `psnr_y`, with the window and constants of `score`; the same errors."""
    return _ssim(*map(_luma, _inner(restored, sharp, border)))


def mean(scores: list[Score]) -> Score:
    """The mean over pictures of each figure."""
    return Score(float(np.mean([s.psnr for s in scores])), float(np.mean([s.ssim for s in scores])))


def check_sizes(restored: Byte, sharp: Byte, smallest: int) -> None:
    """CnlrnError where two HWC pictures differ in size or have fewer than `smallest` rows or columns."""
    if restored.shape != sharp.shape:
        raise CnlrnError(f"the restored picture is {_size(restored)}, the sharp one {_size(sharp)}; they must be equal")
    if min(sharp.shape[:2]) < smallest:
        raise CnlrnError(f"a picture of {_size(sharp)} is too small to score; {smallest} pixels are needed")


def _inner(restored: Byte, sharp: Byte, border: int) -> tuple[Double, Double]:
    check_sizes(restored, sharp, 2 * border + _WINDOW)
    height, width = sharp.shape[:2]
    inner = np.s_[border : height - border, border : width - border]
    return restored[inner].astype(np.float64), sharp[inner].astype(np.float64)


def _luma(picture: Double) -> Double:
    luma: Double = 16 + picture @ np.array([[65.481], [128.553], [24.966]]) / 255
    return luma


def _psnr(a: Double, b: Double) -> float:
    error = max(float(np.mean((a - b) ** 2)), 1e-12)
    return float(10 * np.log10(255.0**2 / error))


def _ssim(a: Double, b: Double) -> float:
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            a, b, data_range=255, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def _size(picture: Byte) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
