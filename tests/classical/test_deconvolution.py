"""Non-blind deconvolution: a known kernel, a small synthetic picture."""

from collections.abc import Callable

import numpy as np
import pytest
from scenes import blurred, psnr, scene, swirl

from cnlrn import classical
from cnlrn.classical import deconvolution
from cnlrn.classical.fourier import Float
from cnlrn.errors import CnlrnError

Deconvolve = Callable[[Float, Float], Float]


@pytest.mark.parametrize(
    ("deconvolve", "gain"),
    [
        (classical.wiener, 3.0),
        (classical.richardson_lucy, 3.0),
        (classical.total_variation, 5.0),
        (classical.hyper_laplacian, 5.0),
    ],
)
def test_a_known_kernel_is_undone_without_ringing_from_the_border(deconvolve: Deconvolve, gain: float) -> None:
    sharp = scene(96)
    blurry = blurred(sharp, swirl(), noise=0.005)
    inner = sharp[8:-8, 8:-8]
    restored = deconvolve(blurry, swirl())
    assert restored.shape == blurry.shape
    assert psnr(restored, inner) > psnr(blurry, inner) + gain


def test_each_channel_of_a_colour_picture_is_restored_like_a_gray_one() -> None:
    sharp = np.stack([scene(64), 1 - scene(64)], axis=-1)
    blurry = np.stack([blurred(sharp[..., channel], swirl()) for channel in range(2)], axis=-1)
    restored = classical.hyper_laplacian(blurry, swirl(), weight=3000)
    for channel in range(2):
        alone = classical.hyper_laplacian(blurry[..., channel], swirl(), weight=3000)
        np.testing.assert_allclose(restored[..., channel], alone, atol=1e-5)


def test_saturated_pixels_make_no_rings() -> None:
    sharp = 0.5 * scene(96)
    sharp[40:44, 60:64] = 8.0
    blurry = blurred(sharp, swirl())
    around = np.zeros((80, 80), bool)
    around[16:52, 36:72] = True
    around[28:40, 48:60] = False
    restored = classical.hyper_laplacian(blurry, swirl())
    naive = classical.hyper_laplacian(np.float32(0.98) * blurry, swirl()) / np.float32(0.98)
    inner = sharp[8:-8, 8:-8]
    assert psnr(restored[around], inner[around]) > psnr(naive[around], inner[around]) + 3


def test_a_picture_in_tiles_is_like_one_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    blurry = blurred(scene(160), swirl(), noise=0.005)
    whole = classical.hyper_laplacian(blurry, swirl(), weight=3000)
    monkeypatch.setattr(deconvolution, "TILE", 80)
    assert psnr(classical.hyper_laplacian(blurry, swirl(), weight=3000), whole) > 40


def test_light_stays() -> None:
    plain = np.full((40, 50, 3), 0.3, np.float32)
    for deconvolve in (classical.wiener, classical.richardson_lucy, classical.hyper_laplacian):
        np.testing.assert_allclose(deconvolve(plain, swirl()), 0.3, atol=2e-3)


@pytest.mark.parametrize(
    ("picture", "kernel", "message"),
    [
        (np.zeros((20, 20), np.uint8), swirl(), "floats in"),
        (np.full((20, 20), np.nan, np.float32), swirl(), "floats in"),
        (np.zeros((20, 20, 3, 1), np.float32), swirl(), "height x width"),
        (np.zeros((20, 20), np.float32), np.zeros((3, 3), np.float32), "not all zero"),
        (np.zeros((20, 20), np.float32), -swirl(), "no negative"),
        (np.zeros((20, 20), np.float32), np.ones(5, np.float32), "height x width"),
    ],
)
def test_what_is_no_picture_or_kernel_is_refused(picture: Float, kernel: Float, message: str) -> None:
    with pytest.raises(CnlrnError, match=message):
        classical.hyper_laplacian(picture, kernel)
