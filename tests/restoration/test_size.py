from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from cnlrn import CnlrnError
from cnlrn.restoration.size import Size


@pytest.mark.parametrize("scale", [2, 2.0, np.float32(2), np.float64(2), np.int8(2), np.uint64(2), Fraction(2)])
def test_any_real_number_is_a_scale(scale: Any) -> None:
    size = Size(scale)
    assert (size.tag, size.of(300, 200)) == ("x2", (600, 400))


@pytest.mark.parametrize(
    ("width", "height", "scale"), [(1500, 1500, 4), (1501, 1500, 2), (3000, 3000, 2), (3001, 3000, 1), (1, 10**8, 1)]
)
def test_an_automatic_size_keeps_results_small(width: int, height: int, scale: int) -> None:
    assert Size().settled(width, height) == Size(scale)
    assert Size().of(width, height) == (scale * width, scale * height)
    assert Size(3).settled(width, height) == Size(3)


def test_an_automatic_size_is_one_that_the_model_gives() -> None:
    assert Size().settled(100, 100, (1,)) == Size(1)
    assert Size().settled(10_000, 10_000, (2, 3)) == Size(2)


@pytest.mark.parametrize("width", [70, np.int8(70), np.uint16(70), np.int64(70)])
def test_any_whole_number_is_a_width_or_height(width: Any) -> None:
    assert Size(width=width).of(300, 200) == (70, 47)
    assert Size(height=width, width=width).of(300, 200) == (70, 70)
    assert Size(width=width).tag == "w70"


@pytest.mark.parametrize("value", [1.5, 2.0, np.float32(2), "2", b"2", True, np.True_, [2], (), np.ones(2), 2j, {}])
@pytest.mark.parametrize("side", ["width", "height"])
def test_a_width_or_height_that_is_no_whole_number_is_one_sentence(side: str, value: Any) -> None:
    with pytest.raises(CnlrnError, match=rf"^{side} must be a whole number, not [^\n]*$"):
        Size(**{side: value})


@pytest.mark.parametrize("value", ["2", b"2", "x2", True, False, np.True_, [2], np.ones(2), 2j, Decimal(2), object()])
def test_a_scale_that_is_no_number_is_one_sentence(value: Any) -> None:
    with pytest.raises(CnlrnError, match=r"^scale must be a number, not [^\n]*$"):
        Size(value)


@pytest.mark.parametrize(
    "wanted",
    [{"scale": value} for value in (0, -1, np.nan, np.float32("nan"), np.inf, -np.inf, 1e300, 10**400, -(10**5000))]
    + [{"width": value} for value in (0, -3, 10**9, 10**400, 10**5000, np.int64(-5))],
    ids=lambda wanted: next(iter(wanted)),
)
def test_a_size_beyond_reason_is_one_short_sentence(wanted: dict[str, Any]) -> None:
    with pytest.raises(CnlrnError, match=r"^\w+ must be more than 0 and at most 100000000, not [^\n]{1,45}$"):
        Size(**wanted)
