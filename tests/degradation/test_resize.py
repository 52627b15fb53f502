import numpy as np
import pytest

from cnlrn.degradation.resize import bicubic, enlarging_kernel, matrix


def test_reducing_by_four_gives_the_weights_of_imresize():
    # Keys' kernel (a = -0.5) stretched by 4, sampled at the 16 taps around an interior output pixel.
    x = np.abs((np.arange(16) - 7.5) / 4)
    keys = np.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2)
    row = matrix(64, 16)[8]
    np.testing.assert_allclose(row[26:42], keys / keys.sum(), atol=1e-7)
    assert np.count_nonzero(np.abs(row) > 1e-9) == 16


def test_reducing_an_impulse_gives_the_known_values():
    # A unit impulse at pixel 8 of 16 lies 6.5, 2.5, 1.5 and 5.5 pixels from the output centres 1.5, 5.5, 9.5, 13.5:
    # cubic(1.625) / 4, cubic(0.625) / 4, cubic(0.375) / 4 and cubic(1.375) / 4.
    impulse = np.zeros((1, 16))
    impulse[0, 8] = 1
    weights = np.array([-0.010986328, 0.097412109, 0.181884766, -0.018310547])
    result = bicubic(np.repeat(impulse, 16, axis=0), 0.25)[1]
    np.testing.assert_allclose(result, weights, atol=1e-7)


def test_borders_are_mirrored_with_the_border_pixel_repeated():
    ramp = np.arange(16, dtype=np.float64)[None].repeat(16, 0)
    extended = np.pad(ramp, ((16, 16), (16, 16)), mode="symmetric")
    np.testing.assert_allclose(bicubic(extended, 0.25)[4:8, 4:8], bicubic(ramp, 0.25), atol=1e-5)


@pytest.mark.parametrize("scale", [0.25, 0.5, 2, 4])
def test_a_flat_picture_stays_flat(scale):
    np.testing.assert_allclose(bicubic(np.full((20, 24, 3), 0.7), scale), 0.7, atol=1e-6)


def test_size_is_rounded_up_and_channels_are_kept():
    assert bicubic(np.zeros((10, 13, 3)), 0.25).shape == (3, 4, 3)
    assert bicubic(np.zeros((10, 13)), 4).shape == (40, 52)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_enlarging_kernel_equals_the_matrix_inside(scale):
    picture = np.random.default_rng(0).random((9, 9))
    kernel = enlarging_kernel(scale)
    centre = np.einsum("kij,ij->k", kernel, picture[2:7, 2:7]).reshape(scale, scale)
    expected = bicubic(picture, scale)[4 * scale : 5 * scale, 4 * scale : 5 * scale]
    np.testing.assert_allclose(centre, expected, atol=1e-6)
