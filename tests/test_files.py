from pathlib import Path

import pytest

from cnlrn.errors import CnlrnError
from cnlrn.files import beside, check_place, make_folder, replacing


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt"
        assert (tmp_path / "a.txt").read_text() == "old"
    assert (tmp_path / "a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_replaces_a_file_has_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    (tmp_path / "a.txt").chmod(0o600)
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o600


def test_a_place_where_no_file_or_folder_can_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    check_place(tmp_path / "a.txt")
    for name, reason in (("", "is a folder"), ("a.txt/b", "does not exist"), ("x" * 300, "File name too long")):
        with pytest.raises(CnlrnError, match=reason):
            check_place(tmp_path / name)
    with pytest.raises(CnlrnError, match=r"the folder .*a\.txt cannot be made \(File exists\)"):
        make_folder(tmp_path / "a.txt")


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")

    def fail() -> None:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_names_beside_a_file_are_hidden_and_never_the_same(tmp_path: Path) -> None:
    names = {beside(tmp_path / "a.txt", ".rows").name for _ in range(9)}
    assert len(names) == 9
    assert all(name.startswith(".") and name.endswith(".rows") for name in names)
