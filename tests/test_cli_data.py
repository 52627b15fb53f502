import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_model import write_tiny_model

from cnlrn import cli
from cnlrn.data.shards import Database


def run(*arguments: object) -> int:
    """The exit code of `cnlrn` with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cnlrn", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
    return int(exit_.value.code or 0)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for folder, shape in (("blurry_x4", (16, 12, 3)), ("sharp", (64, 48, 3))):
        (tmp_path / "pairs" / folder).mkdir(parents=True)
        for name in ("a", "b,c"):
            cv2.imwrite(str(tmp_path / "pairs" / folder / f"{name}.png"), rng.integers(0, 256, shape, np.uint8))
    return tmp_path / "pairs"


def test_evaluate_prints_and_writes_the_metrics_asked_for(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_tiny_model(tmp_path / "tiny.onnx")
    arguments = ("evaluate", "--data", pairs, "--model", model, "--csv", tmp_path / "figures.csv")
    assert run(*arguments, "--metric", "psnr", "--metric", "ssim-y:6") == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert "PSNR (dB)" in heading
    assert "border 6" in heading
    assert [row.split()[0] for row in rows] == ["a", "b,c", "mean"]
    with (tmp_path / "figures.csv").open(newline="") as file:
        names, *lines = csv.reader(file)
    assert names == ["name", "psnr", "ssim-y:6"]
    assert [line[0] for line in lines] == ["a", "b,c"]
    psnr = [float(line[1]) for line in lines]
    assert float(rows[-1].split()[3]) == pytest.approx(np.mean(psnr), abs=1e-3)


def test_evaluate_names_the_nearest_metric_and_what_a_missing_set_needs(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "--data", pairs, "--metric", "pnsr") == 2
    assert "did you mean psnr?" in capsys.readouterr().err
    assert run("evaluate", "--data", f"gopro:{tmp_path}") == 2
    assert "GOPRO" in capsys.readouterr().err
    assert run("evaluate", "--data", pairs, "--csv", tmp_path / "nowhere" / "figures.csv") == 2
    out, err = capsys.readouterr()
    assert (out, "nowhere does not exist" in err) == ("", True), "found out before any work"


def test_pack_makes_one_file_of_sharp_pictures_or_of_pairs(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pack", pairs / "sharp", "-o", tmp_path / "sharp.lmdb") == 0
    assert "2 pictures" in capsys.readouterr().out
    assert len(Database(tmp_path / "sharp.lmdb", "sharp")) == 2
    assert run("pack", "--pairs", pairs, "-o", tmp_path / "pairs.lmdb") == 0
    assert len(Database(tmp_path / "pairs.lmdb", "pairs")) == 4
    assert run("pack", pairs / "sharp", "-o", tmp_path / "sharp.lmdb") == 2
    assert "--overwrite" in capsys.readouterr().err
