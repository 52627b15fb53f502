import logging
import multiprocessing
import pickle
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from cnlrn.data.sets import match
from cnlrn.data.shards import Database, pack_pairs, pack_sharp, packed_pairs
from cnlrn.data.sources import PairFiles, PreparedPairs, Sample, SharpFolder, generator
from cnlrn.degradation import recipe
from cnlrn.errors import CnlrnError


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def equal(a: Sample, b: Sample) -> bool:
    return bool(np.array_equal(a.lr, b.lr) and np.array_equal(a.hr, b.hr) and a.name == b.name)


@pytest.fixture
def sharp(tmp_path: Path) -> Path:
    for index, (height, width) in enumerate([(300, 270), (256, 520), (90, 100)]):
        write(tmp_path / "sharp" / f"{index}.png", noise(height, width, index))
    return tmp_path / "sharp"


@pytest.fixture
def lr(tmp_path: Path, sharp: Path) -> Path:
    """LR pictures for `sharp`, the last of the wrong size."""
    for index, (height, width) in enumerate([(75, 67), (64, 130), (22, 9)]):
        write(tmp_path / "lr" / f"{index}.png", noise(height, width, index))
    write(sharp / "0.png", noise(300, 268))
    return tmp_path / "lr"


def test_every_window_of_a_packed_picture_is_what_was_packed(sharp: Path, tmp_path: Path) -> None:
    assert pack_sharp(sharp, tmp_path / "sharp.lmdb") == 3
    database = Database(tmp_path / "sharp.lmdb", "sharp")
    assert [tuple(entry) for entry in database.entries] == [
        ("0.png", (300, 270, 3)),
        ("1.png", (256, 520, 3)),
        ("2.png", (90, 100, 3)),
    ]
    picture = noise(300, 270)
    windows = [(0, 300, 0, 270), (0, 256, 0, 256), (255, 257, 255, 257), (256, 300, 3, 9), (299, 300, 269, 270)]
    for top, bottom, left, right in windows:
        np.testing.assert_array_equal(database[0][top:bottom, left:right], picture[top:bottom, left:right])
    np.testing.assert_array_equal(database[1][100:, 500:], noise(256, 520, 1)[100:, 500:])


def test_a_window_decodes_only_the_pieces_it_touches(sharp: Path, tmp_path: Path) -> None:
    pack_sharp(sharp, tmp_path / "sharp.lmdb")
    with (
        lmdb.open(str(tmp_path / "sharp.lmdb"), subdir=False, lock=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key in [key for key, _ in transaction.cursor() if key.endswith(b"\0\0\0\1")]:  # the second column
            transaction.put(key, b"damaged")
    database = Database(tmp_path / "sharp.lmdb", "sharp")
    np.testing.assert_array_equal(database[0][0:100, 100:256], noise(300, 270)[0:100, 100:256])
    with pytest.raises(CnlrnError, match=r"0\.png in .*sharp\.lmdb is damaged"):
        database[0][0:100, 100:257]


def test_sharp_pictures_give_the_same_samples_packed_as_loose(sharp: Path, tmp_path: Path) -> None:
    pack_sharp(sharp, tmp_path / "sharp.lmdb")
    loose, packed = (
        SharpFolder(place, tmp_path / "cache", recipe("photo"), patch=64, texture=2)
        for place in (sharp, tmp_path / "sharp.lmdb")
    )
    assert all(equal(loose.sample(generator(1, i)), packed.sample(generator(1, i))) for i in range(4))
    prepared = [
        PreparedPairs(source, tmp_path / "cache", 2, 48, 0).sample(generator(1, 1)) for source in (loose, packed)
    ]
    assert equal(*prepared)


def test_pairs_give_the_same_samples_packed_as_loose(lr: Path, sharp: Path, tmp_path: Path) -> None:
    pairs = match(lr, sharp)[:2]
    assert pack_pairs(pairs, tmp_path / "pairs.lmdb") == 2
    loose, packed = PairFiles(pairs, patch=200), PairFiles(packed_pairs(tmp_path / "pairs.lmdb"), patch=200)
    for index in range(12):
        assert equal(loose.sample(generator(1, index)), packed.sample(generator(1, index)))


def test_a_sample_depends_on_seed_and_index_only_in_every_process(sharp: Path, tmp_path: Path) -> None:
    pack_sharp(sharp, tmp_path / "sharp.lmdb")
    source = SharpFolder(tmp_path / "sharp.lmdb", None, recipe("photo"), patch=64)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere = pool.apply(source.sample, (generator(7, 2),))
    assert equal(source.sample(generator(7, 2)), elsewhere)
    assert equal(pickle.loads(pickle.dumps(source)).sample(generator(7, 2)), elsewhere)
    assert not equal(source.sample(generator(7, 3)), elsewhere)
    assert not equal(source.sample(generator(8, 2)), elsewhere)


def test_what_cannot_be_packed_is_left_out_and_named(
    lr: Path, sharp: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (sharp / "1.png").write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        assert pack_pairs(match(lr, sharp), tmp_path / "pairs.lmdb") == 1
        assert pack_sharp(sharp, tmp_path / "sharp.lmdb") == 2
    assert [pair.name for pair in packed_pairs(tmp_path / "pairs.lmdb")] == ["0"]
    assert [entry.name for entry in Database(tmp_path / "sharp.lmdb", "sharp").entries] == ["0.png", "2.png"]
    assert "skipped 1: " in caplog.text
    assert "skipped 2: " in caplog.text
    assert "skipped 1.png: " in caplog.text


def test_a_database_grows_with_what_is_packed(sharp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnlrn.data.shards._FIRST_SIZE", 1 << 16)
    pack_sharp(sharp, tmp_path / "sharp.lmdb")
    assert (tmp_path / "sharp.lmdb").stat().st_size > 1 << 18
    database = Database(tmp_path / "sharp.lmdb", "sharp")
    np.testing.assert_array_equal(database[2][:, :], noise(90, 100, 2))


def test_a_database_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def interrupted():
        yield from ()
        raise KeyboardInterrupt

    (tmp_path / "sharp").mkdir()
    write(tmp_path / "sharp" / "a.png", noise(8, 8))
    (tmp_path / "sharp" / "a.png").write_bytes(b"damaged")
    with pytest.raises(CnlrnError, match="nothing to pack"):
        pack_sharp(tmp_path / "sharp", tmp_path / "sharp.lmdb")
    with pytest.raises(KeyboardInterrupt):
        pack_pairs(interrupted(), tmp_path / "sharp.lmdb")
    assert [path.name for path in tmp_path.iterdir()] == ["sharp"]


def test_packing_again_replaces_a_database_in_use(sharp: Path, tmp_path: Path) -> None:
    pack_sharp(sharp, tmp_path / "sharp.lmdb")
    before = Database(tmp_path / "sharp.lmdb", "sharp")
    write(sharp / "0.png", noise(20, 20, 9))
    pack_sharp(sharp, tmp_path / "sharp.lmdb")
    np.testing.assert_array_equal(before[0][:, :], noise(300, 270))
    np.testing.assert_array_equal(Database(tmp_path / "sharp.lmdb", "sharp")[0][:, :], noise(20, 20, 9))


def test_files_that_are_no_database_of_this_kind_are_told(sharp: Path, tmp_path: Path) -> None:
    file = tmp_path / "sharp.lmdb"
    (tmp_path / "no").touch()
    with pytest.raises(CnlrnError, match=r"no.* cannot be made|cannot write .*no/folder"):
        pack_sharp(sharp, tmp_path / "no" / "folder")
    with pytest.raises(CnlrnError, match=r"sharp\.lmdb cannot be opened"):
        Database(file, "sharp")
    pack_sharp(sharp, file)
    with pytest.raises(CnlrnError, match="holds sharp pictures, but pairs are asked for"):
        packed_pairs(file)
    with lmdb.open(str(tmp_path / "other"), subdir=False, lock=False):
        pass
    with pytest.raises(CnlrnError, match="pack the pictures again"):
        Database(tmp_path / "other", "sharp")
    (tmp_path / "cut").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CnlrnError, match="cut short"):
        Database(tmp_path / "cut", "sharp")
    with pytest.raises(CnlrnError, match=r"0\.png cannot be opened"):
        Database(sharp / "0.png", "sharp")
