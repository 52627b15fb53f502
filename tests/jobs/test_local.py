import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_tiny_model

from cnlrn import CnlrnError, Restorer, images
from cnlrn.images import LazyPicture, Picture
from cnlrn.jobs import local as batch
from cnlrn.jobs.local import Job, Search, restore_all
from cnlrn.restoration.size import Size


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), threads=1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/: a.png, b.jpg, notes.txt, .hidden.png, deep/c.png, deep/er/d.png; the current folder is its parent."""
    for name in ("a.png", "b.jpg", ".hidden.png", "deep/c.png", "deep/er/d.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        images.write(Picture(np.full((4, 6, 3), 99, np.uint8)), tmp_path / "photos" / name)
    (tmp_path / "photos" / "notes.txt").write_text("not a picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def pairs(search: Search) -> list[tuple[str, str]]:
    return [(str(job.source), str(job.target)) for job in search]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_mirrored_beside_itself(folder: Path) -> None:
    there = folder.with_name("photos_restored")
    assert pairs(search := Search(["photos"])) == [
        ("photos/a.png", f"{there}/a_x4.png"),
        ("photos/b.jpg", f"{there}/b_x4.jpg"),
        ("photos/deep/c.png", f"{there}/deep/c_x4.png"),
        ("photos/deep/er/d.png", f"{there}/deep/er/d_x4.png"),
    ]
    assert search.ignored == 1


def test_an_output_folder_mirrors_one_folder_and_keeps_several_apart(folder: Path) -> None:
    assert pairs(Search(["photos/deep"], "out")) == [
        ("photos/deep/c.png", "out/c_x4.png"),
        ("photos/deep/er/d.png", "out/er/d_x4.png"),
    ]
    assert pairs(Search(["photos/a.png", "photos/deep/er"], "out", Size(2))) == [
        ("photos/a.png", "out/a_x2.png"),
        ("photos/deep/er/d.png", "out/er/d_x2.png"),
    ]


def test_results_within_the_folder_are_not_taken_for_its_pictures(folder: Path, restorer: Restorer) -> None:
    for _ in range(2):
        outcomes = list(restore_all(restorer, Search(["photos"], "photos/sharp"), overwrite=True))
        assert [outcome.status for outcome in outcomes] == ["done"] * 4


def test_results_beside_their_sources_are_not_restored_again(folder: Path, restorer: Restorer) -> None:
    assert len(list(restore_all(restorer, Search(["photos/*.png"])))) == 1
    assert pairs(Search(["photos/*.png"])) == [("photos/a.png", "photos/a_x4.png")]


def test_results_among_the_pictures_of_a_folder_are_not_restored_again(folder: Path, restorer: Restorer) -> None:
    for status in ("done", "skipped"):
        outcomes = list(restore_all(restorer, Search(["photos"], "photos")))
        assert [outcome.status for outcome in outcomes] == [status] * 4


def test_a_single_file_may_name_its_output(folder: Path) -> None:
    assert pairs(Search(["photos/a.png"], "sharp.webp")) == [("photos/a.png", "sharp.webp")]
    assert pairs(Search(["photos/a.png"], "new/")) == [("photos/a.png", "new/a_x4.png")]
    assert pairs(Search(["photos/a.png"], "photos")) == [("photos/a.png", "photos/a_x4.png")]
    assert pairs(Search(["photos/a.png"])) == [("photos/a.png", "photos/a_x4.png")]


@pytest.mark.parametrize(
    ("size", "tag"),
    [(Size(), "x4"), (Size(1.5), "x1.5"), (Size(width=800), "w800"), (Size(height=9), "h9"), (Size(None, 8, 9), "8x9")],
)
def test_names_follow_the_template(folder: Path, size: Size, tag: str) -> None:
    search = Search(["photos/b.jpg"], "out/", size, "{model}-{stem}.{ext}-{size}", ".tif", "tiny")
    assert pairs(search) == [("photos/b.jpg", f"out/tiny-b.jpg-{tag}.tif")]
    assert [job.size for job in search] == [size]


def test_patterns_are_expanded_and_names_that_look_like_patterns_are_files(folder: Path) -> None:
    (folder / "[1].png").write_bytes((folder / "a.png").read_bytes())
    assert [str(job.source) for job in Search(["photos/**/[cd].png"])] == ["photos/deep/c.png", "photos/deep/er/d.png"]
    assert [str(job.source) for job in Search(["photos/[1].png"])] == ["photos/[1].png"]


def test_two_sources_of_one_result_are_not_mixed_up(folder: Path, restorer: Restorer) -> None:
    (folder / "a.jpg").write_bytes((folder / "b.jpg").read_bytes())
    for inputs in (["photos"], ["photos/a.jpg", "photos/a.png"]):
        outcomes = list(restore_all(restorer, Search(inputs, "out", suffix=".png"), overwrite=True))
        assert [str(outcome.source) for outcome in outcomes if outcome.status == "failed"] == ["photos/a.png"]
        assert "as photos/a.jpg does; put {ext} into the name" in (outcomes[1].reason or "")
    for search in (Search(["photos"], "o", name="{stem}{ext}", suffix=".png"), Search(["photos"], "p")):
        assert all(outcome.status == "done" for outcome in restore_all(restorer, search))


@pytest.mark.parametrize(
    ("search", "reason"),
    [
        ({"inputs": ["none*.png"]}, "no file matches none*.png"),
        ({"inputs": ["photos"], "output": "sharp.png"}, "sharp.png names one file; several pictures need a folder"),
        ({"inputs": ["photos"], "output": "photos/a.png"}, "photos/a.png names one file"),
        ({"inputs": ["photos"], "name": "{scale}"}, "'{scale}' cannot name the results"),
        ({"inputs": ["photos"], "name": "{stem"}, "'{stem' cannot name the results"),
        ({"inputs": ["photos"], "name": "up/{stem}"}, "no folders"),
        ({"inputs": ["photos"], "name": ""}, "'' cannot name the results"),
        ({"inputs": ["photos"], "name": "{stem:d}"}, "'{stem:d}' cannot name the results"),
        ({"inputs": ["photos"], "suffix": ".gif"}, "choose one of these"),
        ({"inputs": [""]}, "is empty"),
        ({"inputs": ["photos"], "output": ""}, "is empty"),
        (
            {"inputs": ["photos", "other/photos"], "output": "out"},
            "photos and other/photos would be mixed up in out/photos",
        ),
    ],
)
def test_what_makes_no_sense_is_said_before_any_work(folder: Path, search: dict[str, object], reason: str) -> None:
    Path("other/photos").mkdir(parents=True)
    with pytest.raises(CnlrnError) as caught:
        Search(**search)  # type: ignore[arg-type]
    assert reason in str(caught.value)


def test_links_that_lead_nowhere_and_names_too_long_stop_nothing(folder: Path, restorer: Restorer) -> None:
    (folder / "loop.png").symlink_to("loop.png")
    (folder / f"{'x' * 250}.png").write_bytes((folder / "a.png").read_bytes())
    outcomes = {o.source.name: o for o in restore_all(restorer, Search(["photos", "y" * 300], "out"))}
    failed = {name: o.reason or "" for name, o in outcomes.items() if o.status == "failed"}
    assert list(failed) == ["y" * 300, "loop.png", f"{'x' * 250}.png"]
    assert all("Too many levels" in reason or "File name too long" in reason for reason in failed.values())
    assert [name for name in outcomes if name not in failed] == ["a.png", "b.jpg", "c.png", "d.png"]


def test_a_model_s_file_gives_its_name_to_results(folder: Path) -> None:
    search = Search(["photos/a.png"], "out/", name="{model}-{stem}", model="/models/mine.onnx")
    assert pairs(search) == [("photos/a.png", "out/mine-a.png")]


def test_everything_in_a_folder_is_restored(folder: Path, restorer: Restorer) -> None:
    outcomes = list(restore_all(restorer, Search(["photos"], "out")))
    assert [(o.status, o.before, o.after) for o in outcomes] == [("done", (6, 4), (24, 16))] * 4
    assert files(Path("out")) == {"a_x4.png", "b_x4.jpg", "deep/c_x4.png", "deep/er/d_x4.png"}
    assert images.read("out/deep/er/d_x4.png").pixels.shape == (16, 24, 3)


def test_a_second_run_does_what_the_first_left(folder: Path, restorer: Restorer) -> None:
    first = restore_all(restorer, Search(["photos"], "out"))
    next(first)
    first.close()
    done = files(Path("out"))
    before = {name: (Path("out") / name).stat().st_mtime_ns for name in done}
    second = [outcome.status for outcome in restore_all(restorer, Search(["photos"], "out"))]
    assert second == ["skipped"] * len(done) + ["done"] * (4 - len(done))
    assert before == {name: (Path("out") / name).stat().st_mtime_ns for name in done}
    assert {o.status for o in restore_all(restorer, Search(["photos"], "out"), overwrite=True)} == {"done"}


def test_bad_pictures_stop_nothing_and_say_why(folder: Path, restorer: Restorer) -> None:
    (folder / "a.png").write_bytes(b"")
    (folder / "deep" / "c.png").write_bytes((folder / "deep/er/d.png").read_bytes()[:60])
    jobs = [*Search(["photos"], "out"), Job(Path("none.png"), Path("out/none.png"))]
    outcomes = list(restore_all(restorer, jobs))
    assert [outcome.status for outcome in outcomes] == ["failed", "done", "failed", "done", "failed"]
    reasons = [outcome.reason or "" for outcome in outcomes if outcome.status == "failed"]
    assert reasons[0] == "photos/a.png is empty"
    assert reasons[1].startswith("photos/deep/c.png is damaged or cut short")
    assert reasons[2] == "none.png does not exist"
    assert files(Path("out")) == {"b_x4.jpg", "deep/er/d_x4.png"}


def test_an_unexpected_failure_stops_nothing_either(
    folder: Path, restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = images.write

    def fail_once(picture: LazyPicture, path: Path, *, overwrite: bool) -> None:
        if path.name == "b_x4.jpg":
            raise RuntimeError("of an unforeseen kind")
        write(picture, path, overwrite=overwrite)

    monkeypatch.setattr(images, "write", fail_once)
    outcomes = list(restore_all(restorer, Search(["photos"], "out"), overwrite=True))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done", "done"]
    assert outcomes[1].reason == "photos/b.jpg failed unexpectedly (RuntimeError: of an unforeseen kind)"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_folders_without_permission_are_failures_of_their_own(folder: Path, restorer: Restorer) -> None:
    (folder / "deep").chmod(0)
    outcomes = list(restore_all(restorer, Search(["photos"], "out")))
    (folder / "deep").chmod(0o700)
    assert [outcome.status for outcome in outcomes] == ["done", "done", "failed"]
    assert "photos/deep cannot be read" in (outcomes[2].reason or "")


def test_a_folder_that_cannot_be_made_is_a_failure(folder: Path, restorer: Restorer) -> None:
    Path("out").mkdir()
    Path("out/deep").write_text("in the way")
    outcomes = list(restore_all(restorer, Search(["photos"], "out")))
    assert [outcome.status for outcome in outcomes] == ["done", "done", "failed", "failed"]
    assert "out/deep is no folder" in (outcomes[2].reason or "")


def test_no_folder_is_made_for_pictures_that_fail(folder: Path, restorer: Restorer) -> None:
    for path in (folder / "deep").rglob("*.png"):
        path.write_bytes(b"")
    list(restore_all(restorer, Search(["photos"], "out")))
    assert {path.name for path in Path("out").iterdir()} == {"a_x4.png", "b_x4.jpg"}


def test_options_reach_every_picture(folder: Path, restorer: Restorer) -> None:
    parts: list[float] = []
    for outcome in restore_all(restorer, Search(["photos"], "out", Size(width=13)), progress=parts.append):
        assert outcome.target is not None
        assert images.read(outcome.target).pixels.shape == (9, 13, 3)
    assert parts == [1.0] * 4


def test_a_million_pictures_are_not_listed_before_the_first_is_restored(restorer: Restorer, folder: Path) -> None:
    asked = 0

    def jobs() -> Iterator[Job]:
        nonlocal asked
        for number in range(1_000_000):
            asked += 1
            yield Job(folder / "a.png", folder / "out" / f"{number}.png")

    run = restore_all(restorer, jobs())
    assert next(run).status == "done"
    run.close()
    assert asked < 10


def test_an_interruption_finishes_what_is_being_written_and_leaves_nothing_else(
    folder: Path, restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, interrupted, write = threading.Event(), threading.Event(), images.write

    def slow(picture: LazyPicture, path: Path, *, overwrite: bool) -> None:
        writing.set()
        assert interrupted.wait(60)
        write(picture, path, overwrite=overwrite)

    def interrupt(part: float) -> None:
        seen.append(part)
        if part == 1 and seen.count(1) == 2:  # the second picture is computed
            assert writing.wait(60)  # and the first is being written
            interrupted.set()
            raise KeyboardInterrupt

    seen: list[float] = []
    monkeypatch.setattr(images, "write", slow)
    with pytest.raises(KeyboardInterrupt):
        list(restore_all(restorer, Search(["photos"], "out"), progress=interrupt))
    assert files(Path("out")) == {"a_x4.png"}


def test_a_large_result_is_written_before_the_next_is_computed(
    tmp_path: Path, restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large").mkdir()
    for name in "ab":  # results of more than 64 MB
        images.write(Picture(np.full((850, 850, 3), 999, np.uint16)), tmp_path / "large" / f"{name}.png")
    writing, write = threading.Event(), images.write
    beside = []

    def watched(picture: LazyPicture, path: Path, *, overwrite: bool) -> None:
        writing.set()
        time.sleep(0.05)
        write(picture, path, overwrite=overwrite)
        writing.clear()

    monkeypatch.setattr(images, "write", watched)
    search = Search([str(tmp_path / "large")])
    outcomes = list(restore_all(restorer, search, progress=lambda _: beside.append(writing.is_set())))
    assert [outcome.status for outcome in outcomes] == ["done"] * 2
    assert len(beside) > 1
    assert not any(beside)


def test_the_search_says_which_file_the_output_names(folder: Path) -> None:
    assert Search(["photos/a.png"], "sharp.png").file == Path("sharp.png")
    assert Search(["photos/a.png"], "photos/").file is None
    assert Search(["photos"], "out").file is None
    assert batch.Search(["photos/a.png"]).single
    assert not batch.Search(["photos"]).single


def test_a_size_far_from_all_proportions_is_refused_in_words(folder: Path, restorer: Restorer) -> None:
    (outcome,) = restore_all(restorer, Search(["photos/a.png"], size=Size(width=1, height=10**8)))
    assert outcome.reason is not None
    assert outcome.reason.startswith(
        "the result would have 1x100000000 pixels, and a picture can be resized to at most"
    )
