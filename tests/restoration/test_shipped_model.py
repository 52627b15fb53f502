"""What is promised of the default model and its weights, beside what its card says."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cnlrn import Restorer, images

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.png"))


@pytest.fixture(scope="module", params=["float32", "int8"])
def restorer(request: pytest.FixtureRequest) -> Restorer:
    return Restorer("cnlrn-s", precision=request.param, threads=1)


def example(path: Path) -> NDArray[Any]:
    return images.read(path).pixels


def light(array: NDArray[Any]) -> NDArray[np.float64]:
    """Mean light of each channel, in 255ths of white."""
    return np.asarray(255 * ((array / np.iinfo(array.dtype).max) ** 2.2).mean(axis=(0, 1)))


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


def largest_seam(restorer: Restorer, lr: NDArray[Any], tile: int, scale: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """How far any sample of a tiled result is from the same of a whole one."""
    whole = restorer.restore(lr, scale)
    pieces: list[tuple[int, ...]] = []
    run = restorer.engine.run
    monkeypatch.setattr(restorer, "tile", tile)
    monkeypatch.setattr(restorer.engine, "run", lambda lr, *how: (pieces.append(lr.shape), run(lr, *how))[1])
    tiled = restorer.restore(lr, scale)
    assert len(pieces) > 1
    return int(np.abs(tiled.astype(int) - whole).max())


@pytest.mark.parametrize(("size", "scale"), [((200, 220), 1), ((200, 220), 2), ((100, 500), 4), ((1, 3000), 4)])
def test_tiles_leave_no_seams_in_noise(
    restorer: Restorer, size: tuple[int, int], scale: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lr = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert largest_seam(restorer, lr, 33, scale, monkeypatch) <= 1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("tile", [20, 33])
def test_tiles_leave_no_seams_in_photographs(
    restorer: Restorer, path: Path, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert largest_seam(restorer, example(path), tile, 4, monkeypatch) <= 1


@pytest.mark.parametrize("model", ["cnlrn-s", "cnlrn-xs"])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_plain_colours_have_no_rim(model: str, scale: int) -> None:
    restorer = Restorer(model, threads=1)
    for size in ((48, 64), (41, 54), (3, 5)):  # multiples of the network's grid, not, and less than it
        for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 255), (255, 255, 255), (200, 60, 30)):
            lr = np.broadcast_to(np.array(colour, np.uint8), (*size, 3))
            assert np.abs(restorer.restore(lr, scale).astype(int) - colour).max() <= 1, (size, colour)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "gray"])
def test_light_stays(restorer: Restorer, path: Path, kind: str) -> None:
    lr = example(path)
    if kind == "16 bits":
        lr = lr.astype(np.uint16) * 257
    if kind == "gray":
        lr = lr[..., 1:2]
    drift = {scale: float(np.abs(light(restorer.restore(lr, scale)) - light(lr)).max()) for scale in (1, 2, 4)}
    assert max(drift.values()) <= 0.75, drift


def test_the_ensemble_is_the_mean_over_flips_and_rotations(restorer: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    lr = example(EXAMPLES[0])[:32, :48].astype(np.float32) / 510 + 0.25  # far from where results are clipped
    total = np.zeros((128, 192, 3))
    for turns in range(4):
        total += np.rot90(restorer.restore(np.rot90(lr, turns)), -turns)
        total += np.rot90(restorer.restore(np.rot90(lr, turns)[:, ::-1])[:, ::-1], -turns)
    monkeypatch.setattr(restorer, "ensemble", True)
    np.testing.assert_allclose(restorer.restore(lr), total / 8, atol=1e-5)


def test_without_a_name_the_model_is_that_of_the_size_which_is_asked_for() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    automatic = Restorer(threads=1)
    for scale, name in ((1, "cnlrn-own"), (0.5, "cnlrn-own"), (2, "cnlrn-s")):
        expected = Restorer(name, threads=1).restore(picture, scale)
        np.testing.assert_array_equal(automatic.restore(picture, scale, force=True), expected)


def test_a_shaken_photo_becomes_sharper_at_its_own_size(restorer: Restorer) -> None:
    sharp = restorer.restore(example(EXAMPLES[-1]), 4)
    light = cv2.blur((sharp / 255) ** 2.2, (13, 1)).clip(0, 1)
    blurry = np.rint(255 * light ** (1 / 2.2)).astype(np.uint8)
    restored = Restorer(threads=1).restore(blurry, 1)
    inner = np.s_[16:-16, 16:-16]
    errors = [np.square(picture[inner] - sharp[inner].astype(float)).mean() for picture in (blurry, restored)]
    assert errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize("value", [0, 8, 128, 255])
def test_a_plain_photo_stays_plain_at_its_own_size(value: int) -> None:
    plain = np.full((200, 300, 3), (value, max(0, value - 20), min(255, value + 10)), np.uint8)
    restored = Restorer("cnlrn-own", threads=1).restore(plain, 1)
    assert np.abs(restored.astype(int) - plain).max() <= 2
