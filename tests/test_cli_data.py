import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tiny_model import write_tiny_model

from cnlrn import cli, networks
from cnlrn.data.shards import Database
from cnlrn.networks.checkpoints import save_weights


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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pairs of one size: "a" is sharp, "b" is not."""
    rng = np.random.default_rng(0)
    for name, wrong in (("a", 0), ("b", 20)):
        sharp = rng.integers(50, 200, (64, 48, 3), np.uint8)
        for folder, picture in (("blurry", sharp + wrong), ("sharp", sharp)):
            (tmp_path / "photos" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "photos" / folder / f"{name}.png"), picture.astype(np.uint8))
    return tmp_path / "photos"


def test_evaluate_finds_by_itself_that_pairs_are_of_one_size_and_tells_the_least_gain(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    save_weights(networks.build("srn-s", {"width": 8}), tmp_path / "w.safetensors")
    network = ("--model", "srn-s", "--weights", tmp_path / "w.safetensors", "--preset", "width=8")
    assert run("evaluate", "--data", photos, *network, "--csv", tmp_path / "figures.csv") == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["PSNR", "(dB)", "SSIM", "gain", "gain"]
    with (tmp_path / "figures.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    gains = [float(line["psnr_gain"]) for line in lines]
    assert gains[0] < -50, "a sharp picture has everything to lose"
    assert rows[2].split()[:3] == ["mean", "of", "2"]
    assert float(rows[2].split()[5]) == pytest.approx(np.mean(gains), abs=1e-3)
    assert rows[3] == f"least gain, PSNR (dB): {gains[0]:+.3f}, a"
    assert rows[4].startswith("least gain, SSIM: ")

    tiny = write_tiny_model(tmp_path / "tiny.onnx")
    assert run("evaluate", "--data", photos, "--model", tiny) == 0
    assert [line.split()[-2:] for line in capsys.readouterr().out.splitlines()[1:4]] == [["+0.000", "+0.0000"]] * 3


def test_evaluate_of_pairs_that_a_model_does_not_serve_is_one_sentence(
    photos: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", "--data", pairs, "--model", "cnlrn-own") == 2
    assert capsys.readouterr() == ("", "cnlrn: cnlrn-own has no exit for x4: choose from x1\n")
    x4 = write_tiny_model(tmp_path / "x4.onnx", scales="4")
    assert run("evaluate", "--data", photos, "--model", x4) == 2
    assert "has no exit for x1: choose from x4" in capsys.readouterr().err
    assert run("evaluate", "--data", photos, "--model", "srcnn-s", "--weights", tmp_path / "absent.pth") == 2
    assert "SRCNN has no exit for x1" in capsys.readouterr().err
    assert run("evaluate", "--data", photos, "--weights", tmp_path / "absent.pth") == 2
    assert "name it by --model" in capsys.readouterr().err
    assert run("evaluate", "--data", photos, "--preset", "width=8") == 2
    assert "--preset goes with --weights" in capsys.readouterr().err


def test_evaluate_of_a_model_that_gives_no_numbers_is_one_sentence_and_no_table(
    photos: Path, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nan = write_tiny_model(tmp_path / "nan.onnx", times=float("nan"))
    broken = networks.build("srn-s")
    next(broken.parameters()).data.fill_(float("nan"))
    save_weights(broken, tmp_path / "w.safetensors")
    network = ("--data", photos, "--model", "srn-s", "--weights", tmp_path / "w.safetensors")
    for arguments in (("--data", pairs, "--model", nan), network):
        assert run("evaluate", *arguments, "--csv", tmp_path / "figures.csv") == 2
        out, err = capsys.readouterr()
        assert len(out.splitlines()) == 1, "the heading alone"
        assert re.search(r"a\.png: .*(no finite numbers|NaN or infinity)", err)
        assert err.count("\n") == 1
        assert not (tmp_path / "figures.csv").exists()


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
