"""What a benchmark has measured: a record a picture and system, kept in a file as soon as it is there."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cnlrn.evaluation.metrics import Metric


@dataclass(frozen=True)
class Record:
    """What was measured on one picture: figures by metric, seconds when warm, and the most bytes held so far.

    `blurry` are the figures of the blurry picture itself, where the system leaves it at its size.
    """

    key: str
    system: str
    set: str
    picture: str
    scores: dict[str, float]
    seconds: float
    memory: int
    blurry: dict[str, float] = field(default_factory=dict)

    def gains(self, metrics: Iterable[Metric]) -> dict[str, float]:
        """By how much each figure is better than that of the blurry picture, where there is one."""
        return {m.name: m.gain(self.scores[m.name], self.blurry[m.name]) for m in metrics if m.name in self.blurry}


class Journal:
    """Records in a file, a JSON object a line; a line that an interruption cut off does not count."""

    def __init__(self, file: Path, overwrite: bool) -> None:
        """The records in `file`, which are removed with `overwrite`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            file.unlink(missing_ok=True)
        text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        self._records: dict[str, Record] = {}
        for line in text.splitlines():
            try:
                record = Record(**json.loads(line))
                if _is_whole(record):
                    self._records[record.key] = record
            except (ValueError, TypeError, RecursionError):
                continue
        self._file = file
        self._start = "" if text.endswith("\n") or not text else "\n"

    def get(self, key: str, metrics: Iterable[Metric], with_blurry: bool) -> Record | None:
        """The record with this key, if it has all these figures, and those of the blurry picture where wanted."""
        record = self._records.get(key)
        if record is None:
            return None
        names = {metric.name for metric in metrics}
        return record if names <= record.scores.keys() and (not with_blurry or names <= record.blurry.keys()) else None

    def add(self, record: Record) -> None:
        """Append a record to the file; one of the same key does not count any more."""
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(f"{self._start}{json.dumps(asdict(record))}\n")
        self._start = ""
        self._records[record.key] = record


def _is_whole(record: Record) -> bool:
    """Whether a line that was read holds figures; TypeError where it holds anything else in their place."""
    figures = (*dict(record.scores).values(), *dict(record.blurry).values())
    return all(map(math.isfinite, figures)) and 0 < record.seconds < math.inf and 0 <= record.memory < math.inf
