"""What is done with a picture where nobody says what: size, model, and whether anything."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_tiny_model

import cnlrn
from cnlrn import CnlrnError, Restorer, images
from cnlrn.images import Picture
from cnlrn.jobs.local import restore_all
from cnlrn.jobs.search import Search
from cnlrn.restoration.blur import Blur, BlurEstimator
from cnlrn.restoration.size import Size

SHARP = Blur("sharp", 0.0, None, 1.0, 90, 0.95)
UNSURE = Blur("sharp", 0.0, None, 1.0, 90, 0.45)
SHAKEN = Blur("shake", 20.3, 30.0, 1.0, 90, 0.95)
Seen = Callable[[Blur], None]


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(threads=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), threads=1)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Decides what the estimate of every picture is."""

    def decide(blur: Blur) -> None:
        monkeypatch.setattr(BlurEstimator, "estimate_picture", lambda *_: blur)

    return decide


@pytest.fixture
def picture() -> np.ndarray:
    """Squares that are shaken from left to right."""
    squares = np.random.default_rng(0).integers(60, 200, (5, 9, 3)).repeat(8, 0).repeat(8, 1)
    return np.mean([squares[:, left : left + 60] for left in range(9)], axis=0).astype(np.uint8)


def save(picture: np.ndarray, file: Path) -> Path:
    images.write(Picture(picture), file)
    return file


def large(tmp_path: Path, width: int, height: int) -> Path:
    return save(np.full((height, width, 1), 9, np.uint8), tmp_path / f"{width}.png")


def test_a_sharp_picture_is_left_as_it_is(restorer: Restorer, picture: np.ndarray, seen: Seen) -> None:
    seen(SHARP)
    np.testing.assert_array_equal(restorer.restore(picture, 1), picture)
    assert (restorer.restore(picture, 1, force=True) != picture).any()
    assert restorer.restore(picture, 2).shape == (80, 120, 3)


def test_the_file_of_a_sharp_picture_is_copied_where_its_format_stays(
    restorer: Restorer, picture: np.ndarray, seen: Seen, tmp_path: Path
) -> None:
    seen(SHARP)
    photo = save(picture, tmp_path / "a.jpg")
    assert restorer.restore(photo, 1).read_bytes() == photo.read_bytes()
    assert restorer.restore(photo.read_bytes(), 1, strength=0.5) == photo.read_bytes()
    other = restorer.restore(photo, 1, output=tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(other).pixels, images.read(photo).pixels)
    assert restorer.restore(photo.read_bytes(), 1, strip=True) != photo.read_bytes()
    assert images.read(restorer.restore(photo.read_bytes(), width=30)).pixels.shape == (20, 30, 3)


@pytest.mark.parametrize("blur", [UNSURE, SHAKEN])
def test_a_picture_that_may_be_blurred_is_restored(
    restorer: Restorer, picture: np.ndarray, seen: Seen, blur: Blur
) -> None:
    seen(blur)
    assert (restorer.restore(picture, 1) != picture).any()


def test_a_model_that_is_named_restores_sharp_pictures_too(picture: np.ndarray, seen: Seen) -> None:
    seen(SHARP)
    assert (Restorer("cnlrn-own", threads=1).restore(picture, 1) != picture).any()


def test_strength_mixes_the_result_with_the_picture(restorer: Restorer, picture: np.ndarray, seen: Seen) -> None:
    seen(SHAKEN)
    before, half, after = (restorer.restore(picture, 1, strength=share).astype(float) for share in (0, 0.5, 1))
    np.testing.assert_array_equal(before, picture)
    np.testing.assert_allclose(half, (before + after) / 2, atol=0.51)
    assert (after != before).any()


def test_strength_0_only_enlarges(tiny: Restorer) -> None:
    plain = np.full((8, 9, 4), (200, 100, 3, 77), np.uint16)
    np.testing.assert_array_equal(tiny.restore(plain, 3, strength=0), plain.repeat(3, 0).repeat(3, 1))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 5.0, -1.0])
@pytest.mark.parametrize("scale", [1, 2])
def test_floating_point_beyond_the_range_is_one_sentence(restorer: Restorer, value: float, scale: int) -> None:
    with pytest.raises(CnlrnError, match=r"^the picture has floating point samples that are not in \[0, 1\]"):
        restorer.restore(np.full((64, 64, 3), value, np.float32), scale)


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan"), "1", None, True])
def test_a_strength_that_is_no_share_is_one_sentence(tiny: Restorer, picture: np.ndarray, strength: object) -> None:
    with pytest.raises(CnlrnError, match=r"^strength must be a number from 0 to 1, not [^\n]*$"):
        tiny.restore(picture, strength=strength)  # type: ignore[call-overload]


def test_results_of_automatic_size_are_named_by_what_it_comes_to(tiny: Restorer, tmp_path: Path) -> None:
    for file in (large(tmp_path, 1501, 1500), large(tmp_path, 3001, 3000)):
        tiny.restore(file)
    assert images.read(tmp_path / "1501_x2.png").pixels.shape == (3000, 3002, 1)
    assert images.read(tmp_path / "3001_x1.png").pixels.shape == (3000, 3001, 1)


def test_a_rerun_skips_results_of_automatic_size(tiny: Restorer, tmp_path: Path) -> None:
    files = [str(large(tmp_path, 1501, 1500)), str(large(tmp_path, 10, 9))]
    for expected in ("done", "skipped"):
        outcomes = list(restore_all(tiny, Search(files)))
        assert [(o.target.name, o.status) for o in outcomes if o.target] == [
            ("1501_x2.png", expected),
            ("10_x4.png", expected),
        ]


def test_results_are_named_by_the_model_that_made_them(
    restorer: Restorer, picture: np.ndarray, seen: Seen, tmp_path: Path
) -> None:
    seen(SHAKEN)
    file = str(save(picture, tmp_path / "a.png"))
    for scale in (1, 2):
        list(restore_all(restorer, Search([file], size=Size(scale), name="{stem}-{model}")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-cnlrn-own.png", "a-cnlrn-s.png", "a.png"]


def test_a_long_shake_is_mended_at_a_coarser_working_scale(restorer: Restorer, picture: np.ndarray, seen: Seen) -> None:
    seen(Blur("shake", 100.0, None, 1.0, 90, 0.95))
    picture = picture.repeat(2, 0).repeat(2, 1)
    own = Restorer("cnlrn-own", threads=1)
    small = own.restore(picture, scale=1 / 2, strength=0)
    change = own.restore(small, 1).astype(float) - small
    expected = picture + change.repeat(2, 0).repeat(2, 1)
    assert np.abs(change).mean() > 1
    assert np.abs(restorer.restore(picture, 1) - expected).mean() < 0.5 * np.abs(change).mean()


def test_a_shake_that_is_too_long_for_the_model_that_enlarges_is_mended_first(
    restorer: Restorer, picture: np.ndarray, seen: Seen
) -> None:
    seen(Blur("shake", 12.0, None, 1.0, 90, 0.95))
    first = Restorer("cnlrn-own", threads=1).restore(picture, 1)
    np.testing.assert_array_equal(restorer.restore(picture, 2), Restorer("cnlrn-s", threads=1).restore(first, 2))
    assert restorer.inspect(picture, 2).working_scale == 1
    seen(Blur("shake", 5.0, None, 1.0, 90, 0.95))
    np.testing.assert_array_equal(restorer.restore(picture, 2), Restorer("cnlrn-s", threads=1).restore(picture, 2))


def test_inspect_tells_what_would_be_done(picture: np.ndarray, seen: Seen, tmp_path: Path) -> None:
    seen(SHAKEN)
    plan = cnlrn.inspect(picture, scale=1)
    assert (plan.width, plan.height, plan.blur) == (60, 40, SHAKEN)
    assert (plan.action, plan.model, plan.result_width, plan.result_height) == ("deblur", "cnlrn-own", 60, 40)
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert plan.memory is not None
    assert plan.memory > 10_000_000
    enlarged = cnlrn.inspect(save(picture, tmp_path / "a.png"))
    assert (enlarged.action, enlarged.model, enlarged.result_width) == ("enlarge", "cnlrn-s", 240)
    seen(SHARP)
    left = cnlrn.inspect(picture, scale=1)
    assert (left.action, left.model, left.seconds) == ("leave", None, 0)


def test_the_facts_of_a_plan_are_flat_json(tiny: Restorer, restorer: Restorer, picture: np.ndarray, seen: Seen) -> None:
    seen(SHAKEN)
    facts = json.loads(json.dumps(restorer.inspect(picture, 1).facts()))
    assert (facts["kind"], facts["extent"], facts["action"], facts["model"]) == ("shake", 20.3, "deblur", "cnlrn-own")
    assert "kind" not in tiny.inspect(picture).facts()
