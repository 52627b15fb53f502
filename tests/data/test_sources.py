import logging
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnlrn.data import sources
from cnlrn.data.sets import match
from cnlrn.data.sources import PairFiles, PreparedPairs, Sample, SharpFolder, generator
from cnlrn.degradation import recipe
from cnlrn.errors import CnlrnError


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def equal(a: Sample, b: Sample) -> bool:
    return bool(np.array_equal(a.lr, b.lr) and np.array_equal(a.hr, b.hr) and a.name == b.name)


@pytest.fixture
def sharp(tmp_path: Path) -> SharpFolder:
    for index in range(3):
        write(tmp_path / "sharp" / f"{index}.png", noise(150 + 20 * index, 170, index))
    return SharpFolder(tmp_path / "sharp", tmp_path / "cache", recipe("photo"), patch=64, texture=2)


def test_a_sample_depends_on_seed_and_index_only(sharp: SharpFolder) -> None:
    copy = pickle.loads(pickle.dumps(sharp))
    samples = [sharp.sample(generator(7, index)) for index in range(4)]
    assert equal(samples[2], copy.sample(generator(7, 2)))
    assert not equal(samples[2], samples[3])
    assert not equal(samples[2], sharp.sample(generator(8, 2)))
    assert samples[0].lr.shape == (16, 16, 3)
    assert samples[0].hr.shape == (64, 64, 3)


def test_pictures_too_small_for_a_crop_are_skipped_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "in" / "tiny.png", noise(40, 400))
    with pytest.raises(CnlrnError, match=r"data\.patch"):
        SharpFolder(tmp_path / "in", tmp_path / "cache", recipe("photo"), patch=64)
    write(tmp_path / "in" / "large.png", noise(200, 200))
    with caplog.at_level(logging.WARNING):
        source = SharpFolder(tmp_path / "in", tmp_path / "cache", recipe("photo"), patch=64)
    assert "tiny.png" in caplog.text
    assert {source.sample(generator(0, i)).name.split()[0] for i in range(8)} == {"large.png"}


def test_texture_prefers_detailed_crops(tmp_path: Path) -> None:
    write(tmp_path / "in" / "flat.png", np.full((200, 200, 3), 128, np.uint8))
    write(tmp_path / "in" / "detailed.png", noise(200, 200))
    detailed = []
    for texture in (1, 4):
        source = SharpFolder(tmp_path / "in", tmp_path / "cache", recipe("reds"), patch=64, texture=texture)
        detailed.append(sum(source.sample(generator(0, i)).name.startswith("detailed") for i in range(30)))
    assert detailed[1] > detailed[0]


def test_prepared_pairs_are_made_once_and_cropped_in_step(sharp: SharpFolder, tmp_path: Path) -> None:
    prepared = PreparedPairs(sharp, tmp_path / "cache", count=3, patch=48, seed=0)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    again = PreparedPairs(sharp, tmp_path / "cache", count=3, patch=48, seed=0)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()} == files
    sample = prepared.sample(generator(0, 0))
    assert sample.lr.shape == (12, 12, 3)
    assert sample.hr.shape == (48, 48, 3)
    assert equal(sample, again.sample(generator(0, 0)))


def test_many_processes_prepare_the_pairs_that_one_prepares(
    sharp: SharpFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = PreparedPairs(sharp, tmp_path / "alone", count=40, patch=48, seed=0)
    monkeypatch.setattr(sources, "_FEW", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    together = PreparedPairs(sharp, tmp_path / "together", count=40, patch=48, seed=0)
    assert together.store.file.read_bytes() == alone.store.file.read_bytes()
    assert together.store.entries == alone.store.entries


def test_pairs_are_cut_flipped_and_turned_together(tmp_path: Path) -> None:
    lr = noise(20, 24)
    write(tmp_path / "lr" / "a.png", lr)
    write(tmp_path / "hr" / "a.png", lr.repeat(4, 0).repeat(4, 1))
    source = PairFiles(match(tmp_path / "lr", tmp_path / "hr"), patch=32)
    names = set()
    for index in range(16):
        sample = source.sample(generator(0, index))
        np.testing.assert_array_equal(sample.lr.repeat(4, 0).repeat(4, 1), sample.hr)
        names.add(sample.name)
    assert len(names) > 8


def test_an_unusable_pair_is_named_once_and_another_one_drawn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        write(tmp_path / "lr" / f"{name}.png", noise(16, 16))
        write(tmp_path / "hr" / f"{name}.png", noise(64, 64))
    (tmp_path / "lr" / "a.png").write_bytes(b"damaged")
    source = PairFiles(match(tmp_path / "lr", tmp_path / "hr"), patch=32)
    with caplog.at_level(logging.WARNING):
        assert {source.sample(generator(0, i)).name.split()[0] for i in range(12)} == {"b"}
    assert caplog.text.count("a.png cannot be read") == 1
    (tmp_path / "lr" / "b.png").write_bytes(b"damaged")
    with pytest.raises(CnlrnError, match=r"in a row.*[ab]\.png cannot be read"):
        source.sample(generator(0, 0))
