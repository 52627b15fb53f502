import numpy as np
import pytest

from cnlrn.degradation import sensor


@pytest.mark.parametrize("response", sensor.RESPONSES)
def test_light_and_back_keeps_every_byte(response):
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    light = sensor.to_light(picture, response)
    np.testing.assert_array_equal(sensor.to_bytes(sensor.from_light(light, response)), picture)


def test_srgb_and_gamma_light_have_known_values():
    gray = np.full((1, 1, 3), 128, np.uint8)
    assert sensor.to_light(gray, "srgb")[0, 0, 0] == pytest.approx(0.215861, abs=1e-5)
    assert sensor.to_light(gray, "gamma")[0, 0, 0] == pytest.approx((128 / 255) ** 2.2, abs=1e-5)


def test_noise_has_the_variance_of_its_formula():
    flat = np.full((400, 400, 3), 0.5, np.float32)
    noisy = sensor.add_noise(flat, 4e-4, 3e-3, np.random.default_rng(0), "gamma")
    light = 0.5**2.2
    slope = light ** (1 / 2.2 - 1) / 2.2
    expected = slope * np.sqrt(4e-4 * light + 9e-6)
    assert noisy.std() == pytest.approx(expected, rel=0.02)


def test_noise_of_a_mosaic_is_shared_by_neighbours_and_keeps_its_mean():
    flat = np.full((200, 200, 3), 0.5, np.float32)
    noise = sensor.add_noise(flat, 1e-3, 0, np.random.default_rng(0), "gamma", mosaic=True) - 0.5
    assert abs(noise.mean()) < 1e-3
    for colour in range(3):
        plane = noise[..., colour]
        assert (plane[:, 1:] * plane[:, :-1]).mean() > 0.3 * plane.var()


def test_demosaicing_keeps_what_each_pixel_saw_and_one_colour_everywhere():
    samples = np.random.default_rng(0).random((8, 10, 3))
    result = sensor.demosaiced(samples)
    np.testing.assert_allclose(result[::2, ::2, 0], samples[::2, ::2, 0])
    np.testing.assert_allclose(result[::2, 1::2, 1], samples[::2, 1::2, 1])
    np.testing.assert_allclose(result[1::2, 1::2, 2], samples[1::2, 1::2, 2])
    plain = sensor.demosaiced(np.full((8, 10, 3), 0.25))
    np.testing.assert_allclose(plain[1:-1, 1:-1], 0.25)


def test_full_chroma_keeps_colour_edges():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, ::2, 0] = 200
    errors = [np.abs(sensor.jpeg(picture, 95, full).astype(int) - picture).mean() for full in (False, True)]
    assert errors[1] < errors[0] / 3


def test_bytes_are_rounded_and_clipped():
    values = np.array([-0.1, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4, 1.2], np.float32)
    np.testing.assert_array_equal(sensor.to_bytes(values), [0, 0, 1, 255])


def test_jpeg_keeps_colours_in_order():
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = 200
    result = sensor.jpeg(picture, 90).astype(int)
    assert np.abs(result - picture).max() < 12
