"""Blind deblurring: the kernel of a small synthetic picture is found."""

import numpy as np
import pytest
from scenes import blurred, scene, swirl

from cnlrn import classical
from cnlrn.classical import alignment, kernels
from cnlrn.classical.coarse_to_fine import Step
from cnlrn.classical.edges import strong
from cnlrn.classical.fourier import gradients
from cnlrn.errors import CnlrnError

SYSTEMS = sorted(classical.KERNELS)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_kernel_of_a_blurry_picture_is_found(system: str) -> None:
    sharp = scene(128)
    blurry = blurred(sharp, swirl(), noise=0.005)
    kernel = classical.KERNELS[system](blurry, 11)
    assert kernel.shape == (11, 11)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel.min() >= 0
    inner = sharp[8:-8, 8:-8]
    assert kernels.similarity(kernel, swirl()) > 0.75
    assert kernels.similarity(kernel, swirl()) > kernels.similarity(kernels.point(11), swirl()) + 0.2
    restored = classical.hyper_laplacian(blurry, kernel)
    assert alignment.least_error(restored, inner) < 0.5 * alignment.least_error(blurry, inner)


@pytest.mark.parametrize("deblur", [classical.dark_channel, classical.fast_motion, classical.unnatural_l0])
def test_a_colour_picture_is_deblurred_by_the_kernel_of_its_gray_values(deblur: classical.Blind) -> None:
    gray = blurred(scene(80), swirl(7))
    parts = list[float]()
    sharp, kernel = deblur(np.stack([gray, gray, gray], axis=-1), 7, progress=parts.append)
    _, same = deblur(gray, 7)
    assert sharp.shape == (64, 64, 3)
    assert kernels.similarity(kernel, same) > 0.95
    np.testing.assert_allclose(sharp[..., 0], sharp[..., 2], atol=1e-5)
    assert parts == sorted(parts)
    assert parts[-1] == pytest.approx(1)


def test_a_kernel_too_large_for_its_picture_is_refused_with_the_largest_that_fits() -> None:
    with pytest.raises(CnlrnError, match=r"31x31 pixels is too large for a picture of 50x40; give one of at most 20"):
        classical.unnatural_l0(np.zeros((40, 50), np.float32))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_plain_picture_has_a_kernel_too(system: str) -> None:
    kernel = classical.KERNELS[system](np.full((48, 48), 0.5, np.float32), 7)
    assert np.isfinite(kernel).all()
    assert kernel.sum() == pytest.approx(1, abs=1e-5)


def test_only_strong_edges_count_but_some_of_each_direction() -> None:
    picture = np.zeros((64, 64), np.float32)
    picture[20:44, 20:44] = 0.5
    picture += np.random.default_rng(0).normal(0, 0.01, picture.shape).astype(np.float32)
    across, down = strong(gradients(picture), 5, Step(0, 0, 0.01), share=0.05)
    assert np.count_nonzero(across[22:42, 19]) > 10
    assert np.count_nonzero(down[19, 22:42]) > 10
    assert np.count_nonzero(across) < 0.1 * across.size
