import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnlrn.cli import app

SUITE = "sets: {{mine: {pairs}}}\nthreads: 1\nsystems:\n  bicubic: {{kind: bicubic}}\n"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    for folder, side in (("blurry_x4", 24), ("sharp", 96)):
        (tmp_path / folder).mkdir()
        picture = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        cv2.imwrite(str(tmp_path / folder / "one.png"), picture)
    file = tmp_path / "suite.yaml"
    file.write_text(SUITE.format(pairs=tmp_path))
    return file


def cnlrn(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["cnlrn", "benchmark", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        app.main()
    return int(caught.value.code or 0)


def test_benchmark_prints_the_table_and_where_the_report_is(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(suite.parent)
    assert cnlrn(monkeypatch, suite) == 0
    printed = capfd.readouterr()
    assert "| bicubic | **" in printed.out
    assert printed.out.endswith("runs/suite/report.html: the report\n")
    assert printed.err == ""
    folder = suite.parent / "runs" / "suite"
    names = {"report.html", "report.md", "results.csv", "summary.csv", "results.jsonl", "pictures"}
    assert {path.name for path in folder.iterdir()} == names


def test_a_terminal_sees_what_is_measured(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert cnlrn(monkeypatch, suite, "--out", tmp_path / "out") == 0
    assert "bicubic on mine" in capfd.readouterr().err


def test_benchmark_keeps_what_is_measured_unless_told_otherwise(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "out" / "results.jsonl"
    assert cnlrn(monkeypatch, suite, "--out", tmp_path / "out") == 0
    before = results.read_text()
    assert cnlrn(monkeypatch, suite, "--out", tmp_path / "out") == 0
    assert results.read_text() == before
    assert cnlrn(monkeypatch, suite, "--out", tmp_path / "out", "--overwrite") == 0
    assert results.read_text() != before
    assert results.read_text().count("\n") == 1


def test_benchmark_with_a_failed_system_ends_with_code_1(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(suite.read_text() + "  broken: {command: 'false {input} {output}'}\n")
    assert cnlrn(monkeypatch, suite, "--out", tmp_path / "out") == 1
    printed = capfd.readouterr()
    assert "| broken | failed: false ended with code 1: no message |" in printed.out
    assert printed.err == "cnlrn: 1 of 2 rows failed; the same command tries them again\n"


def test_a_mistake_in_a_suite_is_one_sentence(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    suite.write_text(suite.read_text() + "metric: [psnr]\n")
    assert cnlrn(monkeypatch, suite) == 2
    assert capfd.readouterr().err == "cnlrn: unknown key metric in the suite; did you mean metrics?\n"
    assert cnlrn(monkeypatch, tmp_path / "none.yaml") == 2
    assert capfd.readouterr().err.startswith("cnlrn: cannot read the suite ")
