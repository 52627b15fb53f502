import csv
import json
import os
import re
import shlex
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from cnlrn import networks
from cnlrn.data.pictures import read
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.evaluation import benchmark, report
from cnlrn.evaluation.benchmark import SCHEMA, Results, Suite, load, run
from cnlrn.evaluation.journal import Record
from cnlrn.evaluation.metrics import Metric, score
from cnlrn.evaluation.systems import Bicubic, Chain, Command, Model, Network, Spec, plan
from cnlrn.networks.checkpoints import save_weights

CONFIGS = Path(__file__).parents[2] / "configs"
LOGGING = """
import sys
from PIL import Image
log, source, target = sys.argv[1:]
with open(log, "a") as stream:
    stream.write("x")
picture = Image.open(source)
picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.NEAREST).save(target)
"""


class Tool:
    """A command that repeats pixels and counts how often it runs."""

    def __init__(self, folder: Path) -> None:
        self.log, self.script = folder / "log", folder / "tool.py"
        self.script.write_text(LOGGING)
        words = [sys.executable, str(self.script), str(folder / "log"), "{input}", "{output}"]
        self.spec = Command(shlex.join(words))

    def calls(self) -> int:
        """How often it ran since the last time it was asked."""
        calls = self.log.stat().st_size if self.log.exists() else 0
        self.log.unlink(missing_ok=True)
        return calls


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path)


@pytest.fixture
def suite(pairs: Path, tool: Tool) -> Suite:
    return Suite({"mine": str(pairs)}, {"tool": tool.spec}, threads=1, shown=1)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_all_systems_are_measured_and_one_that_fails_stops_nothing(suite: Suite, pairs: Path, tmp_path: Path) -> None:
    systems = {"broken": Command("false {input} {output}"), "absent": Network("srcnn-s", tmp_path / "w.safetensors")}
    seen: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    results = run(
        replace(suite, systems={**systems, "cubic": Bicubic()}), out, progress=lambda *what: seen.append(what)
    )

    failed = {row.system: row.failed for row in results.rows}
    assert failed["broken"] == "false ended with code 1: no message"
    assert "w.safetensors cannot be read" in (failed["absent"] or "")
    assert failed["cubic"] is None
    assert seen[:2] == [("broken on mine", 0, 6), ("absent on mine", 2, 6)]
    assert seen[2:] == [("cubic on mine", done, 6) for done in (4, 5, 6)]

    lr, sharp = (read(pairs / place / "one.png") for place in ("blurry_x4", "sharp"))
    enlarged = np.clip(np.rint(bicubic(lr, 4)), 0, 255).astype(np.uint8)
    one, two = rows(out / "results.csv")
    assert (one["set"], one["system"], one["picture"], two["picture"]) == ("mine", "cubic", "one", "two")
    assert float(one["psnr"]) == pytest.approx(score(enlarged, sharp).psnr)
    assert float(one["ssim"]) == pytest.approx(score(enlarged, sharp).ssim)

    *_, row = rows(out / "summary.csv")
    assert float(row["psnr"]) == pytest.approx((float(one["psnr"]) + float(two["psnr"])) / 2)
    assert float(row["seconds"]) == pytest.approx((float(one["seconds"]) + float(two["seconds"])) / 2)
    assert (row["system"], row["parameters"], row["failed"]) == ("cubic", "0", "")
    assert float(row["memory_mb"]) > 10

    (shown,) = results.shown
    assert shown.picture == "two"
    np.testing.assert_array_equal(read(shown.blurry), read(pairs / "blurry_x4" / "two.png"))
    np.testing.assert_array_equal(read(shown.sharp), read(pairs / "sharp" / "two.png"))
    assert list(shown.restored) == ["cubic"]
    file, scores = shown.restored["cubic"]
    assert scores["psnr"] == pytest.approx(score(read(file), read(shown.sharp)).psnr)


def test_a_second_run_measures_only_what_is_missing_or_has_changed(
    suite: Suite, pairs: Path, tool: Tool, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = run(suite, out)
    assert tool.calls() == 3  # one to warm up
    again = run(suite, out)
    assert tool.calls() == 0
    assert again == first

    lines = (out / "results.jsonl").read_text().splitlines()
    (out / "results.jsonl").write_text(lines[0] + "\n" + lines[1][:40])  # as an interruption leaves it
    assert len(run(suite, out).rows) == 1
    assert tool.calls() == 2
    assert run(suite, out) != first
    assert tool.calls() == 0

    cv2.imwrite(str(pairs / "blurry_x4" / "one.png"), np.zeros((24, 32, 3), np.uint8))
    run(suite, out)
    assert tool.calls() == 2
    tool.script.write_text(LOGGING + "# changed\n")
    run(suite, out)
    assert tool.calls() == 3
    run(replace(suite, threads=2), out)
    assert tool.calls() == 3
    run(replace(suite, shown=2), out)
    assert tool.calls() == 2  # the picture that was not kept
    run(suite, out, overwrite=True)
    assert tool.calls() == 3


def test_an_interrupted_run_has_kept_what_it_measured(suite: Suite, tool: Tool, tmp_path: Path) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(suite, tmp_path / "out", progress=interrupt)
    assert tool.calls() == 2
    (line,) = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert Record(**json.loads(line)).picture == "one"
    run(suite, tmp_path / "out")
    assert tool.calls() == 2


def test_a_failed_system_is_tried_again(suite: Suite, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flagged = Command(f"sh -c 'test -e {flag} && cp {tmp_path}/four.png $2' sh {{input}} {{output}}")
    cv2.imwrite(str(tmp_path / "four.png"), np.zeros((96, 128, 3), np.uint8))
    suite = replace(suite, systems={"flagged": flagged})
    assert (run(suite, tmp_path / "out").rows[0].failed or "").startswith("sh ended with code 1")
    flag.touch()
    assert run(suite, tmp_path / "out").rows[0].failed is None


def test_a_figure_that_cannot_be_had_fails_the_system_and_an_unreadable_set_the_run(
    suite: Suite, pairs: Path, tmp_path: Path
) -> None:
    def result(metrics: tuple[str, ...]) -> Results:
        return run(replace(suite, systems={"cubic": Bicubic()}, metrics=metrics), tmp_path / "out")

    assert "one: a picture of 128x96 is too small" in (result(("psnr-y:60",)).rows[0].failed or "")
    (pairs / "sharp" / "one.png").write_bytes(b"no picture")
    with pytest.raises(CnlrnError, match=r"one\.png cannot be read as a picture"):
        result(("psnr",))


def test_a_folder_that_cannot_be_written_is_named(suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CnlrnError, match=r"cannot read or write .*file"):
        run(suite, tmp_path / "file")


def write_pairs(folder: Path, names: list[str]) -> None:
    """Pairs of plain pictures, each of another gray, 1, 2 and so on."""
    for gray, name in enumerate(names, start=1):
        for place, side in (("blurry_x4", 24), ("sharp", 96)):
            (folder / place).mkdir(parents=True, exist_ok=True)
            data = cv2.imencode(".png", np.full((side, side, 3), gray, np.uint8))[1]
            (folder / place / f"{name}.png").write_bytes(data.tobytes())


def test_names_that_look_alike_have_pictures_of_their_own_below_the_folder_of_the_benchmark(tmp_path: Path) -> None:
    names = ["a b", "a_b", "a-b", "a.b", "a|b", "a'b", 'a"b', "a\nb", "=a", "con", "x" * 100]
    names += ["\u0430b", "a b~0123456789abcdef", "..b", "...", "-rf"]
    write_pairs(tmp_path / "pairs", names)
    apart = ["A B", "A_B", "caf\u00e9", "cafe\u0301"]  # in folders of their own, as some disks take two for one
    for place, name in enumerate(apart):
        write_pairs(tmp_path / str(place), [name])
    sets = {"..": "pairs", "../..": "pairs", "/abs": "pairs", "A": "0", "a": "1", ".": "2", "...": "3"}
    suite = Suite(
        {name: str(tmp_path / place) for name, place in sets.items()},
        {"..": Bicubic(), "b/c": Bicubic(), "b c": Bicubic(), "B C": Bicubic()},
        metrics=("psnr",),
        threads=1,
        shown=len(names),
    )
    out = tmp_path / "out"
    before = set(tmp_path.rglob("*"))
    results = run(suite, out)
    report.write(results, out)

    assert [row.failed for row in results.rows] == [None] * 28
    files: list[Path] = []
    for shown in results.shown:
        gray = read(shown.sharp)[0, 0, 0]
        restored = [file for file, _ in shown.restored.values()]
        files += [shown.blurry, shown.sharp, *restored]
        for file in (shown.blurry, *restored):
            assert (read(file) == gray).all(), (shown.set, shown.picture)
        if sets[shown.set] == "pairs":
            assert gray == 1 + names.index(shown.picture)
    spelled = {unicodedata.normalize("NFC", str(file)).casefold() for file in files}
    assert len(spelled) == len(files) == 6 * (3 * len(names) + len(apart))
    assert all(file.resolve().is_relative_to(out / "pictures") for file in files)
    assert {path for path in tmp_path.rglob("*") if path != out and out not in path.parents} == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names of any bytes")
def test_a_file_name_of_bytes_that_are_no_text_is_shown_as_far_as_it_is_text(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs", [os.fsdecode(b"caf\xe9\x1b[31m")])
    results = run(Suite({"mine": str(tmp_path / "pairs")}, {"cubic": Bicubic()}, threads=1), tmp_path / "out")
    report.write(results, tmp_path / "out")
    assert rows(tmp_path / "out" / "results.csv")[0]["picture"] == "caf\ufffd\ufffd[31m"
    assert "caf\ufffd\ufffd[31m" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    again = run(Suite({"mine": str(tmp_path / "pairs")}, {"cubic": Bicubic()}, threads=1), tmp_path / "out")
    assert again == results


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    starts = ["=", "+", "-", "@", "\t", "\r", " =", "\uff1d"]
    write_pairs(tmp_path / "pairs", [f"{start}cmd|' !A0" for start in starts])
    systems = {"=1+1": Bicubic(), "@SUM(1)": Command("false {input} {output}")}
    out = tmp_path / "out"
    run(Suite({"-2+3": str(tmp_path / "pairs")}, systems, threads=1, shown=0), out)
    for file in ("results.csv", "summary.csv"):
        for row in rows(out / file):
            for cell in row.values():
                assert not re.match(r"[\s=+@\uff1d-]", cell) or re.fullmatch(r"-?[\d.]+", cell), cell
    assert {row["set"] for row in rows(out / "summary.csv")} == {"'-2+3"}
    assert len(rows(out / "results.csv")) == len(starts)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two pairs of one size, 96x64 pixels: "a" nearly right, "b" far from it."""
    rng = np.random.default_rng(0)
    for place in ("blurry", "sharp"):
        (tmp_path / "photos" / place).mkdir(parents=True)
    for name, wrong in (("a", 3), ("b", 30)):
        sharp = rng.integers(40, 200, (64, 96, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "photos" / "sharp" / f"{name}.png"), sharp[..., ::-1])
        cv2.imwrite(str(tmp_path / "photos" / "blurry" / f"{name}.png"), (sharp + wrong).astype(np.uint8)[..., ::-1])
    return tmp_path / "photos"


BRIGHTEN = """
import sys
from PIL import Image
log, source, target = sys.argv[1:]
with open(log, "a") as stream:
    stream.write("x")
Image.open(source).point(lambda value: value - 10).save(target)
"""


def test_photos_at_their_own_size_are_told_by_their_gain_and_the_least_of_it(
    tool: Tool, photos: Path, pairs: Path, tmp_path: Path
) -> None:
    tool.script.write_text(BRIGHTEN)
    tools: dict[str, Spec] = {"tool": replace(tool.spec, scale=1), "cubic": Bicubic()}
    suite = Suite({"own": str(photos), "x4": str(pairs)}, tools, threads=1, shown=1)
    results = run(suite, tmp_path / "out")
    own, x4 = results.rows
    assert (own.set, own.system, x4.set, x4.system) == ("own", "tool", "x4", "cubic")
    assert x4.gains == {}
    assert [results.sets[name].left_out for name in ("own", "x4")] == [["cubic"], ["tool"]]

    gains = {}
    for name, before, after in (("a", 3, -7), ("b", 30, 20)):
        sharp = read(photos / "sharp" / f"{name}.png")
        better, worse = (score((sharp.astype(int) + wrong).astype(np.uint8), sharp, 16) for wrong in (after, before))
        gains[name] = better.psnr - worse.psnr, better.ssim - worse.ssim
    assert gains["a"][0] < 0 < gains["b"][0]
    assert own.gains["psnr"].picture == "a"
    assert own.gains["psnr"].least == pytest.approx(gains["a"][0])
    assert own.gains["psnr"].mean == pytest.approx((gains["a"][0] + gains["b"][0]) / 2)

    a, b, one, _ = rows(tmp_path / "out" / "results.csv")
    for row, name in ((a, "a"), (b, "b")):
        assert (float(row["psnr_gain"]), float(row["ssim_gain"])) == pytest.approx(gains[name])
    assert (one["set"], one["psnr_gain"]) == ("x4", "")
    summary = rows(tmp_path / "out" / "summary.csv")[0]
    assert float(summary["psnr_least_gain"]) == pytest.approx(gains["a"][0])
    assert summary["psnr_least_picture"] == "a"

    assert tool.calls() == 3
    assert run(suite, tmp_path / "out") == results
    assert tool.calls() == 0


def test_a_set_that_suits_no_system_is_told_before_results_are_lost(photos: Path, pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(Suite({"x4": str(pairs)}, {"cubic": Bicubic()}, threads=1), out)
    before = (out / "results.jsonl").read_bytes()
    with pytest.raises(CnlrnError, match="the pairs of own are of one size, and no system of the suite does that"):
        run(Suite({"x4": str(pairs), "own": str(photos)}, {"cubic": Bicubic()}, threads=1), out, overwrite=True)
    only_deblurs: dict[str, Spec] = {"srn": Network("srn-s", tmp_path / "w")}
    with pytest.raises(CnlrnError, match=r'x4 are to be enlarged x4, .*or a chain, "deblur:NAME'):
        run(Suite({"x4": str(pairs)}, only_deblurs, threads=1), out, overwrite=True)
    assert (out / "results.jsonl").read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_result_that_is_no_number_fails_the_row(suite: Suite, tmp_path: Path, value: float) -> None:
    net = networks.build("srcnn-s")
    next(net.parameters()).data.view(-1)[0] = value
    save_weights(net, tmp_path / "w.safetensors")
    systems = {"broken": Network("srcnn-s", tmp_path / "w.safetensors"), "cubic": Bicubic()}
    results = run(replace(suite, systems=systems), tmp_path / "out")
    broken, cubic = results.rows
    assert broken.failed == "SRCNN gives NaN or infinity for a picture; its weights are of no use"
    assert broken.scores == {}
    assert cubic.failed is None
    assert {row["system"] for row in rows(tmp_path / "out" / "results.csv")} == {"cubic"}


def test_a_figure_that_is_no_number_fails_the_row(
    suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Metric("psnr", "PSNR", True, 3, True, lambda restored, sharp: float("nan"))
    monkeypatch.setattr(benchmark, "metric", lambda name, border=4: broken)
    results = run(replace(suite, systems={"cubic": Bicubic()}, metrics=("psnr",)), tmp_path / "out")
    assert results.rows[0].failed == "one: its psnr is nan, no number"


@pytest.mark.parametrize(
    "change",
    [
        {"blurry": {"psnr": float("nan")}},
        {"blurry": None},
        {"scores": {"psnr": float("nan"), "ssim": 1.0}},
        {"scores": {"psnr": float("inf"), "ssim": 1.0}},
        {"scores": {"psnr": "20", "ssim": 1.0}},
        {"scores": [1, 2]},
        {"seconds": 0},
        {"seconds": float("nan")},
        {"seconds": "1"},
        {"memory": -1},
        {"key": [1]},
    ],
)
def test_a_line_of_results_that_makes_no_sense_is_measured_again(
    suite: Suite, tool: Tool, tmp_path: Path, change: dict[str, object]
) -> None:
    out = tmp_path / "out"
    run(suite, out)
    tool.calls()
    first, second = (out / "results.jsonl").read_text().splitlines()
    (out / "results.jsonl").write_text(json.dumps(json.loads(first) | change) + "\n" + second + "\n[[[[\n\xff\n")
    assert run(suite, out).rows[0].failed is None
    assert tool.calls() == 2


def test_a_set_that_no_disk_can_hold_is_one_sentence(suite: Suite, tmp_path: Path) -> None:
    for spec in ("x" * 4000, "reds:" + "x" * 300, "~nosuchuser/x", "reds:~nosuchuser/x", "pairs:~nosuchuser/x,y"):
        with pytest.raises(CnlrnError) as caught:
            run(replace(suite, sets={"mine": spec}), tmp_path / "out")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 700
    long = {"long": Command("x" * 4000 + " {input} {output}"), "cubic": Bicubic()}
    results = run(replace(suite, systems=long), tmp_path / "out")
    assert len(results.rows[0].failed or "") <= 1000
    assert results.rows[1].failed is None


MINIMAL = "sets: {mine: pairs}\nsystems: {cubic: {kind: bicubic}}\n"


def loaded(tmp_path: Path, text: str) -> Suite:
    (tmp_path / "suite.yaml").write_text(text)
    return load(tmp_path / "suite.yaml")


def test_the_shipped_suite_is_valid_and_its_examples_too(tmp_path: Path) -> None:
    text = (CONFIGS / "benchmark.yaml").read_text(encoding="utf-8")
    suite = load(CONFIGS / "benchmark.yaml")
    assert {type(spec) for spec in suite.systems.values()} == {Bicubic, Model, Chain}
    whole = loaded(tmp_path, re.sub(r"^  # (.*: \{)", r"  \1", text, flags=re.MULTILINE))
    assert {type(spec) for spec in whole.systems.values()} == set(SCHEMA.kinds.values())


def test_the_shipped_suite_for_photos_at_their_own_size_leaves_no_system_out(tmp_path: Path) -> None:
    text = (CONFIGS / "benchmark-own.yaml").read_text(encoding="utf-8")
    whole = loaded(tmp_path, re.sub(r"^  # (.*: \{)", r"  \1", text, flags=re.MULTILINE))
    assert list(plan(load(CONFIGS / "benchmark-own.yaml").systems, 1)) == ["cnlrn-own", "cnlrn-s, x1"]
    assert list(plan(whole.systems, 1)) == list(whole.systems)


def test_a_suite_written_out_reads_back_equal(tmp_path: Path) -> None:
    suite = load(CONFIGS / "benchmark.yaml")
    assert loaded(tmp_path, yaml.safe_dump(SCHEMA.plain(suite))) == suite


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "metricz: [psnr]", "unknown key metricz in the suite; did you mean metrics"),
        (MINIMAL + "metrics: [psmr]", "did you mean psnr"),
        (MINIMAL + "metrics: psnr", "metrics is 'psnr'; expected a list of words"),
        (MINIMAL + "metrics: []", "the suite has no metrics"),
        (MINIMAL + "threads: 0", "threads is 0; it must be at least 1"),
        (MINIMAL + "shown: -1", "shown is -1; it must be at least 0"),
        ("sets: {mine: pairs}", "the suite lacks systems"),
        ("sets: {}\nsystems: {cubic: {kind: bicubic}}", "the suite has no sets"),
        ("sets: {mine: pairs}\nsystems: {a: {modle: cnlrn-s}}", "did you mean systems.a.model"),
        ("sets: {mine: pairs}\nsystems: {a: {kind: nearest}}", "systems.a.kind must be one of bicubic, model"),
        ("sets: {mine: pairs}\nsystems: {a: bicubic}", "systems.a is 'bicubic'; expected keys and values"),
        ("sets: {mine: pairs}\nsystems: {a: {network: rcan-s}}", "the suite lacks systems.a.weights"),
        ("sets: {mine: pairs}\nsystems: {a: {network: rcan-s, weight: w}}", "did you mean systems.a.weights"),
        ("sets: {mine: pairs}\nsystems: {a: {command: x, timeout: soon}}", "systems.a.timeout is 'soon'"),
        ("sets: {mine: pairs}\nsystems: {a: {chain: 'deblur:b'}}", "there is no system 'b'"),
        ("sets: {'': pairs}\nsystems: {a: {kind: bicubic}}", "'' is no name of a set or system"),
        ("sets: {mine: pairs}\nsystems: {' ': {kind: bicubic}}", "' ' is no name"),
        ('sets: {"a\\nb": pairs}\nsystems: {a: {kind: bicubic}}', r"'a\\nb' is no name"),
        ('sets: {"a\\u202Eb": pairs}\nsystems: {a: {kind: bicubic}}', r"'a\\u202eb' is no name"),
        (MINIMAL + "threads: 100000", "threads is 100000; it must be at least 1 and at most 1024"),
        (
            "sets: {mine: pairs}\nsystems: {a: {network: rcan-s, weights: w, preset: {blocks: 1000000000}}}",
            "at most 10,000",
        ),
        (
            f"sets: {{mine: pairs}}\nsystems: {{a: {{network: {'n' * 4000}, weights: w}}}}",
            'no network called "n{77}[.]{3}"',
        ),
        (f"sets: {{mine: pairs}}\nsystems: {{{'a' * 41}: {{kind: bicubic}}}}", "longer than 40 letters"),
    ],
)
def test_a_wrong_key_or_value_in_a_suite_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CnlrnError, match=message):
        loaded(tmp_path, text)
