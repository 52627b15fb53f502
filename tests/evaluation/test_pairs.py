from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from full_disk import room_for

from cnlrn.data.sets import open_set
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import Metric, Score, metric, score
from cnlrn.evaluation.pairs import Measured, aligned, evaluate, write_csv

METRICS = [metric("psnr"), metric("ssim")]


def enlarged(lr: np.ndarray) -> np.ndarray:
    """By repeating pixels."""
    return lr.repeat(4, 0).repeat(4, 1)


def test_pairs_are_restored_and_scored_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("blurry_x4", "sharp"):
        (tmp_path / folder).mkdir()
    lr, sharp = rng.integers(0, 256, (8, 12, 3), np.uint8), rng.integers(0, 256, (32, 48, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "blurry_x4" / "a.png"), lr)
    cv2.imwrite(str(tmp_path / "sharp" / "a.png"), sharp)
    expected = score(enlarged(lr), sharp)
    [measured] = evaluate(enlarged, open_set(tmp_path), METRICS)
    assert measured == Measured("a", [expected.psnr, expected.ssim])
    assert measured.gains(METRICS) == []

    cv2.imwrite(str(tmp_path / "blurry_x4" / "a.png"), lr[:4])
    with pytest.raises(CnlrnError, match=r"a\.png"):
        list(evaluate(enlarged, open_set(tmp_path), METRICS))


def test_pairs_of_one_size_tell_by_how_much_the_blurry_picture_is_bettered(tmp_path: Path) -> None:
    sharp, dark = noise(64, 80, 0), noise(64, 80, 0) // 2
    for folder, picture in (("sharp", sharp), ("blurry", dark)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), picture[..., ::-1])
    metrics = [metric("psnr", 16), replace(metric("ssim", 16), higher_is_better=False)]
    [measured] = evaluate(lambda blurry: blurry + 1, open_set(tmp_path), metrics)
    inner = np.s_[16:-16, 16:-16]
    better, base = (10 * np.log10(255**2 / np.mean((p[inner] - 1.0 * sharp[inner]) ** 2)) for p in (dark + 1, dark))
    assert measured.figures[0] == pytest.approx(better)
    assert measured.blurry[0] == pytest.approx(base)
    psnr, ssim = measured.gains(metrics)
    assert psnr == pytest.approx(better - base)
    assert ssim == pytest.approx(measured.blurry[1] - measured.figures[1])
    write_csv(tmp_path / "figures.csv", metrics, [measured])
    assert (tmp_path / "figures.csv").read_text().splitlines()[0] == "name,psnr,ssim,psnr_gain,ssim_gain"
    assert f"{psnr:.5f},{ssim:.5f}\n" in (tmp_path / "figures.csv").read_text()


def test_a_figure_that_is_no_number_is_an_error_that_names_the_picture(tmp_path: Path) -> None:
    for folder, side in (("blurry_x4", 16), ("sharp", 64)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), noise(side, side, 0))
    broken = Metric("niqe", "NIQE", False, 2, False, lambda restored, sharp: float("nan"))
    with pytest.raises(CnlrnError, match=r"a\.png: its niqe is nan, no number"):
        list(evaluate(enlarged, open_set(tmp_path), [METRICS[0], broken]))


def test_figures_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "figures.csv"
    write_csv(file, METRICS, [Measured("a, b", [30.25, 0.5])])
    assert file.read_text() == 'name,psnr,ssim\n"a, b",30.25000,0.50000\n'
    before = file.read_bytes()
    rows = [Measured(f"{number}", [0.0, 0.0]) for number in range(10000)]
    with room_for(1000), pytest.raises(CnlrnError, match=r"figures\.csv cannot be written"):
        write_csv(file, METRICS, rows)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_the_most_similar_of_several_sharp_pictures_counts_at_its_best_shift() -> None:
    frames = [noise(64, 80, seed) for seed in range(3)]
    restored = np.roll(frames[1], (5, -16), (0, 1))
    inner, window = aligned(restored, iter(frames))
    np.testing.assert_array_equal(inner, restored[16:-16, 16:-16])
    np.testing.assert_array_equal(window, inner)
    _, beyond = aligned(np.roll(frames[1], 17, 0), frames)
    assert score(beyond, np.roll(frames[1], 17, 0)[16:-16, 16:-16]).psnr < 20


def test_sharp_pictures_of_another_size_cannot_be_aligned() -> None:
    with pytest.raises(CnlrnError, match="must be equal"):
        aligned(noise(64, 80, 0), [noise(64, 80, 0), noise(64, 76, 0)])
    with pytest.raises(CnlrnError, match="too small"):
        aligned(noise(32, 80, 0), [noise(32, 80, 0)])


def test_pictures_of_kohler_are_scored_against_all_frames_of_their_trajectory(tmp_path: Path) -> None:
    frames = [noise(80, 96, seed).repeat(4, 0).repeat(4, 1)[:80, :96] for seed in range(3)]
    for index, frame in enumerate(frames, 1):
        cv2.imwrite(str(tmp_path / f"GroundTruth2_3_{index}.png"), frame[..., ::-1])
    cv2.imwrite(str(tmp_path / "Blurry2_3.png"), np.roll(frames[2], 4, 0)[..., ::-1])
    kohler = open_set(f"kohler:{tmp_path}")
    [measured] = evaluate(enlarged, kohler, METRICS)
    assert measured.name == "Blurry2_3"
    assert measured.figures[0] > 20
    restored = enlarged(kohler.pairs[0].read()[0])
    assert Score(*measured.figures) == score(*aligned(restored, frames))
