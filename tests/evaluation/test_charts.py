import math
from itertools import combinations, pairwise

import numpy as np
import pytest

from cnlrn.evaluation.charts import RADIUS, Box, scatter


def crowded(count: int) -> dict[str, tuple[float, float]]:
    """As compact networks and their chains lie: most of them close together."""
    rng = np.random.default_rng(0)
    return {
        f"network-{index}-s": (float(rng.uniform(0.1, 0.4)), float(rng.normal(21.5, 0.15))) for index in range(count)
    }


def test_twenty_five_labels_touch_neither_each_other_nor_a_point() -> None:
    drawn = scatter(crowded(24) | {"bicubic": (0.01, 21.0)}, higher_is_better=True)
    assert len(drawn.points) == 25
    dots = [Box(point.x - RADIUS, point.y - RADIUS, 2 * RADIUS, 2 * RADIUS) for point in drawn.points]
    for point in drawn.points:
        assert point.label.overlap(drawn.plane) == pytest.approx(point.label.width * point.label.height)
        assert not any(point.label.overlap(dot) for dot in dots)
    assert not any(a.label.overlap(b.label) for a, b in combinations(drawn.points, 2))


def test_a_label_that_is_apart_from_its_point_is_joined_to_it() -> None:
    for point in scatter(crowded(25), higher_is_better=True).points:
        across = max(point.label.x - point.x, point.x - point.label.x - point.label.width, 0)
        down = max(point.label.y - point.y, point.y - point.label.y - point.label.height, 0)
        assert (point.line is not None) == (math.hypot(across, down) > 2 * RADIUS)


def test_points_lie_right_by_time_and_up_by_figure() -> None:
    points = {p.name: p for p in scatter({"a": (0.1, 20), "b": (1, 21), "c": (10, 22)}, higher_is_better=True).points}
    assert points["b"].x - points["a"].x == pytest.approx(points["c"].x - points["b"].x)
    assert points["a"].x < points["b"].x
    assert points["a"].y - points["b"].y == pytest.approx(points["b"].y - points["c"].y)
    assert points["c"].y < points["a"].y


@pytest.mark.parametrize(("higher", "unbeaten"), [(True, {"fast", "good"}), (False, {"fast"})])
def test_a_point_is_unbeaten_when_none_is_as_fast_and_as_good(higher: bool, unbeaten: set[str]) -> None:
    values = {"fast": (0.1, 20.0), "good": (1.0, 22.0), "neither": (1.0, 21.0)}
    assert {point.name for point in scatter(values, higher).points if point.unbeaten} == unbeaten


@pytest.mark.parametrize("values", [{"alone": (0.2, 21.5)}, {"a": (0.2, 21.5), "same": (0.2, 21.5)}, crowded(9)])
def test_axes_have_some_round_ticks_in_their_order(values: dict[str, tuple[float, float]]) -> None:
    drawn = scatter(values, higher_is_better=True)
    for ticks, places in ((drawn.columns, "left to right"), (drawn.rows, "bottom to top")):
        assert 2 <= len(ticks) <= 12, places
        assert all(float(a[1]) < float(b[1]) for a, b in pairwise(ticks))
        assert len({text for _, text in ticks}) == len(ticks)
    assert all(a[0] < b[0] for a, b in pairwise(drawn.columns))
    assert all(a[0] > b[0] for a, b in pairwise(drawn.rows))


def test_ticks_over_many_decades_are_powers_of_ten() -> None:
    drawn = scatter({"fast": (0.001, 20.0), "slow": (100.0, 21.0)}, higher_is_better=True)
    assert {float(text) for _, text in drawn.columns} <= {10.0**power for power in range(-4, 4)}
