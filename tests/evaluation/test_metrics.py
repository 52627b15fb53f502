import subprocess
import sys

import numpy as np
import pytest

from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import Score, mean, metric, names, psnr_y, score, ssim_y


def protocol(restored: np.ndarray, sharp: np.ndarray, border: int = 4) -> tuple[float, float]:
    """The definition, written out: every 11x11 window of the cropped picture, channel by channel."""
    height, width, channels = sharp.shape
    a, b = (p[border : height - border, border : width - border].astype(np.float64) for p in (restored, sharp))
    psnr = 20 * np.log10(255) - 10 * np.log10(((a - b) ** 2).mean())
    line = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(channels):
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


def pair(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, shape[0] * shape[1] * 3).reshape(shape)
    sharp = np.clip(ramp + rng.normal(0, 20, shape), 0, 255).astype(np.uint8)
    return np.clip(sharp + rng.normal(0, 9, shape), 0, 255).astype(np.uint8), sharp


@pytest.mark.parametrize("shape", [(19, 19, 3), (40, 57, 3)])
def test_psnr_and_ssim_are_those_of_the_protocol(shape: tuple[int, ...]) -> None:
    restored, sharp = pair(shape)
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


@pytest.mark.parametrize("border", [0, 4, 8])
def test_the_figures_on_luma_are_those_of_the_definition(border: int) -> None:
    restored, sharp = pair((40, 57, 3))
    a, b = (
        16 + (65.481 * p[..., :1] / 255 + 128.553 * p[..., 1:2] / 255 + 24.966 * p[..., 2:] / 255)
        for p in (restored, sharp)
    )
    expected = protocol(a, b, border)
    assert psnr_y(restored, sharp, border) == pytest.approx(expected[0], abs=1e-6)
    assert ssim_y(restored, sharp, border) == pytest.approx(expected[1], abs=1e-6)


def test_luma_lies_between_16_and_235() -> None:
    black, white = np.zeros((30, 30, 3), np.uint8), np.full((30, 30, 3), 255, np.uint8)
    assert psnr_y(black, white) == pytest.approx(20 * np.log10(255 / (235 - 16)))


def test_a_border_that_leaves_too_little_is_refused() -> None:
    with pytest.raises(CnlrnError, match="31 pixels"):
        psnr_y(np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40, 3), np.uint8), 10)


def test_metrics_are_found_by_name_and_give_the_figures_of_their_functions() -> None:
    restored, sharp = pair((40, 57, 3))
    expected = {
        "psnr": score(restored, sharp).psnr,
        "ssim": score(restored, sharp).ssim,
        "psnr-y": psnr_y(restored, sharp, 4),
        "ssim-y": ssim_y(restored, sharp, 4),
        "psnr-y:8": psnr_y(restored, sharp, 8),
        "ssim-y:0": ssim_y(restored, sharp, 0),
    }
    for name, figure in expected.items():
        found = metric(name)
        assert (found.name, found.higher_is_better, found.needs_sharp) == (name, True, True)
        assert found.function(restored, sharp) == figure
    assert len({metric(name).title for name in expected}) == len(expected)
    assert set(names()) - set(expected) == {"niqe", "st-lpips"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("psnr_y", "did you mean psnr-y"),
        ("LPIPS", "did you mean st-lpips"),
        ("quality", "choose from psnr, ssim"),
        ("psnr:8", "only psnr-y and ssim-y take a border"),
        ("ssim-y:", "as in psnr-y:8"),
        ("ssim-y:-1", "as in psnr-y:8"),
    ],
)
def test_a_name_that_is_no_metric_is_answered_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(CnlrnError, match=message):
        metric(name)


def test_psnr_and_ssim_load_neither_torch_nor_the_extra() -> None:
    program = (
        "import sys; from cnlrn.evaluation.metrics import metric; metric('psnr'); metric('ssim-y:8');"
        "print({'torch', 'skvideo', 'stlpips_pytorch', 'cnlrn.evaluation.perceptual'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "set()"
