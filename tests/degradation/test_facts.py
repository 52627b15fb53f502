from dataclasses import replace

import numpy as np
import pytest

from cnlrn.degradation import Facts, Motion, degrade, recipe, sensor

STILL = replace(
    recipe("own"),
    extents=((1.0, 0, 0),),
    foreground_share=0,
    uniform_share=0,
    defocus_share=0,
    gaussian_share=0,
    noise_share=0,
    jpeg_share=0,
    lights_share=0,
)


def dot() -> np.ndarray:
    sharp = np.zeros((128, 128, 3), np.uint8)
    sharp[63:65, 63:65] = 255
    return sharp


def test_nothing_done_is_told_as_nothing() -> None:
    assert degrade(dot(), STILL, 0).facts == Facts()
    assert Facts().defocus_radius == 0


def test_a_straight_path_tells_its_direction_and_a_circle_none() -> None:
    line = np.linspace(-1, 1, 33)
    for degrees in (0, 30, 90, 150):
        angle = np.radians(degrees)
        motion = Motion.along(np.stack([line * np.cos(angle), line * np.sin(angle)], 1), 9.0)
        assert np.degrees(motion.direction) % 180 == pytest.approx(degrees, abs=1e-4)
        assert motion.elongation == pytest.approx(1, abs=1e-4)
        assert motion.extent == 9
    turn = np.linspace(0, 2 * np.pi, 65)[:-1]
    assert Motion.along(np.stack([np.cos(turn), np.sin(turn)], 1), 9.0).elongation == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("uniform", [0.0, 1.0])
def test_a_shaken_dot_of_light_lies_along_the_direction_told(uniform: float) -> None:
    for seed in range(8):
        pair = degrade(dot(), replace(STILL, extents=((1.0, 20, 20),), uniform_share=uniform), seed)
        motion = pair.facts.motion
        assert motion.extent == pytest.approx(20, abs=0.01)
        light = sensor.to_light(pair.lr, "gamma")[..., 0]
        y, x = np.mgrid[:128, :128]
        points = np.stack([x - np.average(x, weights=light), y - np.average(y, weights=light)])
        (xx, xy), (_, yy) = (points[:, None] * points[None, :] * light).sum((2, 3))
        seen = 0.5 * np.arctan2(2 * xy, xx - yy)
        if motion.elongation > 0.6:
            assert abs((seen - motion.direction + np.pi / 2) % np.pi - np.pi / 2) < np.radians(6)


def test_radii_noise_and_the_lowest_jpeg_quality_are_told() -> None:
    gray = np.full((96, 96, 3), 128, np.uint8)
    blurred = replace(STILL, defocus_share=1, defocus_radius=(5, 5), gaussian_share=1, gaussian_sigma=(2, 2))
    facts = degrade(gray, blurred, 0).facts
    assert (facts.defocus, facts.gaussian) == (5, 2)
    assert facts.defocus_radius == pytest.approx(41**0.5)
    noisy = degrade(gray, replace(STILL, noise_share=1, photon_noise=(0, 0), read_noise=(4e-3, 4e-3)), 0)
    assert noisy.facts.noise == pytest.approx((noisy.lr.astype(float) - 128).std(), rel=0.15)
    twice = replace(STILL, jpeg_share=1, jpeg_twice_share=1, jpeg_quality=(30, 90))
    assert all(30 <= degrade(gray, twice, seed).facts.jpeg_quality < 90 for seed in range(6))


def test_extents_are_in_pixels_of_the_blurry_picture() -> None:
    small = replace(STILL, scale=4, mosaic=False, extents=((1.0, 20, 20),))
    assert degrade(dot(), small, 0).facts.motion.extent == pytest.approx(5, abs=0.01)
