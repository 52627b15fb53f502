from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnlrn.degradation import Recipe, degrade, recipe
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.models import models
from cnlrn.restoration.blur import Blur, BlurEstimator, windows

CLEAN = replace(
    recipe("own"),
    extents=((1.0, 0, 0),),
    foreground_share=0,
    defocus_share=0,
    gaussian_share=0,
    noise_share=0,
    jpeg_share=0,
    lights_share=0,
    uniform_share=1,
)


@pytest.fixture(scope="module")
def estimator() -> BlurEstimator:
    return BlurEstimator(threads=1)


def scene(side: int = 320) -> np.ndarray:
    """Discs and bars of many sizes and colours with sharp edges, as of things, on a soft ground."""
    rng = np.random.default_rng(3)
    picture = 40 + 120 * np.clip(bicubic(rng.random((5, 5, 3)), side / 5), 0, 1)
    y, x = np.mgrid[:side, :side]
    for _ in range(220):
        top, left, size = rng.uniform(0, side), rng.uniform(0, side), rng.exponential(14) + 2
        turn, flat = rng.uniform(0, np.pi), rng.uniform(0.2, 1)
        across = (x - left) * np.cos(turn) + (y - top) * np.sin(turn)
        down = (y - top) * np.cos(turn) - (x - left) * np.sin(turn)
        cover = np.clip(size - np.hypot(across, down / flat) + 0.5, 0, 1)[..., None]
        picture += cover * (rng.uniform(0, 255, 3) + rng.normal(0, 5, (side, side, 1)) - picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


SCENE = scene()


def degraded(seed: int = 0, **changes: object) -> np.ndarray:
    how: Recipe = replace(CLEAN, **changes)  # type: ignore[arg-type]
    return degrade(SCENE, how, seed).lr


def shaken(degrees: float, length: int = 21) -> np.ndarray:
    steps = np.linspace(-length / 2, length / 2, 2 * length)
    moved = [
        np.roll(SCENE, (round(t * np.sin(np.radians(degrees))), round(t * np.cos(np.radians(degrees)))), (0, 1))
        for t in steps
    ]
    return np.mean(moved, axis=0).astype(np.uint8)


def test_a_sharp_picture_is_called_sharp_and_a_shaken_one_shaken(estimator: BlurEstimator) -> None:
    assert estimator.estimate_picture(SCENE).kind == "sharp"
    assert estimator.estimate_picture(shaken(0)).kind == "shake"


@pytest.mark.parametrize("degrees", [0, 45, 90, 135])
def test_the_direction_of_a_straight_shake_is_told(estimator: BlurEstimator, degrees: int) -> None:
    told = estimator.estimate_picture(shaken(degrees)).direction
    assert told is not None
    assert abs((told - degrees + 90) % 180 - 90) < 15


def test_a_longer_shake_is_told_as_longer(estimator: BlurEstimator) -> None:
    extents = [estimator.estimate_picture(shaken(30, length)).extent for length in (5, 15, 40)]
    assert extents[0] < extents[1] < extents[2]


def test_more_noise_is_told_as_more(estimator: BlurEstimator) -> None:
    told = [
        estimator.estimate_picture(degraded(noise_share=1, photon_noise=(0, 0), read_noise=(read, read))).noise
        for read in (0.0, 2e-3, 8e-3)
    ]
    assert told[0] < told[1] < told[2]


def test_stronger_compression_is_told_as_lower_quality(estimator: BlurEstimator) -> None:
    told = [
        estimator.estimate_picture(degraded(jpeg_share=1, jpeg_quality=(quality, quality), jpeg_twice_share=0))
        for quality in (35, 70, 92)
    ]
    qualities = [blur.jpeg_quality or 100 for blur in told]
    assert qualities[0] < qualities[1] < qualities[2]
    assert (estimator.estimate_picture(SCENE).jpeg_quality or 100) > qualities[1]


def numbers(blur: Blur) -> tuple[float, ...]:
    return blur.extent, blur.noise, blur.certainty


def test_windows_of_one_kind_tell_what_one_of_them_tells(estimator: BlurEstimator) -> None:
    one = shaken(0)[None, :256, :256]
    assert numbers(estimator.estimate(one.repeat(9, 0))) == pytest.approx(numbers(estimator.estimate(one)), rel=1e-3)


def test_the_mean_of_windows_tells_what_the_whole_tells(estimator: BlurEstimator) -> None:
    whole = shaken(0)[None, :256, :256]
    parts = np.concatenate([whole[:, top : top + 128, left : left + 128] for top in (0, 128) for left in (0, 128)])
    together, apart = estimator.estimate(whole), estimator.estimate(parts)
    assert apart.kind == together.kind
    assert apart.extent == pytest.approx(together.extent, rel=0.25)


def test_bytes_floats_16_bits_and_readers_tell_the_same(estimator: BlurEstimator) -> None:
    picture = shaken(0)
    expected = numbers(estimator.estimate_picture(picture))
    for same in (picture / np.float32(255), picture.astype(np.uint16) * 257):
        assert numbers(estimator.estimate_picture(same)) == pytest.approx(expected, rel=1e-3)

    def read(top: int, left: int, height: int, width: int) -> np.ndarray:
        return picture[top : top + height, left : left + width]

    assert numbers(estimator.estimate_picture(read, *picture.shape[:2])) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (64, 64), (65, 31), (400, 17)])
def test_a_picture_of_any_size_is_told(estimator: BlurEstimator, size: tuple[int, int]) -> None:
    told = estimator.estimate_picture(np.resize(SCENE, (*size, 3)))
    assert np.isfinite(numbers(told)).all()


@pytest.mark.parametrize("size", [(3000, 4000), (256, 30000), (6000, 300), (700, 500)])
@pytest.mark.parametrize("reduction", [1, 2, 4])
def test_windows_are_few_lie_on_the_grid_and_within_the_picture(size: tuple[int, int], reduction: int) -> None:
    asked: list[tuple[int, int, int, int]] = []

    def read(top: int, left: int, height: int, width: int) -> np.ndarray:
        asked.append((top, left, height, width))
        return np.zeros((height, width, 3), np.uint8)

    given = windows(read, *size, reduction)
    assert len(given) == len(asked) <= 6
    assert max(given.shape[1:3]) <= 512
    for top, left, height, width in asked:
        assert top % 16 == left % 16 == 0
        assert 0 <= top <= size[0] - height
        assert 0 <= left <= size[1] - width


def test_the_estimator_is_no_model_to_restore_with() -> None:
    assert "blur" not in {card.name for card in models()}


def test_a_damaged_estimator_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match="cannot be read"):
        BlurEstimator(tmp_path)
    (tmp_path / "blur.onnx").write_bytes(b"no model")
    (tmp_path / "blur.json").write_text('{"sha256": "0"}')
    with pytest.raises(CnlrnError, match="damaged"):
        BlurEstimator(tmp_path)
