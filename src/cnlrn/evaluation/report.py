"""A benchmark's results for people: report.html, one file that needs nothing else, and report.md, its tables.

report.html.j2 draws; here is decided what: cells, bars, and which parts of pictures are worth a closer look.
"""

import base64
import re
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

import cv2
import jinja2
import numpy as np
import numpy.typing as npt
import yaml

from cnlrn.data.pictures import Byte
from cnlrn.data.sets import read
from cnlrn.errors import CnlrnError, cut
from cnlrn.evaluation import charts
from cnlrn.evaluation.benchmark import MEGABYTE, SCHEMA, Contents, Results, Row, Shown
from cnlrn.evaluation.charts import Box, Scatter
from cnlrn.evaluation.metrics import Metric
from cnlrn.evaluation.systems import SCALE
from cnlrn.files import replacing

Float = npt.NDArray[np.float32]

_LARGEST = 5 * 10**6  # bytes of report.html, beyond which its pictures are compressed more
_QUALITIES = (92, 80, 65, 50)  # of WebP
_LOSSLESS = 101
_CROP = 96  # pixels of the result, a side
_WHOLE = 640  # pixels across a whole picture
_MARKDOWN = re.compile(r"[&<>|`*\[\]\\~]|(?<![^\W_])_|_(?![^\W_])|(?<=:)//")  # what would be more than text
_OTHERS = ("seconds", "memory, MB", "parameters", "kMAC")
_RESULTS = {4: "four times as wide and high", 1: "at its own size"}
_LEFT_OUT = {4: "they do not enlarge, and are no parts of a chain", 1: "they only enlarge"}
"""Why systems are left out, by the scale of a set."""


@dataclass(frozen=True)
class Cell:
    """What is written in a table, by what value it is sorted (None is last), and whether it is the best."""

    text: str
    value: float | None
    best: bool = False


@dataclass(frozen=True)
class Line:
    """A system in a table: its cells, or why it failed."""

    system: str
    cells: list[Cell]
    failed: str | None


@dataclass(frozen=True)
class Bar:
    """By how much a system is better than the baseline; `left` and `width` in percent of the room for bars."""

    system: str
    text: str
    left: float
    width: float
    better: bool


@dataclass(frozen=True)
class Chart:
    """One metric of a set's systems."""

    metric: Metric
    scatter: Scatter
    baseline: str
    bars: list[Bar]


@dataclass(frozen=True)
class View:
    """A part of a picture: where it is, in percent of the whole, and (name, data URI, figure) of each version of it."""

    box: Box
    images: list[tuple[str, str, str]]


@dataclass(frozen=True)
class Gallery:
    """A picture of a set: the whole of it, and enlarged parts."""

    picture: str
    whole: View
    parts: list[View]


@dataclass(frozen=True)
class Head:
    """What is written over a column of a table, and whether higher values are better (sorted first)."""

    title: str
    higher_is_better: bool


@dataclass(frozen=True)
class Section:
    """What is told of a set."""

    name: str
    pairs: int
    heads: list[Head]
    lines: list[Line]
    notes: list[str]
    charts: list[Chart]
    galleries: list[Gallery]


def write(results: Results, out: Path) -> Path:
    """Write report.html and report.md into the folder `out`; the path of the first.

    report.html stays below 5 MB, if need be by stronger compression of its pictures, as far as that goes.

    Raises:
        CnlrnError: one of the files cannot be written.
    """
    for quality in _QUALITIES:
        page = _page(results, quality)
        if len(page) <= _LARGEST:
            break
    for name, text in (("report.html", page), ("report.md", markdown(results))):
        try:
            with replacing(out / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise CnlrnError(f"cannot write {out / name} ({error.strerror})") from error
    return out / "report.html"


def markdown(results: Results) -> str:
    """The tables of all sets in Markdown, and how they were measured."""
    parts = []
    for name, contents in results.sets.items():
        heads = ["system", *(head.title for head in _heads(results, contents))]
        rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
        for line in _lines(results, name):
            cells = [f"**{cell.text}**" if cell.best else cell.text for cell in line.cells]
            rows.append([_text(line.system), *([f"failed: {_text(line.failed)}"] if line.failed else cells)])
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts.append(f"### {_text(name)} ({contents.pairs} pictures)\n\n{table}\n")
        parts += [f"{_text(note)}\n" for note in _notes(results, name)]
    facts = _text(", ".join(f"{name} {fact}" for name, fact in results.machine.items()))
    parts.append(f"Seconds a picture: warm, median. Memory: resident, the most of a process. {facts}.\n")
    return "\n".join(parts)


def _text(text: str) -> str:
    """A text in Markdown that shows as it is: no HTML, no table, no link, no emphasis, one line."""
    return _MARKDOWN.sub(lambda found: "".join(f"&#{ord(letter)};" for letter in found[0]), cut(text, len(text)))


def _printable(value: object) -> object:
    """What a template shows: of texts, but not of HTML, only letters that can be printed, and line ends."""
    if isinstance(value, str) and not hasattr(value, "__html__") and not value.isprintable():
        return "\n".join(cut(line, len(line)) for line in value.split("\n"))
    return value


def _page(results: Results, quality: int) -> str:
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.from_string(files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8"))
    sections = [_section(results, name, quality) for name in results.sets]
    suite = yaml.safe_dump(SCHEMA.plain(results.suite), sort_keys=False, allow_unicode=True)
    return template.render(
        results=results,
        sections=sections,
        systems=len({row.system for row in results.rows}),
        kinds=" or ".join(_RESULTS[scale] for scale in sorted({c.scale for c in results.sets.values()}, reverse=True)),
        suite=suite,
        charts=charts,
        date=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def _section(results: Results, name: str, quality: int) -> Section:
    working = [row for row in results.rows if row.set == name and row.failed is None]
    drawn = [_chart(results, metric, working) for metric in results.metrics if working]
    galleries = [_gallery(shown, results.metrics[0], quality) for shown in results.shown if shown.set == name]
    contents = results.sets[name]
    heads, lines = _heads(results, contents), _lines(results, name)
    return Section(name, contents.pairs, heads, lines, _notes(results, name), drawn, galleries)


def _heads(results: Results, contents: Contents) -> list[Head]:
    """The columns behind the systems' names."""
    heads = []
    for metric in results.metrics:
        heads.append(Head(metric.title, metric.higher_is_better))
        if contents.scale == 1:
            heads += [Head("gain", True), Head("least gain", True)]
    return [*heads, *(Head(title, False) for title in _OTHERS)]


def _notes(results: Results, name: str) -> list[str]:
    """What is to be known of the table of a set."""
    contents = results.sets[name]
    notes = []
    if contents.scale == 1:
        notes.append("Gain: by how much the result is better than the blurry picture.")
    if contents.left_out:
        notes.append(f"Left out, because {_LEFT_OUT[contents.scale]}: {', '.join(contents.left_out)}.")
    return notes


def _lines(results: Results, name: str) -> list[Line]:
    """The rows of the table of a set."""
    rows = [row for row in results.rows if row.set == name]
    working = [row for row in rows if row.failed is None]
    lines = []
    for row in rows:
        cells = []
        if row.failed is None:
            for metric in results.metrics:
                values = [other.scores[metric.name] for other in working]
                value = row.scores[metric.name]
                best = value == (max if metric.higher_is_better else min)(values)
                cells.append(Cell(f"{value:.{metric.digits}f}", value, best))
                if gain := row.gains.get(metric.name):
                    gains = [other.gains[metric.name] for other in working]
                    best = gain.mean == max(other.mean for other in gains)
                    cells.append(Cell(f"{gain.mean:+.{metric.digits}f}", gain.mean, best))
                    best = gain.least == max(other.least for other in gains)
                    cells.append(Cell(f"{gain.least:+.{metric.digits}f}, {gain.picture}", gain.least, best))
            cost = row.costs
            cells.append(Cell(f"{row.seconds:.3f}", row.seconds))
            cells.append(Cell(f"{row.memory / MEGABYTE:,.0f}", row.memory))
            cells.append(Cell("–" if cost.parameters is None else f"{cost.parameters:,}", cost.parameters))
            cells.append(Cell("–" if cost.macs is None else f"{cost.macs / 1e3:,.1f}", cost.macs))
        lines.append(Line(row.system, cells, row.failed))
    return lines


def _chart(results: Results, metric: Metric, rows: list[Row]) -> Chart:
    specs = results.suite.systems
    baseline = "the blurry pictures"
    gains = {row.system: row.gains[metric.name].mean for row in rows if row.gains}
    if not gains:
        base = next((row for row in rows if specs[row.system].is_baseline), rows[0])
        baseline = base.system
        gains = {row.system: metric.gain(row.scores[metric.name], base.scores[metric.name]) for row in rows}
    low, high = min(0.0, *gains.values()), max(0.0, *gains.values())
    percent = 100 / ((high - low) or 1)
    bars = [
        Bar(system, f"{gain:+.{metric.digits}f}", percent * (min(gain, 0) - low), percent * abs(gain), gain >= 0)
        for system, gain in sorted(gains.items(), key=lambda item: -item[1])
    ]
    values = {row.system: (row.seconds, row.scores[metric.name]) for row in rows}
    return Chart(metric, charts.scatter(values, metric.higher_is_better), baseline, bars)


def _gallery(shown: Shown, metric: Metric, quality: int) -> Gallery:
    """The blurry and the sharp picture and what systems made of it: the best whole, parts of all."""
    blurry, sharp = read(shown.blurry), read(shown.sharp)
    restored = {system: read(file) for system, (file, _) in shown.restored.items()}
    figures = {system: scores[metric.name] for system, (_, scores) in shown.restored.items()}
    notes = {system: f"{figure:.{metric.digits}f}" for system, figure in figures.items()}
    ranked = sorted(figures, key=lambda system: figures[system], reverse=metric.higher_is_better)
    height, width = sharp.shape[:2]
    scale = height // blurry.shape[0]

    whole = [
        ("blurry input", _uri(_reduced(blurry), quality), ""),
        *((system, _uri(_reduced(restored[system]), quality), notes[system]) for system in ranked[:1]),
        ("sharp original", _uri(_reduced(sharp), quality), ""),
    ]
    parts = []
    for top, left, side in _places(sharp, list(restored.values())):
        rows, columns = slice(top, top + side), slice(left, left + side)
        cut = blurry[top // scale : (top + side) // scale, left // scale : (left + side) // scale]
        images = [
            ("blurry input", _uri(cut, _LOSSLESS), ""),
            *((system, _uri(picture[rows, columns], quality), notes[system]) for system, picture in restored.items()),
            ("sharp original", _uri(sharp[rows, columns], quality), ""),
        ]
        box = Box(100 * left / width, 100 * top / height, 100 * side / width, 100 * side / height)
        parts.append(View(box, images))
    return Gallery(shown.picture, View(Box(0, 0, 100, 100), whole), parts)


def _places(sharp: Byte, restored: list[Byte]) -> list[tuple[int, int, int]]:
    """Top, left and side of two squares that do not overlap, multiples of 4 (one where there is no room for two).

    The first is where the systems differ most; the second, and without two systems to compare the first too, where the
    sharp picture has most texture.
    """
    side = min(_CROP, *(length // SCALE * SCALE for length in sharp.shape[:2]))
    gray = _gray(sharp)
    across, down = (np.abs(cv2.Sobel(gray, cv2.CV_32F, dx, 1 - dx)) for dx in (1, 0))
    texture = _sums(across + down, side)
    difference = _sums(np.std([_gray(picture) for picture in restored], axis=0), side) if restored[1:] else texture
    row, column = _peak(difference)
    places = [(row * SCALE, column * SCALE, side)]
    reach = side // SCALE
    texture[max(0, row - reach + 1) : row + reach, max(0, column - reach + 1) : column + reach] = -1
    row, column = _peak(texture)
    return places if texture[row, column] < 0 else [*places, (row * SCALE, column * SCALE, side)]


def _gray(picture: Byte) -> Float:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def _sums(values: Float, side: int) -> Float:
    """The sum of `values` over every square of this side whose corner is a multiple of 4."""
    total = np.asarray(cv2.integral(values))[::SCALE, ::SCALE]
    reach = side // SCALE
    sums = total[reach:, reach:] - total[:-reach, reach:] - total[reach:, :-reach] + total[:-reach, :-reach]
    return sums.astype(np.float32)


def _peak(values: Float) -> tuple[int, int]:
    row, column = divmod(int(np.argmax(values)), values.shape[1])
    return row, column


def _reduced(picture: Byte) -> Byte:
    """The picture, at most so wide as whole pictures are shown."""
    height, width = picture.shape[:2]
    if width <= _WHOLE:
        return picture
    size = (_WHOLE, max(1, round(height * _WHOLE / width)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _uri(picture: Byte, quality: int) -> str:
    data = cv2.imencode(".webp", picture[..., ::-1], (cv2.IMWRITE_WEBP_QUALITY, quality))[1]
    return f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode()}"
