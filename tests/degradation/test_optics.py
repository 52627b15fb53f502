import numpy as np
import pytest

from cnlrn.degradation import optics


@pytest.mark.parametrize("kernel", [optics.disk_psf(2.5), optics.gaussian_psf(1.3)])
def test_kernels_sum_to_one_and_are_symmetric(kernel):
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(kernel, kernel[::-1, ::-1])
    np.testing.assert_array_equal(kernel, kernel.T)


def test_a_disk_covers_its_radius():
    kernel = optics.disk_psf(3)
    line = kernel[len(kernel) // 2]
    assert np.count_nonzero(line) == 7
    assert line.max() == pytest.approx(1 / (np.pi * 9), rel=0.1)


def test_a_straight_path_gives_a_line_of_its_extent():
    path = np.stack([np.linspace(0, 3, 9), np.zeros(9)], axis=1)
    kernel = optics.trajectory_psf(path, 10)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    middle = len(kernel) // 2
    assert np.count_nonzero(kernel[middle]) == 11
    assert kernel[middle].sum() == pytest.approx(1, abs=1e-6)


def test_convolution_is_not_a_correlation():
    light = np.zeros((9, 9, 3), np.float32)
    light[4, 4] = 1
    kernel = np.zeros((3, 3), np.float32)
    kernel[0, 2] = 1  # the light moves up and to the right
    moved = optics.convolve(light, kernel)
    assert np.all(moved[3, 5] == 1)
