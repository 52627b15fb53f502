import logging
import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnlrn.data.sets import SETS, Pair, match, open_set, reduced
from cnlrn.data.sources import PairFiles, generator
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError


def write(path: Path, height: int = 16, width: int = 24, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), noise(height, width, seed)[..., ::-1])
    return path


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def reds(root: Path) -> None:
    for part, clips, frames in (("train", ("000", "001"), (0, 1)), ("val", ("000", "001"), (8, 9, 19))):
        for clip in clips:
            for frame in frames:
                write(root / f"{part}_blur_bicubic" / "X4" / clip / f"{frame:08}.png", 4, 6)
                write(root / f"{part}_sharp" / clip / f"{frame:08}.png")


def gopro(root: Path) -> None:
    for split, sequence in (("train", "GOPR0372_07_00"), ("test", "GOPR0384_11_00"), ("test", "GOPR0384_11_05")):
        for kind in ("blur", "blur_gamma", "sharp"):
            write(root / split / sequence / kind / "000001.png")


def dvd(root: Path) -> None:
    numbered = [f"IMG_00{number}" for number in ("01", "03", "21", "30", "31", "32", "33", "37", "39", "49")]
    for video in ("720p_240fps_1", "720p_240fps_2", *numbered):
        for kind in ("input", "GT"):
            write(root / "quantitative_datasets" / video / kind / "00000.jpg")


def realblur(root: Path) -> None:
    for kind, folder in (("J", "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"), ("R", "RealBlur-R_BM3D_ECC_IMCORR")):
        for split, scene in (("train", "scene001"), ("test", "scene005")):
            lines = []
            for number in (1, 11):
                files = f"{folder}/{scene}/gt/gt_{number}.png", f"{folder}/{scene}/blur/blur_{number}.png"
                for file in files:
                    write(root / file)
                lines.append(" ".join(files))
            (root / f"RealBlur_{kind}_{split}_list.txt").write_text("\n".join(lines) + "\n")


def kohler(root: Path) -> None:
    for trajectory in (1, 12):
        write(root / "BlurryImages" / f"Blurry1_{trajectory}.png")
        for frame in (1, 2, 10):
            write(root / "GroundTruth" / f"GroundTruth1_{trajectory}_{frame}.png", seed=frame)


LAYOUTS = {
    "reds": reds,
    "gopro": gopro,
    "gopro-linear": gopro,
    "dvd": dvd,
    "realblur-j": realblur,
    "realblur-r": realblur,
    "kohler": kohler,
}


def names(root: Path, kind: str, split: str = "test") -> list[str]:
    LAYOUTS[kind](root)
    return [pair.name for pair in open_set(f"{kind}:{root}", split)]


def test_reds_is_tested_on_every_tenth_frame_of_the_validation_clips(tmp_path: Path) -> None:
    assert names(tmp_path, "reds") == ["000_00000009", "000_00000019", "001_00000009", "001_00000019"]
    assert names(tmp_path, "reds", "train") == ["000_00000000", "000_00000001", "001_00000000", "001_00000001"]
    assert open_set(f"reds:{tmp_path}").pairs[-1] == Pair(
        "001_00000019",
        tmp_path / "val_blur_bicubic" / "X4" / "001" / "00000019.png",
        (tmp_path / "val_sharp" / "001" / "00000019.png",),
    )


def test_gopro_keeps_its_split_and_both_kinds_of_blur(tmp_path: Path) -> None:
    assert names(tmp_path, "gopro") == ["GOPR0384_11_00_000001", "GOPR0384_11_05_000001"]
    assert names(tmp_path, "gopro", "train") == ["GOPR0372_07_00_000001"]
    for kind, folder in (("gopro", "blur_gamma"), ("gopro-linear", "blur")):
        assert {pair.blurry.parent.name for pair in open_set(f"{kind}:{tmp_path}")} == {folder}


def test_dvd_is_tested_on_its_ten_videos_and_trained_on_the_others(tmp_path: Path) -> None:
    tested = names(tmp_path, "dvd")
    assert len(tested) == 10
    assert tested[:2] == ["720p_240fps_2_00000", "IMG_0003_00000"]
    assert names(tmp_path, "dvd", "train") == ["720p_240fps_1_00000", "IMG_0001_00000"]


@pytest.mark.parametrize("kind", ["realblur-j", "realblur-r"])
def test_realblur_follows_its_lists(tmp_path: Path, kind: str) -> None:
    assert names(tmp_path, kind) == ["scene005_1", "scene005_11"]
    assert names(tmp_path, kind, "train") == ["scene001_1", "scene001_11"]
    pair = open_set(f"{kind}:{tmp_path}").pairs[0]
    assert (pair.blurry.name, pair.sharp[0].name) == ("blur_1.png", "gt_1.png")
    assert f"RealBlur-{kind[-1].upper()}" in str(pair.blurry)


def test_kohler_has_all_frames_of_a_trajectory_in_their_order(tmp_path: Path) -> None:
    assert names(tmp_path, "kohler") == ["Blurry1_1", "Blurry1_12"]
    pair = open_set(f"kohler:{tmp_path}").pairs[1]
    assert [path.stem for path in pair.sharp] == [f"GroundTruth1_12_{frame}" for frame in (1, 2, 10)]
    frames = list(pair.references())
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[2], noise(16, 24, 10))
    np.testing.assert_array_equal(pair.read()[1], frames[1])
    with pytest.raises(CnlrnError, match="no train split"):
        open_set(f"kohler:{tmp_path}", "train")


def test_plain_folders_are_matched_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / "mine" / "blurry_x4" / f"{name}.jpg", 4, 6)
        write(tmp_path / "mine" / "sharp" / f"{name}.png")
    plain = open_set(tmp_path / "mine")
    assert (plain.name, len(plain), [pair.name for pair in plain]) == ("mine", 2, ["a", "b"])
    assert open_set(f"pairs:{tmp_path / 'mine/blurry_x4'},{tmp_path / 'mine/sharp'}").pairs == plain.pairs
    with pytest.raises(CnlrnError, match="names no two folders"):
        open_set(f"pairs:{tmp_path}")


def test_a_folder_of_blurry_and_sharp_pictures_holds_pairs_of_one_size(tmp_path: Path) -> None:
    blurry, sharp = write(tmp_path / "blurry" / "a.jpg", 43, 30), write(tmp_path / "sharp" / "a.png", 43, 30, seed=2)
    own = open_set(tmp_path)
    assert (own.scale, own.pairs) == (1, [Pair("a", blurry, (sharp,), scale=1)])
    [(_, photo, target)] = own.pictures()
    assert photo.shape == (43, 30, 3)
    np.testing.assert_array_equal(target, noise(43, 30, 2))
    np.testing.assert_array_equal(next(own.pairs[0].references()), target)
    write(tmp_path / "sharp" / "a.png", 44, 30)
    with pytest.raises(
        CnlrnError, match=r"a sharp picture of 30x43 pixels belongs to the blurry one, but it has 30x44$"
    ):
        own.pairs[0].read()


def test_a_folder_of_both_kinds_of_pairs_is_not_guessed_at(tmp_path: Path) -> None:
    write(tmp_path / "blurry_x4" / "a.png", 4, 6)
    for folder in ("blurry", "sharp"):
        write(tmp_path / folder / "a.png")
    with pytest.raises(CnlrnError, match="holds blurry_x4 and blurry") as caught:
        open_set(tmp_path)
    named = str(caught.value).rpartition("name ")[2]
    assert open_set(named).scale == 4


def test_pairs_of_one_size_among_x4_pairs_say_where_they_belong(tmp_path: Path) -> None:
    for folder in ("blurry_x4", "sharp"):
        write(tmp_path / folder / "a.png")
    with pytest.raises(CnlrnError, match="pairs of one size are to be in folders called blurry and sharp"):
        open_set(tmp_path).pairs[0].read()


def test_a_picture_without_partner_is_an_error_that_names_it(tmp_path: Path) -> None:
    write(tmp_path / "lr" / "a.png")
    write(tmp_path / "hr" / "a.jpg")
    write(tmp_path / "hr" / "alone.png")
    with pytest.raises(CnlrnError, match="alone"):
        match(tmp_path / "lr", tmp_path / "hr")


def test_two_pictures_of_one_stem_are_named_and_none_is_dropped(tmp_path: Path) -> None:
    for name in ("lr/a.png", "sharp/a.png", "sharp/a.jpg"):
        write(tmp_path / name)
    with pytest.raises(CnlrnError, match=r"sharp/a\.jpg and .*sharp/a\.png have one name"):
        match(tmp_path / "lr", tmp_path / "sharp")
    with pytest.raises(CnlrnError, match="have one name"):
        match(tmp_path / "sharp", tmp_path / "lr")


@pytest.mark.parametrize("kind", LAYOUTS)
def test_leftovers_of_macos_change_no_set(tmp_path: Path, kind: str) -> None:
    before = names(tmp_path, kind)
    for path in sorted(tmp_path.rglob("*")):
        for leftover in (path.with_name(f"._{path.name}"), tmp_path / "__MACOSX" / path.relative_to(tmp_path)):
            leftover.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                leftover.write_bytes(b"\0\5\x16\7")
            else:
                leftover.mkdir(parents=True, exist_ok=True)
    (tmp_path / ".DS_Store").touch()
    assert [pair.name for pair in open_set(f"{kind}:{tmp_path}")] == before
    for pair in open_set(f"{kind}:{tmp_path}"):
        pair.read()


def test_a_folder_with_the_layout_of_reds_is_reds(tmp_path: Path) -> None:
    reds(tmp_path)
    assert open_set(tmp_path).pairs == open_set(f"reds:{tmp_path}").pairs


def test_x4_pictures_are_taken_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "blurry_x4" / "a.png", 4, 6, seed=1)
    write(tmp_path / "sharp" / "a.png", 16, 24, seed=2)
    [(name, lr, sharp)] = open_set(tmp_path).pictures()
    assert name == "a"
    np.testing.assert_array_equal(lr, noise(4, 6, 1))
    np.testing.assert_array_equal(sharp, noise(16, 24, 2))


def test_full_sized_pictures_are_cropped_to_multiples_of_4_and_reduced_by_the_protocols_bicubic(tmp_path: Path) -> None:
    write(tmp_path / "input" / "a.png", 43, 30, seed=1)
    write(tmp_path / "GT" / "a.png", 43, 30, seed=2)
    [pair] = match(tmp_path / "input", tmp_path / "GT", full_size=True)
    lr, sharp = pair.read()
    expected = bicubic(noise(43, 30, 1)[:40, :28], 0.25)
    assert lr.dtype == np.uint8
    assert np.abs(lr - np.clip(expected, 0, 255)).max() <= 0.5
    np.testing.assert_array_equal(sharp, noise(43, 30, 2)[:40, :28])
    np.testing.assert_array_equal(next(pair.references()), sharp)


def test_reducing_a_flat_picture_keeps_its_colour() -> None:
    flat = np.full((16, 12, 3), 201, np.uint8)
    np.testing.assert_array_equal(reduced(flat), flat[:4, :3])


@pytest.mark.parametrize(("full_size", "size"), [(False, (16, 25)), (True, (16, 24))])
def test_sizes_that_do_not_belong_together_are_an_error_that_names_the_files(
    tmp_path: Path, full_size: bool, size: tuple[int, int]
) -> None:
    blurry, sharp = write(tmp_path / "blurry.png", 4, 6), write(tmp_path / "sharp.png", *size)
    with pytest.raises(CnlrnError, match=r"blurry\.png and .*sharp\.png are no pair"):
        Pair("a", blurry, (sharp,), full_size).read()
    sharp.write_bytes(b"damaged")
    with pytest.raises(CnlrnError, match=r"sharp\.png cannot be read"):
        Pair("a", blurry, (sharp,), full_size).read()


@pytest.mark.parametrize("kind", SETS)
def test_an_absent_set_says_what_to_download_and_where_to_put_it(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "nowhere"
    message = f"there is no folder {re.escape(str(place))};.* get .* from .* and unpack it into"
    with pytest.raises(CnlrnError, match=message) as caught:
        open_set(f"{kind}:{place}")
    assert SETS[kind].layout in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", SETS)
def test_another_layout_is_told_with_what_was_found(tmp_path: Path, kind: str) -> None:
    for name in ("one", "two", "three", "four", "videos"):
        (tmp_path / name).mkdir()
    with pytest.raises(CnlrnError, match=re.escape(f"{tmp_path} holds four, one, three, two and 1 more")):
        open_set(f"{kind}:{tmp_path}")


@pytest.mark.parametrize(
    ("kind", "lost", "told"),
    [
        ("reds", "val_blur_bicubic/X4/001/00000009.png", "00000009"),
        ("gopro", "test/GOPR0384_11_00/blur_gamma/000001.png", "blur_gamma"),
        ("dvd", "quantitative_datasets/IMG_0030/GT/00000.jpg", "IMG_0030"),
        ("realblur-j", "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene005/blur/blur_11.png", "line 2 of"),
        ("realblur-r", "RealBlur_R_test_list.txt", "there is no list"),
    ],
)
def test_a_file_that_is_missing_inside_a_set_is_named(tmp_path: Path, kind: str, lost: str, told: str) -> None:
    LAYOUTS[kind](tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(CnlrnError, match=told):
        open_set(f"{kind}:{tmp_path}")


def test_a_list_of_realblur_that_names_other_things_is_an_error_with_its_line(tmp_path: Path) -> None:
    realblur(tmp_path)
    (tmp_path / "RealBlur_J_test_list.txt").write_text("\nscene005/gt/gt_1.png\n")
    with pytest.raises(CnlrnError, match=r"line 2 of .*RealBlur_J_test_list\.txt"):
        open_set(f"realblur-j:{tmp_path}")


def test_a_blurry_picture_of_kohler_without_frames_is_named(tmp_path: Path) -> None:
    kohler(tmp_path)
    write(tmp_path / "BlurryImages" / "Blurry3_7.png")
    with pytest.raises(CnlrnError, match=r"no GroundTruth3_7_1\.png"):
        open_set(f"kohler:{tmp_path}")


def test_a_plain_folder_that_holds_no_pairs_says_how_sets_are_named(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match=r"sharp and, beside it, blurry_x4, or blurry .* is empty.* reds:.* kohler"):
        open_set(tmp_path)
    with pytest.raises(CnlrnError, match="gopro: names no folder; write gopro:FOLDER"):
        open_set("gopro:")


def test_a_part_of_a_set_is_used_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    reds(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert len(open_set(f"reds:{tmp_path}")) == 4
    assert "has 4 pairs, the published test split 300" in caplog.text


def test_training_splits_serve_as_sources_of_samples(tmp_path: Path) -> None:
    gopro(tmp_path)
    source = PairFiles(open_set(f"gopro:{tmp_path}", "train").pairs, patch=8)
    sample, again = (s.sample(generator(3, 5)) for s in (source, pickle.loads(pickle.dumps(source))))
    assert sample.name.startswith("GOPR0372_07_00_000001 at row")
    assert (sample.lr.shape, sample.hr.shape) == ((2, 2, 3), (8, 8, 3))
    np.testing.assert_array_equal(sample.lr, again.lr)
