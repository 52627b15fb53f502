import pytest

from cnlrn.training.schedule import learning_rate


def rate(step: int, warmup: int = 0) -> float:
    return learning_rate(step, 2e-4, periods=(100, 50), weights=(1.0, 0.5), eta_min=1e-7, warmup=warmup)


def test_each_cycle_falls_from_its_weight_to_eta_min() -> None:
    assert rate(0) == pytest.approx(2e-4)
    assert rate(50) == pytest.approx((2e-4 + 1e-7) / 2)
    assert rate(99) == pytest.approx(1e-7, abs=1e-7)
    assert rate(100) == pytest.approx(1e-4)
    assert rate(125) == pytest.approx((1e-4 + 1e-7) / 2)


def test_after_the_last_cycle_the_rate_stays_at_eta_min() -> None:
    assert rate(150) == rate(10**6) == 1e-7


def test_warm_up_rises_linearly_into_the_cosine() -> None:
    assert rate(0, warmup=9) == pytest.approx(rate(0) / 10)
    assert rate(4, warmup=9) == pytest.approx(rate(4) / 2)
    assert rate(9, warmup=9) == rate(9)
