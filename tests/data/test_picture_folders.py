import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from full_disk import room_for

from cnlrn.data import pictures
from cnlrn.errors import CnlrnError
from cnlrn.leftovers import is_leftover


def write(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_pictures_are_decoded_once_as_rgb_and_reused(tmp_path: Path) -> None:
    first, second = noise(20, 30), noise(10, 5, seed=1)
    write(tmp_path / "in" / "a.png", first)
    write(tmp_path / "in" / "b.png", second)
    (tmp_path / "in" / "notes.csv").write_text("not a picture")

    store = pictures.decoded(tmp_path / "in", tmp_path / "cache")
    again = pictures.decoded(tmp_path / "in", tmp_path / "cache")

    assert [entry.name for entry in store.entries] == ["a.png", "b.png"]
    np.testing.assert_array_equal(store[0], first)
    np.testing.assert_array_equal(again[1], second)
    assert len(list((tmp_path / "cache").glob("*.u8"))) == 1


def test_a_changed_picture_is_decoded_again(tmp_path: Path) -> None:
    file = write(tmp_path / "in" / "a.png", noise(8, 8))
    pictures.decoded(tmp_path / "in", tmp_path / "cache")
    write(file, noise(8, 8, seed=1))
    os.utime(file, (1, 1))
    np.testing.assert_array_equal(pictures.decoded(tmp_path / "in", tmp_path / "cache")[0], noise(8, 8, seed=1))


def test_a_corrupt_picture_is_skipped_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "in" / "good.png", noise(8, 8))
    (tmp_path / "in" / "bad.jpg").write_bytes(b"\xff\xd8 nothing")
    (tmp_path / "in" / "empty.png").touch()
    with caplog.at_level(logging.WARNING):
        store = pictures.decoded(tmp_path / "in", tmp_path / "cache")
    assert [entry.name for entry in store.entries] == ["good.png"]
    assert "bad.jpg" in caplog.text
    assert "empty.png" in caplog.text


def test_an_interrupted_cache_leaves_nothing_that_looks_complete(tmp_path: Path) -> None:
    def interrupted():
        yield "a", noise(4, 4)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pictures.write_store(tmp_path / "x.u8", interrupted())
    assert list(tmp_path.iterdir()) == []
    assert pictures.open_store(tmp_path / "x.u8") is None


def test_a_folder_without_pictures_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match=tmp_path.name):
        pictures.find(tmp_path)
    with pytest.raises(CnlrnError, match="nowhere"):
        pictures.find(tmp_path / "nowhere")


def test_leftovers_of_macos_are_no_pictures(tmp_path: Path) -> None:
    write(tmp_path / "a.png", noise(8, 8))
    (tmp_path / "._a.png").write_bytes(b"\0\5\x16\7")
    (tmp_path / ".DS_Store").touch()
    assert pictures.find(tmp_path) == [tmp_path / "a.png"]
    for name in ("._a.png", "folder/._a.png", ".DS_Store", "__MACOSX", "__MACOSX/a.png", "x/__MACOSX/y/a.png"):
        assert is_leftover(Path(name))
    for name in ("a.png", "_a.png", ".a.png", "__MACOSX.png", "DS_Store/a.png"):
        assert not is_leftover(Path(name))


def test_a_picture_of_too_many_pixels_or_bytes_is_refused_before_it_is_decoded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for extension in ("png", "jpg", "webp", "bmp", "tif", "ppm"):
        file = write(tmp_path / f"a.{extension}", noise(20, 30))
        assert pictures.read(file, max_pixels=600) is not None
        with pytest.raises(CnlrnError, match=rf"a\.{extension} has 30x20 pixels, more than the limit of 599"):
            pictures.read(file, max_pixels=599)
    claiming = bytearray((tmp_path / "a.bmp").read_bytes())
    claiming[18:26] = (10**5).to_bytes(4, "little") * 2
    (tmp_path / "a.bmp").write_bytes(claiming)
    with (tmp_path / "a.ppm").open("ab") as sparse:
        sparse.truncate(2**31)
    with pytest.raises(CnlrnError, match="has 100000x100000 pixels"):
        pictures.read(tmp_path / "a.bmp")
    with pytest.raises(CnlrnError, match="has 2147483648 bytes, too many"):
        pictures.read(tmp_path / "a.ppm")
    names = [entry.name for entry in pictures.decoded(tmp_path, tmp_path / "cache").entries]
    assert names == ["a.jpg", "a.png", "a.tif", "a.webp"]
    assert "a.bmp" in caplog.text
    assert "a.ppm" in caplog.text


def test_a_cache_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.png", noise(64, 64))
    with room_for(1000), pytest.raises(CnlrnError, match=r"cache/pictures-\w+\.u8 cannot be written"):
        pictures.decoded(tmp_path / "in", tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
