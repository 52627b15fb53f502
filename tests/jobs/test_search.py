import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tiny_model import write_tiny_model

from cnlrn import CnlrnError, Restorer, images
from cnlrn.images import Picture
from cnlrn.jobs.local import Outcome, restore_all
from cnlrn.jobs.search import Search, expanded, one_file
from cnlrn.restoration.size import Size


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    return Restorer(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx"), threads=1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: fam/a.jpg and fam/deep/b.png in it."""
    for name in ("fam/a.jpg", "fam/deep/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        images.write(Picture(np.full((4, 6, 3), 99, np.uint8)), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def restored(restorer: Restorer, *inputs: str, output: str | None = None, **options: object) -> list[Outcome]:
    return list(restore_all(restorer, Search(list(inputs), output, **options)))  # type: ignore[arg-type]


def test_a_result_beside_its_source_is_not_restored_with_the_folder(here: Path, restorer: Restorer) -> None:
    restored(restorer, "fam/a.jpg")
    restored(restorer, "fam/a.jpg", size=Size(2), suffix=".webp")
    before = files()
    outcomes = {str(outcome.source): outcome for outcome in restored(restorer, "fam")}
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "fam/a.jpg": "done",
        "fam/a_x2.webp": "skipped",
        "fam/a_x4.jpg": "skipped",
        "fam/deep/b.png": "done",
    }
    reason = "fam/a_x4.jpg is left out, by its name it is a result made from fam/a.jpg; give it alone to restore it"
    assert outcomes["fam/a_x4.jpg"].reason == reason
    assert files() - before == {"fam_restored/a_x4.jpg", "fam_restored/deep/b_x4.png"}


def test_a_result_that_is_named_is_restored(here: Path, restorer: Restorer) -> None:
    restored(restorer, "fam/a.jpg")
    assert [outcome.status for outcome in restored(restorer, "fam/a_x4.jpg")] == ["done"]
    assert Path("fam/a_x4_x4.jpg").exists()


def test_a_result_beside_its_source_is_left_out_where_a_shell_names_both(here: Path, restorer: Restorer) -> None:
    restored(restorer, "fam/a.jpg", size=Size(3))
    outcomes = restored(restorer, "fam/a.jpg", "fam/a_x3.jpg")
    assert [(str(outcome.source), outcome.status) for outcome in outcomes] == [
        ("fam/a.jpg", "done"),
        ("fam/a_x3.jpg", "skipped"),
    ]


def test_a_picture_that_is_only_called_like_a_result_is_restored(here: Path, restorer: Restorer) -> None:
    Path("fam/a.jpg").rename("fam/street_x4.jpg")
    assert {outcome.status for outcome in restored(restorer, "fam")} == {"done"}


def test_a_result_of_any_name_and_place_is_not_restored_with_a_folder(here: Path, restorer: Restorer) -> None:
    restored(restorer, "fam", output="out", name="{stem}")
    for inputs in (["out"], ["out/*.jpg", "out/deep/*.png"]):
        outcomes = restored(restorer, *inputs)
        assert [(outcome.status, outcome.target) for outcome in outcomes] == [("skipped", None)] * 2
        assert outcomes[0].reason == "out/a.jpg is left out, it is a result of cnlrn; give it by its name to restore it"
    assert [outcome.status for outcome in restored(restorer, "out/a.jpg")] == ["done"]


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        (["cats", "fam"], "fam/deep/out"),
        (["fam", "cats"], "fam/deep/out"),
        (["fam", "cats"], "fam/out"),
        (["fam"], "fam/out"),
        (["fam"], "fam"),
        (["fam", "fam/deep"], None),
        (["."], None),
        (["fam/**/*.*", "cats/*"], "fam/out"),
    ],
)
def test_results_within_the_inputs_are_not_restored_by_the_next_run(
    here: Path, restorer: Restorer, inputs: list[str], output: str | None
) -> None:
    Path("cats").mkdir()
    Path("cats/c.png").write_bytes(Path("fam/deep/b.png").read_bytes())
    for _ in range(2):
        list(restore_all(restorer, Search(inputs, output)))
        assert not [name for name in files() if "_x4_x4" in name]
    assert {outcome.status for outcome in restore_all(restorer, Search(inputs, output))} == {"skipped"}


def test_sheets_are_written_beside_results_and_are_no_sources(here: Path, restorer: Restorer) -> None:
    (outcome,) = restore_all(restorer, Search(["fam/a.jpg"]), compare=True)
    assert outcome.sheet == Path("fam/a_x4_compare.png")
    assert images.read(outcome.sheet).pixels.shape[1] == 2 * 24 + 3 * 16
    assert not any("compare" in str(o.target) for o in restored(restorer, "fam"))
    assert not any("compare" in str(o.target) for o in restored(restorer, "fam/*.*"))


def test_a_sheet_that_is_missing_is_made_and_one_that_exists_is_kept(here: Path, restorer: Restorer) -> None:
    restored(restorer, "fam")
    sheets = [Path("fam_restored/a_x4_compare.png"), Path("fam_restored/deep/b_x4_compare.png")]
    sheets[0].write_bytes(b"kept")
    outcomes = list(restore_all(restorer, Search(["fam"]), compare=True))
    assert [(outcome.status, outcome.sheet) for outcome in outcomes] == [
        ("skipped", None),
        ("skipped", sheets[1].absolute()),
    ]
    assert sheets[0].read_bytes() == b"kept"
    assert images.read(sheets[1]).pixels.shape[2] == 3
    outcomes = list(restore_all(restorer, Search(["fam"]), compare=True, overwrite=True))
    assert [outcome.sheet for outcome in outcomes] == [sheet.absolute() for sheet in sheets]
    assert images.read(sheets[0]).pixels.shape[2] == 3


def test_a_file_that_appears_while_its_picture_is_computed_is_kept(here: Path, restorer: Restorer) -> None:
    (job,) = Search(["fam/a.jpg"])
    assert job.target is not None
    target = job.target
    outcomes = restore_all(restorer, [job], progress=lambda _: target.write_bytes(b"another's") and None)
    assert [(o.status, (o.reason or "").split(" while")[0]) for o in outcomes] == [("failed", "fam/a_x4.jpg appeared")]
    assert target.read_bytes() == b"another's"


def test_links_that_lead_nowhere_are_failures_and_what_is_no_picture_is_counted(here: Path) -> None:
    Path("fam/gone.jpg").symlink_to("nowhere.jpg")
    Path("fam/gone.txt").symlink_to("nowhere.txt")
    Path("fam/notes.txt").touch()
    Path("fam/link.jpg").symlink_to("a.jpg")
    search = Search(["fam"])
    jobs = {job.source.name: job.problem for job in search}
    assert jobs == {
        "a.jpg": None,
        "gone.jpg": "fam/gone.jpg is a link to nowhere.jpg, which does not exist",
        "link.jpg": None,
        "b.png": None,
    }
    assert search.ignored == 2


def test_a_folder_of_very_many_files_is_not_listed_before_the_first_job(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("many").mkdir()
    for number in range(2500):
        Path(f"many/{number:04}.bmp").touch()
    listed = 0
    scandir = os.scandir

    @contextmanager
    def counting(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        def entries() -> Iterator[os.DirEntry[str]]:
            nonlocal listed
            for entry in found:
                listed += 1
                yield entry

        with scandir(folder) as found:
            yield entries()

    monkeypatch.setattr(os, "scandir", counting)
    jobs = iter(Search(["many"]))
    next(jobs)
    assert 0 < listed <= 1000
    assert len({job.source for job in jobs}) == 2499
    assert listed == 2500


def test_two_sources_of_one_result_in_a_folder_are_not_mixed_up_however_they_are_spelled(here: Path) -> None:
    for name in ("a.bmp", "a.png", "a.Bmp"):
        Path("fam", name).touch()
    jobs = list(Search(["fam"]))
    targets = [job.target for job in jobs if job.target is not None]
    assert len(targets) == len(set(targets)) == 3
    assert sum("put {ext} into the name" in (job.problem or "") for job in jobs) == 2


def test_a_folder_may_be_called_like_a_picture_and_the_topmost_needs_an_output(here: Path) -> None:
    for inputs in (["fam/a.jpg"], ["fam"]):
        assert all(job.target and job.target.parts[0] == "out.jpg" for job in Search(inputs, "out.jpg/"))
    with pytest.raises(CnlrnError, match="give a folder for the results with -o"):
        Search([here.anchor])


def test_a_missing_file_is_told_of_before_the_format_of_its_output(here: Path) -> None:
    with pytest.raises(CnlrnError, match=r"^none does not exist$"):
        Search(["none"], "out")


@pytest.mark.parametrize(
    "given",
    ["'{}'", '"{}"', " {} ", "{}\n", "file://{}", "FILE://localhost{}", "{escaped}", "file://{quoted}"],
)
def test_names_as_terminals_and_file_managers_give_them_are_understood(here: Path, given: str) -> None:
    file = here / "my photo (1).jpg"
    file.write_bytes(b"")
    escaped, quoted = (str(file).replace(" ", r).replace("(", q) for r, q in ((r"\ ", r"\("), ("%20", "(")))
    assert expanded(given.format(file, escaped=escaped.replace(")", r"\)"), quoted=quoted)) == [file]


def test_the_home_folder_may_be_written_short(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("USERPROFILE", str(here))
    assert expanded("~/fam/a.jpg") == [here / "fam" / "a.jpg"]


def test_names_that_only_look_odd_are_taken_as_they_are(here: Path) -> None:
    for name in ("'a'.jpg", "a b.jpg", "it's.jpg", r"a\b.jpg", "~"):
        Path(name).touch()
        assert expanded(name) == [Path(name)]
    assert expanded("it's gone.jpg") == [Path("it's gone.jpg")]


@pytest.mark.parametrize(
    "given", ["https://a.example/b.jpg?x=1", "s3://bucket/a.png", "HTTP://a/b", "data:image/png;x"]
)
def test_an_address_is_told_of(here: Path, given: str) -> None:
    for call in (lambda: expanded(given), lambda: one_file(given), lambda: Search(["fam"], given)):
        with pytest.raises(CnlrnError, match="is an address, not a file; nothing is fetched"):
            call()


def test_a_file_on_another_computer_is_told_of(here: Path) -> None:
    with pytest.raises(CnlrnError, match="is on another computer"):
        expanded("file://server/share/a.jpg")
