import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from cnlrn.degradation import RECIPES, degrade, degrade_patch, recipe, sensor
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError

STILL = recipe("bicubic")


def photo(height: int = 96, width: int = 128) -> np.ndarray:
    noise = np.random.default_rng(5).random((height // 8, width // 8, 3))
    return np.clip(bicubic(noise, 8) * 128 + 64, 0, 255).astype(np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - {"bicubic"}))
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(name):
    pairs = [degrade(photo(), recipe(name), seed) for seed in (11, 11, 12)]
    np.testing.assert_array_equal(pairs[0].lr, pairs[1].lr)
    assert difference(pairs[0].lr, pairs[2].lr) > 0


def test_the_same_seed_gives_the_same_bytes_at_any_number_of_threads():
    program = """
import sys, zlib, cv2, numpy as np
from cnlrn.degradation import RECIPES, degrade
cv2.setNumThreads(int(sys.argv[1]))
sharp = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
print([zlib.crc32(degrade(sharp, RECIPES[name], seed).lr) for name in sorted(RECIPES) for seed in range(4)])
"""
    told = []
    for threads in ("1", "2", "5"):
        limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        command = [sys.executable, "-c", program, threads]
        told.append(subprocess.run(command, env=os.environ | limits, check=True, capture_output=True).stdout)
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("scale", [0.25, 0.3, 2])
def test_resizing_adds_each_product_by_itself_in_one_order(scale):
    picture = np.random.default_rng(1).random((37, 41, 3)).astype(np.float32)
    whole = bicubic(picture, scale)
    np.testing.assert_array_equal(whole[..., 1], bicubic(np.ascontiguousarray(picture[..., 1]), scale))


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131), (4, 4), (5, 300)])
def test_any_size_is_cropped_to_a_multiple_of_four(height, width):
    sharp = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pair = degrade(sharp, recipe("photo"), 1)
    assert pair.lr.shape == (height // 4, width // 4, 3)
    np.testing.assert_array_equal(pair.sharp, sharp[: height // 4 * 4, : width // 4 * 4])


def test_without_blur_the_result_is_the_protocols_bicubic():
    pair = degrade(photo(), STILL, 0)
    expected = np.clip(bicubic(photo(), 0.25) + 0.5, 0, 255).astype(np.uint8)
    assert np.abs(pair.lr.astype(int) - expected.astype(int)).max() <= 1
    assert difference(pair.lr, expected) < 0.01


def test_a_patch_without_blur_equals_the_same_part_of_the_whole():
    whole = photo(160, 160)
    margin = STILL.margin
    pair = degrade_patch(whole, STILL, np.random.default_rng(0))
    np.testing.assert_array_equal(pair.sharp, whole[margin:-margin, margin:-margin])
    inner = slice(margin // 4, -margin // 4)
    np.testing.assert_array_equal(pair.lr, degrade(whole, STILL, 0).lr[inner, inner])


OWN = replace(recipe("own"), noise_share=0, jpeg_share=0, defocus_share=0, gaussian_share=0)


def test_a_photo_at_its_own_size_keeps_its_size_and_where_nothing_happens_its_bytes():
    still = replace(OWN, extents=((1.0, 0, 0),), lights_share=0)
    pair = degrade(photo(97, 131), still, 0)
    np.testing.assert_array_equal(pair.lr, photo(97, 131))
    np.testing.assert_array_equal(pair.sharp, photo(97, 131))


def test_shaken_lights_beyond_white_leave_brighter_trails_than_those_that_are_just_white():
    night = np.full((128, 128, 3), 20, np.uint8)
    night[60:68, 60:68] = 255
    shaken = replace(OWN, extents=((1.0, 40, 40),), uniform_share=1.0, lights_exposure=(1.0, 1.0))
    plain = degrade(night, replace(shaken, lights_share=0.0), 3)
    lit = degrade(night, replace(shaken, lights_share=1.0, lights_factor=(8.0, 8.001)), 3)
    np.testing.assert_array_equal(lit.sharp, night)
    assert lit.lr.max() > plain.lr.max() + 40


def test_a_picture_made_darker_is_as_dark_when_sharp():
    dark = replace(
        OWN, extents=((1.0, 0, 0),), lights_share=1.0, lights_exposure=(0.3, 0.3), lights_factor=(1.0, 1.001)
    )
    pair = degrade(photo(), dark, 0)
    assert difference(pair.lr, pair.sharp) < 0.6
    assert pair.sharp.mean() < 0.7 * photo().mean()


@pytest.mark.parametrize("extent", [6.0, 20.0])
def test_motion_blur_stays_centred_on_the_sharp_picture(extent):
    shaken = replace(STILL, extents=((1.0, extent, extent),))
    shifts = []
    for seed in range(12):
        pair = degrade(photo(128, 128), shaken, seed)
        small = bicubic(pair.sharp, 0.25)
        gradient = np.gradient(small.mean(axis=2))
        error = pair.lr.mean(axis=2) - small.mean(axis=2)
        columns = np.stack([g.ravel() for g in gradient], axis=1)
        shifts.append(np.linalg.lstsq(columns, error.ravel(), rcond=None)[0])
    assert np.abs(np.mean(shifts, axis=0)).max() < extent / 4 / 4  # LR pixels, against a blur of extent / 4


@pytest.mark.parametrize("uniform", [0.0, 1.0])
def test_light_is_centred_where_the_sharp_picture_shows_it_if_asked(uniform):
    sharp = np.zeros((128, 128, 3), np.uint8)
    sharp[60:68, 60:68] = 255
    places = np.arange(32) - 15.5

    def offset(aligned: str, seed: int) -> float:
        shaken = replace(STILL, extents=((1.0, 20, 20),), aligned=aligned, uniform_share=uniform)
        light = sensor.to_light(degrade(sharp, shaken, seed).lr, "gamma")[..., 0]
        return float(np.hypot(light.sum(0) @ places, light.sum(1) @ places) / light.sum())

    assert max(offset("centroid", seed) for seed in range(8)) < 0.3  # LR pixels
    assert max(offset("mid-exposure", seed) for seed in range(8)) > 1


def test_more_blur_leaves_less_detail():
    detail = []
    for extent in (0.0, 6.0, 24.0):
        shaken = replace(STILL, extents=((1.0, extent, extent),))
        lr = degrade(np.random.default_rng(2).integers(0, 256, (128, 128, 3), dtype=np.uint8), shaken, 4).lr
        detail.append(lr.astype(float).std())
    assert detail[0] > detail[1] > detail[2]


@pytest.mark.parametrize(
    "part", ["uniform_share", "foreground_share", "defocus_share", "gaussian_share", "noise_share", "jpeg_share"]
)
def test_every_part_of_a_recipe_changes_the_picture_and_keeps_its_brightness(part):
    base = replace(RECIPES["photo"], extents=((1.0, 8, 8),), uniform_share=0, foreground_share=0, defocus_share=0)
    base = replace(base, gaussian_share=0, noise_share=0, jpeg_share=0)
    with_part = replace(base, **{part: 1.0})
    before, after = (degrade(photo(), r, 9).lr for r in (base, with_part))
    assert difference(before, after) > 0.05
    brightness = [sensor.to_light(picture, "gamma").mean() for picture in (before, after)]
    assert brightness[0] == pytest.approx(brightness[1], rel=0.03)


def test_mistakes_are_told_in_a_sentence():
    with pytest.raises(CnlrnError, match="unknown degradation recipe 'foto'"):
        recipe("foto")
    with pytest.raises(CnlrnError, match="too small"):
        degrade(np.zeros((3, 20, 3), np.uint8), STILL, 0)
