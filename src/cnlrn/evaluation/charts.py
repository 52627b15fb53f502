"""Where points, ticks and labels of a scatter lie, in the units of its drawing; the report's template draws them."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 460
RADIUS = 5
_LEFT, _TOP, _RIGHT, _BOTTOM = 58, 12, 748, 416  # the plane of the points
_LETTER, _LINE = 7.2, 15  # width of a letter and height of a line in text of 12 units
_DISTANCES = (9, 15, 24, 36, 50, 66, 84, 104, 126, 150, 180)
_DIRECTIONS = [math.tau * turn / 16 for turn in (0, 8, 4, 12, 1, 15, 7, 9, 2, 14, 6, 10, 3, 13, 5, 11)]


@dataclass(frozen=True)
class Box:
    """A rectangle, its corner upper left."""

    x: float
    y: float
    width: float
    height: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        across = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        down = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0.0, across) * max(0.0, down)


@dataclass(frozen=True)
class Point:
    """A point, the box of its label, and the end of a line from the point to the label where they are apart."""

    name: str
    x: float
    y: float
    label: Box
    line: tuple[float, float] | None
    unbeaten: bool
    """No other point is faster and at least as good, or better and at least as fast."""


@dataclass(frozen=True)
class Scatter:
    """Points in `plane`; ticks are (place, text) along its lower and its left side."""

    plane: Box
    columns: list[tuple[float, str]]
    rows: list[tuple[float, str]]
    points: list[Point]


@dataclass(frozen=True)
class _Axis:
    """Values from `low` to `high` on a line from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def scatter(values: Mapping[str, tuple[float, float]], higher_is_better: bool) -> Scatter:
    """The scatter of name -> (seconds, figure), seconds on a logarithmic axis. Labels keep clear of all else."""
    across = _axis([math.log10(seconds) for seconds, _ in values.values()], 1.0, _LEFT, _RIGHT)
    up = _axis([figure for _, figure in values.values()], 1e-3, _BOTTOM, _TOP)
    places = {name: (across.at(math.log10(seconds)), up.at(figure)) for name, (seconds, figure) in values.items()}
    labels = _labels(places)
    goodness = {name: (-seconds, figure if higher_is_better else -figure) for name, (seconds, figure) in values.items()}
    points = [
        Point(name, x, y, labels[name], _line(x, y, labels[name]), _unbeaten(goodness, name))
        for name, (x, y) in places.items()
    ]
    return Scatter(
        Box(_LEFT, _TOP, _RIGHT - _LEFT, _BOTTOM - _TOP),
        [(across.at(math.log10(value)), f"{value:g}") for value in _powers(across.low, across.high)],
        [(up.at(value), text) for value, text in _steps(up.low, up.high)],
        points,
    )


def _axis(values: list[float], least: float, start: float, end: float) -> _Axis:
    """An axis that shows at least `least`, with some room beside the outermost values."""
    middle, half = (max(values) + min(values)) / 2, max(max(values) - min(values), least) * 0.58
    return _Axis(middle - half, middle + half, start, end)


def _powers(low: float, high: float) -> Iterator[float]:
    """1, 2 and 5 times powers of ten, or of many the powers alone, whose logarithm is from `low` to `high`."""
    for exponent in range(math.floor(low), math.ceil(high) + 1):
        for factor in (1, 2, 5) if high - low < 3 else (1,):
            if low <= exponent + math.log10(factor) <= high:
                yield factor * 10.0**exponent


def _steps(low: float, high: float) -> Iterator[tuple[float, str]]:
    """Five or so round values from `low` to `high`, and how they are written."""
    power = math.floor(math.log10((high - low) / 5))
    step = next(factor * 10.0**power for factor in (1, 2, 5, 10) if factor * 10.0**power >= (high - low) / 5)
    for count in range(math.ceil(low / step), math.floor(high / step) + 1):
        yield count * step, f"{count * step:.{max(0, -power)}f}"


def _unbeaten(goodness: Mapping[str, tuple[float, float]], name: str) -> bool:
    speed, quality = goodness[name]
    return not any(
        other_speed >= speed and other_quality >= quality and (other_speed, other_quality) != (speed, quality)
        for other_speed, other_quality in goodness.values()
    )


def _labels(places: Mapping[str, tuple[float, float]]) -> dict[str, Box]:
    """A box for the label of each point, as near to it as is free; the most crowded points choose first."""
    taken = [Box(x - RADIUS, y - RADIUS, 2 * RADIUS, 2 * RADIUS) for x, y in places.values()]
    labels: dict[str, Box] = {}
    for name in sorted(places, key=lambda name: _crowd(places, name), reverse=True):
        candidates = _candidates(*places[name], _LETTER * len(name))
        labels[name] = min(
            candidates, key=lambda box: sum(map(box.overlap, taken))
        )  # the first, so the nearest, of equals
        taken.append(labels[name])
    return labels


def _crowd(places: Mapping[str, tuple[float, float]], name: str) -> float:
    return sum(1 / (1 + math.dist(places[name], place)) for place in places.values())


def _candidates(x: float, y: float, width: float) -> Iterable[Box]:
    """Boxes inside the plane around a point, nearest first."""
    for distance in _DISTANCES:
        for direction in _DIRECTIONS:
            right, down = math.cos(direction), math.sin(direction)
            left = x + distance * right - width * (0 if right > 0.3 else 1 if right < -0.3 else 0.5)
            top = y + distance * down - _LINE * (1 + (down < -0.3) - (down > 0.3)) / 2
            if _LEFT <= left <= _RIGHT - width and _TOP <= top <= _BOTTOM - _LINE:
                yield Box(left, top, width, _LINE)


def _line(x: float, y: float, label: Box) -> tuple[float, float] | None:
    nearest = min(max(x, label.x), label.x + label.width), min(max(y, label.y), label.y + label.height)
    return nearest if math.dist((x, y), nearest) > 2 * RADIUS else None
