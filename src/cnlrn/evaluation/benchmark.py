"""Benchmarks: every system of a suite on every set, measured picture by picture, and taken up again where it stopped.

Each result is in results.jsonl, in the folder of the benchmark, as soon as it is there, under a key that changes with
everything that decides it. How results are shown is in `cnlrn.evaluation.report`.
"""

import csv
import hashlib
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import cv2

from cnlrn.data import pictures
from cnlrn.data.pictures import Byte
from cnlrn.data.sets import Pair, PairSet, open_set
from cnlrn.errors import CnlrnError, cut, shown
from cnlrn.evaluation import machine, systems
from cnlrn.evaluation.journal import Journal, Record
from cnlrn.evaluation.metrics import BORDERS, Metric, metric
from cnlrn.evaluation.pairs import figures
from cnlrn.evaluation.systems import Costs, Spec, Steps
from cnlrn.evaluation.worker import Failure, Worker, started
from cnlrn.files import replacing
from cnlrn.yamlfile import Natural, Schema, Within

MEGABYTE = 2**20
_LONGEST_NAME = 40  # letters; charts have room for so many
_LONGEST_REASON = 1000
# Of a file, on any disk.
_SAFE_NAME = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$))[a-z0-9_][a-z0-9._+-]{0,79}(?<!\.)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # how cells begin that spreadsheets compute

Progress = Callable[[str, int, int], None]
"""Called with what is measured now, how many pictures are done with, and how many there are."""


@dataclass(frozen=True)
class Suite:
    """What is compared, on what, and by which figures."""

    sets: dict[str, str]
    """Name -> folder that holds blurry_x4/ and sharp/, or blurry/ and sharp/, or another set as
    `cnlrn.data.sets.open_set` takes it."""
    systems: dict[str, Spec]
    metrics: tuple[str, ...] = ("psnr", "ssim")
    """Names that `cnlrn.evaluation.metrics.metric` knows."""
    threads: Annotated[int, Within(1, 1024)] | None = None
    """CPU threads of each system; None is one a CPU."""
    shown: Natural = 3
    """Pictures of each set that the report shows, spread evenly over the set."""


SCHEMA = Schema("suite", systems.KINDS)


@dataclass(frozen=True)
class Gain:
    """By how much a figure is better than that of the blurry pictures: the mean, and the least, of `picture`."""

    mean: float
    least: float
    picture: str


@dataclass(frozen=True)
class Row:
    """A system on a set: the mean of each figure over the pictures, the median of the seconds, the most memory.

    `gains` are there on sets of pairs of one size. Where `failed` tells why the system failed there are no figures.
    """

    system: str
    set: str
    costs: Costs
    scores: dict[str, float] = field(default_factory=dict)
    gains: dict[str, Gain] = field(default_factory=dict)
    seconds: float = 0.0
    memory: int = 0
    """Bytes."""
    failed: str | None = None


@dataclass(frozen=True)
class Shown:
    """A picture for the report: files of its blurry and sharp version, and system -> file and figures of its result."""

    set: str
    picture: str
    blurry: Path
    sharp: Path
    restored: dict[str, tuple[Path, dict[str, float]]]


@dataclass(frozen=True)
class Contents:
    """What is told of a set beside figures."""

    pairs: int
    """How many it has."""
    scale: int
    """How many times as wide and high as the blurry pictures the sharp ones are: 4, or 1."""
    left_out: list[str]
    """Systems that do not enlarge so many times."""


@dataclass(frozen=True)
class Results:
    """All that a report tells; `rows` and `shown` are in the order of the suite's sets, and in these of its systems."""

    suite: Suite
    metrics: tuple[Metric, ...]
    machine: dict[str, str]
    sets: dict[str, Contents]
    rows: list[Row]
    shown: list[Shown]


def load(file: Path) -> Suite:
    """Read a suite from a YAML file.

    Raises:
        CnlrnError: the file cannot be read, a key is unknown (the nearest known one is offered), missing or of the
            wrong type, or a system or metric makes no sense.
    """
    suite = SCHEMA.parse(Suite, SCHEMA.tree(file))
    for key in ("sets", "systems", "metrics"):
        if not getattr(suite, key):
            raise CnlrnError(f"the suite has no {key}; name at least one")
    for name in (*suite.sets, *suite.systems):
        if len(name) > _LONGEST_NAME:
            raise CnlrnError(f"the name {cut(name)} is longer than {_LONGEST_NAME} letters; choose a shorter one")
        if not (name.strip() and name.isprintable()):
            raise CnlrnError(f"{shown(name)} is no name of a set or system; choose one of letters that can be seen")
    systems.plan(suite.systems)
    for name in suite.metrics:
        metric(name)
    return suite


def run(suite: Suite, out: Path, *, overwrite: bool = False, progress: Progress | None = None) -> Results:
    """Measure what is not in the folder `out` yet, which is made if need be, and sum up all.

    A system is measured on the sets whose scale it has. One that fails does not stop the others; the next run tries it
    again. A result is measured anew when its system, a file of the system, its picture, the number of threads or the
    machine has changed, and with `overwrite` always. Writes results.jsonl, results.csv (a line a picture), summary.csv
    (a line a system and set) and pictures/.

    Raises:
        CnlrnError: a set is not there, cannot be read or suits no system, or `out` cannot be written.
    """
    try:
        sets = {name: open_set(spec) for name, spec in suite.sets.items()}
        planned = {scale: systems.plan(suite.systems, scale) for scale in {pairs.scale for pairs in sets.values()}}
        contents = {name: _contents(name, pairs, suite, planned[pairs.scale]) for name, pairs in sets.items()}
        bench = _Bench(suite, planned, out, overwrite)
        total, begun = sum(len(bench.planned[pairs.scale]) * len(pairs) for pairs in sets.values()), 0
        rows: list[Row] = []
        records: list[Record] = []
        shown: list[Shown] = []
        for set_name, pairs in sets.items():
            for system in bench.planned[pairs.scale]:
                found: list[Record] = []
                failed = None
                tell = partial(progress or _silent, f"{system} on {set_name}")
                tell(begun, total)
                try:
                    for record in bench.measure(system, set_name, pairs):
                        found.append(record)
                        tell(begun + len(found), total)
                except Failure as failure:
                    failed = cut(str(failure), _LONGEST_REASON)
                begun += len(pairs)
                row = Row(system, set_name, bench.costs[pairs.scale][system], failed=failed)
                rows.append(row if failed is not None else _summed_up(row, bench.metrics, found))
                records += found
            whole = {row.system for row in rows if row.set == set_name and row.failed is None}
            shown += bench.shown(set_name, pairs, [r for r in records if r.set == set_name and r.system in whole])
        results = Results(suite, bench.metrics, bench.machine, contents, rows, shown)
        _write_tables(results, records, out)
    except OSError as error:
        raise CnlrnError(f"cannot read or write {cut(str(error.filename or out), 200)} ({error.strerror})") from error
    return results


def _contents(set_name: str, pairs: PairSet, suite: Suite, planned: Mapping[str, Steps]) -> Contents:
    """What a set holds; CnlrnError where none of the suite's systems, of which these are planned, suits it."""
    if not planned:
        wanted = "are of one size" if pairs.scale == 1 else "are to be enlarged x4"
        hint = "one that deblurs" if pairs.scale == 1 else 'one that enlarges, or a chain, "deblur:NAME + sr:bicubic"'
        raise CnlrnError(f"the pairs of {set_name} {wanted}, and no system of the suite does that; add {hint}")
    return Contents(len(pairs), pairs.scale, systems.left_out(suite.systems, planned))


def _silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


class _Bench:
    """What all measurements of a run share: systems, figures, machine, and the results that are there already."""

    def __init__(self, suite: Suite, planned: Mapping[int, Mapping[str, Steps]], out: Path, overwrite: bool) -> None:
        self.count = suite.shown
        self.threads = suite.threads or machine.cores()
        self.machine = machine.described(self.threads)
        self.metrics = tuple(metric(name) for name in suite.metrics)
        self.scored = {
            scale: tuple(metric(name, border) for name in suite.metrics) for scale, border in BORDERS.items()
        }
        self.planned = planned
        self.costs = {scale: {n: systems.costs(steps) for n, steps in plan.items()} for scale, plan in planned.items()}
        self.unrestored: dict[Pair, dict[str, float]] = {}
        self.journal = Journal(out / "results.jsonl", overwrite)
        self.folder = out / "pictures"

    def measure(self, system: str, set_name: str, pairs: PairSet) -> Iterator[Record]:
        """A record of each pair in turn, measured where it is not in the journal; Failure where the system fails."""
        steps = self.planned[pairs.scale][system]
        metrics = self.scored[pairs.scale]
        try:
            identity = systems.fingerprint(steps)
        except CnlrnError as error:
            raise Failure(str(error)) from error
        kept = {pair.name for pair in self._kept(pairs)}
        with ExitStack() as stack:
            worker: Worker | None = None
            for pair in pairs:
                key = pictures.key([pair.blurry, *pair.sharp], pair.full_size, identity, self.machine)
                file = self._file(set_name, pair.name, f"{system}-{key}") if pair.name in kept else None
                record = self.journal.get(key, metrics, pairs.scale == 1)
                if record is None or (file and not file.exists()):
                    lr, sharp = pair.read()
                    if worker is None:
                        worker = stack.enter_context(started(steps, self.threads))
                        worker.restore(lr)  # the first time is slower than those after it
                    restored = worker.restore(lr)
                    scores = _scores(metrics, pair, restored.picture, sharp)
                    blurry = self._unrestored(pair, lr, sharp) if pairs.scale == 1 else {}
                    if file is not None:
                        _save(restored.picture, file)
                    record = Record(key, system, set_name, pair.name, scores, restored.seconds, restored.memory, blurry)
                    self.journal.add(record)
                yield replace(record, system=system, set=set_name, picture=pair.name)

    def shown(self, set_name: str, pairs: PairSet, records: Iterable[Record]) -> list[Shown]:
        """The pictures of a set for the report, with the results in `records`."""
        shown = []
        for pair in self._kept(pairs):
            lr, sharp = pair.read()
            blurry_file, sharp_file = (self._file(set_name, pair.name, name) for name in ("blurry", "sharp"))
            _save(lr, blurry_file)
            _save(sharp, sharp_file)
            restored = {
                record.system: (self._file(set_name, pair.name, f"{record.system}-{record.key}"), record.scores)
                for record in records
                if record.picture == pair.name
            }
            shown.append(Shown(set_name, pair.name, blurry_file, sharp_file, restored))
        return shown

    def _unrestored(self, pair: Pair, blurry: Byte, sharp: Byte) -> dict[str, float]:
        """The figures of the blurry picture itself, which is as large as the sharp one."""
        if pair not in self.unrestored:
            self.unrestored[pair] = _scores(self.scored[1], pair, blurry, sharp)
        return self.unrestored[pair]

    def _kept(self, pairs: PairSet) -> list[Pair]:
        """The pairs whose pictures are shown, spread evenly over the set."""
        count = min(self.count, len(pairs))
        return [pairs.pairs[int((index + 0.5) * len(pairs) / count)] for index in range(count)]

    def _file(self, *names: str) -> Path:
        *folders, name = map(_file_name, names)
        return self.folder.joinpath(*folders, f"{name}.png")


def _file_name(name: str) -> str:
    """A name for a file that no other `name` gets, on disks too that take upper and lower case for the same."""
    if _SAFE_NAME.fullmatch(name):
        return name
    readable = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
    return f"{readable}~{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:16]}"


def _scores(metrics: Sequence[Metric], pair: Pair, restored: Byte, sharp: Byte) -> dict[str, float]:
    try:
        found = figures(metrics, pair, restored, sharp)
    except CnlrnError as error:
        raise Failure(f"{pair.name}: {error}") from error
    return {metric.name: figure for metric, figure in zip(metrics, found, strict=True)}


def _save(picture: Byte, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    data = cv2.imencode(".png", picture[..., ::-1])[1]
    with replacing(file) as temporary:
        temporary.write_bytes(data.tobytes())


def _summed_up(row: Row, metrics: Sequence[Metric], records: Sequence[Record]) -> Row:
    scores = {m.name: statistics.fmean(record.scores[m.name] for record in records) for m in metrics}
    by_picture = [(record.gains(metrics), record.picture) for record in records]
    gains = {
        name: Gain(
            statistics.fmean(gains[name] for gains, _ in by_picture),
            *min((gains[name], picture) for gains, picture in by_picture),
        )
        for name in by_picture[0][0]
    }
    seconds = statistics.median(record.seconds for record in records)
    memory = max(record.memory for record in records)
    return replace(row, scores=scores, gains=gains, seconds=seconds, memory=memory)


def _write_tables(results: Results, records: Iterable[Record], out: Path) -> None:
    """results.csv: a line a picture. summary.csv: a line a system and set, with the reason where it failed."""
    names = [metric.name for metric in results.metrics]
    gained = names if any(contents.scale == 1 for contents in results.sets.values()) else []
    heads = ["set", "system", "picture", *names, "seconds", "memory_mb", *(f"{name}_gain" for name in gained)]
    lines: list[list[object]] = []
    for r in records:
        gains = r.gains(results.metrics)
        measured: list[object] = [*(r.scores[name] for name in names), r.seconds, _megabytes(r.memory)]
        lines.append([r.set, r.system, r.picture, *measured, *(gains.get(name) for name in gained)])
    _write_csv(out / "results.csv", heads, lines)
    heads = ["set", "system", *names, "seconds", "memory_mb", "parameters", "macs_per_lr_pixel", "failed"]
    heads += [f"{name}_{what}" for name in gained for what in ("gain", "least_gain", "least_picture")]
    lines = []
    for row in results.rows:
        measured = [*(row.scores.get(name) for name in names), row.seconds, _megabytes(row.memory)]
        shown = measured if row.failed is None else [None] * len(measured)
        each = [row.gains.get(name) for name in gained]
        told = [value for gain in each for value in ((gain.mean, gain.least, gain.picture) if gain else (None,) * 3)]
        lines.append([row.set, row.system, *shown, row.costs.parameters, row.costs.macs, row.failed, *told])
    _write_csv(out / "summary.csv", heads, lines)


def _megabytes(size: int) -> float:
    return round(size / MEGABYTE, 1)


def _write_csv(file: Path, heads: list[str], lines: list[list[object]]) -> None:
    cells = [[_cell(value) if isinstance(value, str) else value for value in line] for line in lines]
    with replacing(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([heads, *cells])


def _cell(text: str) -> str:
    """A text for a cell: on one line, behind an apostrophe where a spreadsheet would take it for a formula."""
    formula = text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA)
    return f"'{cut(text, len(text))}" if formula else cut(text, len(text))
