import numpy as np
import pytest

from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import Score, mean, score


def protocol(restored: np.ndarray, sharp: np.ndarray) -> tuple[float, float]:
    """The definition, written out: every 11x11 window of the cropped picture, channel by channel."""
    a, b = (picture[4:-4, 4:-4].astype(np.float64) for picture in (restored, sharp))
    psnr = 20 * np.log10(255) - 10 * np.log10(((a - b) ** 2).mean())
    line = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        x, y = (
            np.lib.stride_tricks.sliding_window_view(picture[..., channel], (11, 11)).reshape(-1, 11, 11)
            for picture in (a, b)
        )
        weigh = lambda v: (v * window).sum((1, 2))  # noqa: E731
        mx, my = weigh(x), weigh(y)
        vx = weigh((x - mx[:, None, None]) ** 2)
        vy = weigh((y - my[:, None, None]) ** 2)
        vxy = weigh((x - mx[:, None, None]) * (y - my[:, None, None]))
        values.append(((2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())
    return float(psnr), float(np.mean(values))


@pytest.mark.parametrize("shape", [(19, 19, 3), (40, 57, 3)])
def test_psnr_and_ssim_are_those_of_the_protocol(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, shape[0] * shape[1] * 3).reshape(shape)
    sharp = np.clip(ramp + rng.normal(0, 20, shape), 0, 255).astype(np.uint8)
    restored = np.clip(sharp + rng.normal(0, 9, shape), 0, 255).astype(np.uint8)
    expected = protocol(restored, sharp)
    got = score(restored, sharp)
    assert got.psnr == pytest.approx(expected[0], abs=1e-6)
    assert got.ssim == pytest.approx(expected[1], abs=1e-6)


def test_the_border_of_four_pixels_does_not_count() -> None:
    sharp = np.full((30, 30, 3), 100, np.uint8)
    restored = sharp.copy()
    restored[:4] = restored[:, -4:] = 0
    assert score(restored, sharp).ssim == 1
    assert score(restored, sharp).psnr > 150


def test_sizes_that_differ_or_are_too_small_are_named() -> None:
    with pytest.raises(CnlrnError, match="30x20"):
        score(np.zeros((20, 30, 3), np.uint8), np.zeros((20, 31, 3), np.uint8))
    with pytest.raises(CnlrnError, match="18x40"):
        score(np.zeros((40, 18, 3), np.uint8), np.zeros((40, 18, 3), np.uint8))


def test_the_mean_is_over_pictures() -> None:
    assert mean([Score(20.0, 0.5), Score(30.0, 0.7)]) == Score(25.0, 0.6)
