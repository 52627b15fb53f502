"""Carries out `cnlrn restore`: one picture through streams, or many files. Prints the results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cnlrn import images
from cnlrn.cli.terminal import Bar, complain, say, writing_to_stdout
from cnlrn.errors import CnlrnError
from cnlrn.images.reading import READABLE
from cnlrn.jobs.local import Outcome, Restores
from cnlrn.jobs.search import Search
from cnlrn.restoration.plan import Plan
from cnlrn.restoration.size import AUTOMATIC, Size


def restore_stream(
    make: Callable[[], Restores],
    source: str,
    target: Path | None,
    size: Size,
    suffix: str | None,
    *,
    overwrite: bool,
    strip: bool,
    strength: float,
    force: bool,
) -> int:
    """Restore the picture on stdin (`source` is "-") or in a file, to stdout (`target` is None) or to a file.

    `suffix`: the format on stdout. With None, the source's, as `images.result_format` says.
    Returns the exit code: 1 if the picture is damaged and what can be read of it was restored.
    """
    if target is None:
        _check_stream(sys.stdout, "the result is a picture file and stdout is {}; give -o FILE or redirect stdout")
    if source == "-":
        _check_stream(sys.stdin, "- reads a picture from stdin, which is {}; give a file or redirect stdin")
    if suffix is not None:
        images.format_of(suffix)
    restorer = make()
    picture = images.open_picture(sys.stdin.buffer if source == "-" else source, restorer.max_pixels, restorer.damaged)
    picture.decode()
    if suffix is None:
        suffix = images.result_format(picture.format)
    plan = restorer.plan(picture, size, force=force)
    with restorer.compute(picture, plan, target=target, strip=strip, strength=strength) as restored:
        if target is not None:
            images.write(restored, target, overwrite=overwrite)
        else:
            data = images.encode(restored, suffix)
    for note in restored.notes:
        complain(note)
    if picture.damage is not None:
        complain(picture.damage)
    if target is not None:
        return int(picture.damage is not None)
    with writing_to_stdout():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return int(picture.damage is not None)


def _check_stream(stream: Any, message: str) -> None:
    """CnlrnError if a stream cannot hold a picture; `stream` is None if it is closed."""
    if stream is None or stream.isatty():
        raise CnlrnError(message.format("closed" if stream is None else "a terminal"))


def restore_files(restore_all: Callable[..., Iterator[Outcome]], search: Search, json: bool) -> int:
    """Restore what `search` finds, show the progress, and print a summary. Returns the exit code."""
    start = time.perf_counter()
    counts = {"done": 0, "skipped": 0, "failed": 0}
    left_out = 0
    example: Path | None = None
    complaints: list[str] = []
    damaged = False
    last: Outcome | None = None
    name = search.paths[0].name if search.single else None
    with Bar(search.total, name) if sys.stderr.isatty() and not json else nullcontext() as bar:
        for last in restore_all(progress=bar and bar.part):
            counts[last.status] += 1
            if last.status == "skipped" and last.target is None:
                left_out += 1
                example = example or last.source
            if bar is not None:
                bar.finished()
            damaged |= last.damage is not None
            if json:
                facts = asdict(last)
                del facts["plan"]
                _say_json({**facts, "inspect": last.plan and last.plan.facts()})
            else:
                complaints += [*last.notes, *filter(None, [last.damage])]
                if last.status == "failed":
                    complaints.append(last.reason or "")
    if last is None:
        raise CnlrnError(f"{', '.join(search.inputs)}: no pictures there ({READABLE})")
    seconds = time.perf_counter() - start
    if json:
        _say_json({**counts, "ignored": search.ignored, "seconds": seconds})
    elif search.single:
        _say_one(last, seconds)
    else:
        results = f", {left_out} left out (results themselves, such as {example})" if left_out else ""
        ignored = f", {search.ignored} other files ignored" if search.ignored else ""
        say(
            f"{counts['done']} restored, {counts['skipped'] - left_out} skipped (already there){results}, "
            f"{counts['failed']} failed{ignored}, in {seconds:.1f} s"
        )
    for complaint in complaints:
        complain(complaint)
    if counts["failed"]:
        return 2 if search.single or [last.source] == search.paths else 1
    return int(damaged)


def _say_one(outcome: Outcome, seconds: float) -> None:
    """Print what happened to the only picture, unless it failed."""
    if outcome.status == "done" and outcome.plan is not None:
        say(f"{outcome.target}: {_done(outcome.plan, seconds)}")
    elif outcome.status == "skipped" and outcome.target is None:
        say(outcome.reason or "")
    elif outcome.status == "skipped":
        say(f"{outcome.target}: skipped, it exists; --overwrite replaces it")
    if outcome.sheet is not None:
        say(f"{outcome.sheet}: before and after")


def _done(plan: Plan, seconds: float) -> str:
    """What was done with a picture, in how many seconds, and what else is possible."""
    largest = max(AUTOMATIC)
    more = plan.size.is_automatic and plan.result_width < largest * plan.width
    return f"{plan.words()} in {seconds:.2f} s" + (f"; --scale {largest} enlarges" if more else "")


def _say_json(facts: dict[str, Any]) -> None:
    import json

    say(json.dumps(facts, default=str))
