import numpy as np
import pytest
from scenes import blurred, scene, swirl

from cnlrn.classical import alignment, kernels
from cnlrn.classical.coarse_to_fine import solve_kernel
from cnlrn.classical.fourier import gradients
from cnlrn.classical.pictures import noise_of
from cnlrn.errors import CnlrnError


def test_similarity_is_one_for_shifted_kernels_and_less_for_others() -> None:
    kernel = np.pad(swirl(), 4)
    assert kernels.similarity(kernel, np.roll(kernel, (3, -2), (0, 1))) == pytest.approx(1, abs=1e-5)
    assert kernels.similarity(kernel, kernel[::-1, ::-1]) < 0.9
    assert kernels.similarity(kernel, kernels.point(5)) < 0.7


def test_a_kernel_is_centred_as_far_as_nothing_leaves_its_frame() -> None:
    corner = np.zeros((7, 7), np.float32)
    corner[0, :2] = 0.5
    assert kernels.centred(corner)[3].argmax() in (2, 3)
    wide = np.zeros((7, 7), np.float32)
    wide[0, 0], wide[0, 6] = 0.9, 0.1
    np.testing.assert_array_equal(kernels.centred(wide)[3], wide[0])


def test_cleaning_removes_noise_and_islands_but_never_all() -> None:
    kernel = np.zeros((9, 9), np.float32)
    kernel[4, 2:7], kernel[0, 0], kernel[7, 7] = 0.2, 0.04, 0.005
    kept = kernels.cleaned(kernel)
    assert set(zip(*np.nonzero(kept), strict=True)) == {(4, column) for column in range(2, 7)}
    assert kept.sum() == pytest.approx(1)
    assert kernels.cleaned(np.full((9, 9), 1 / 81, np.float32)).sum() == pytest.approx(1)
    np.testing.assert_array_equal(kernels.cleaned(np.zeros((3, 3), np.float32)), kernels.point(3))


def test_an_even_kernel_becomes_odd_and_of_sum_one() -> None:
    kernel = kernels.checked(np.ones((4, 3)))
    assert kernel.shape == (5, 3)
    assert kernel.sum() == pytest.approx(1)


def test_the_kernel_between_a_sharp_and_a_blurry_picture_is_found() -> None:
    sharp = scene(112)
    blurry = blurred(sharp, swirl())
    found = solve_kernel(gradients(blurry), gradients(sharp[8:-8, 8:-8]), kernels.point(9), ridge=0.01)
    assert kernels.similarity(np.maximum(found, 0), swirl()) > 0.93


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_noise_of_a_blurry_picture_is_told_within_a_fifth(noise: float) -> None:
    assert noise_of(blurred(scene(112), swirl(), noise)) == pytest.approx(noise, rel=0.2)


def test_a_shifted_picture_has_no_error_at_the_best_shift() -> None:
    sharp = scene(80)
    assert alignment.least_error(np.roll(sharp, (2, -3), (0, 1)), sharp) < 1e-9
    half = np.asarray((sharp + np.roll(sharp, 1, 1)) / 2, np.float32)
    assert alignment.least_error(sharp, half) < 0.01 * np.square(sharp - half).mean()


def test_the_error_ratio_is_one_for_the_known_kernel() -> None:
    sharp = scene(80)
    brighter = np.asarray(sharp + np.linspace(0, 0.02, 80), np.float32)
    assert alignment.error_ratio(brighter, brighter, sharp) == 1
    worse = sharp + 2 * (brighter - sharp)
    assert alignment.error_ratio(worse, brighter, sharp) == pytest.approx(4, rel=0.1)


def test_pictures_of_two_sizes_cannot_be_compared() -> None:
    with pytest.raises(CnlrnError, match="of one size"):
        alignment.least_error(scene(64), scene(66))
