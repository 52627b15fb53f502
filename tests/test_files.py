import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cnlrn.errors import CnlrnError
from cnlrn.files import (
    beside,
    check_place,
    discard,
    make_folder,
    open_beside,
    remove_temporaries,
    replacing,
    result_suffix,
)


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
    for name, reason in (("", "is a folder"), ("a.txt/b", "is no folder"), ("x" * 300, "File name too long")):
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


def test_a_file_that_appears_meanwhile_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"

    def write(**options: bool) -> None:
        with replacing(target, **options) as temporary:
            temporary.write_text("mine")
            target.write_text("another's")

    with pytest.raises(CnlrnError, match=r"a\.txt appeared while .* --overwrite replaces it"):
        write(overwrite=False)
    assert target.read_text() == "another's"
    write()
    assert target.read_text() == "mine"
    target.unlink()
    with replacing(target, overwrite=False) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_appears_whole_also_on_a_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for expected in ("new", "another's"):
        try:
            with replacing(tmp_path / "a.txt", overwrite=False) as temporary:
                temporary.write_text("new")
        except CnlrnError:
            assert expected == "another's"
        assert (tmp_path / "a.txt").read_text() == expected
        (tmp_path / "a.txt").write_text("another's")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="links need permission")
def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link.txt").symlink_to("far/a.txt")
    for overwrite, text in ((False, "new"), (True, "newer")):
        check_place(tmp_path / "link.txt")
        with replacing(tmp_path / "link.txt", overwrite=overwrite) as temporary:
            temporary.write_text(text)
        assert (tmp_path / "link.txt").is_symlink()
        assert (tmp_path / "far" / "a.txt").read_text() == text
    (tmp_path / "lost.txt").symlink_to("nowhere/a.txt")
    check_place(tmp_path / "lost.txt")
    with replacing(tmp_path / "lost.txt") as temporary:
        temporary.write_text("found")
    assert (tmp_path / "nowhere" / "a.txt").read_text() == "found"
    (tmp_path / "nowhere2").symlink_to("void")
    with pytest.raises(CnlrnError, match=r"nowhere2 is no folder"):
        check_place(tmp_path / "nowhere2" / "b.txt")


def test_folders_that_a_file_needs_are_made_and_are_gone_where_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "far" / "away" / "a.txt"
    check_place(target)
    assert not any(tmp_path.iterdir())

    def fail() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not any(tmp_path.iterdir())
    with replacing(target) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole"
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert target.read_text() == "whole"
    context = replacing(tmp_path / "other" / "b.txt")
    context.__enter__()
    remove_temporaries()
    assert [path.name for path in tmp_path.iterdir()] == ["far"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_place_for_whose_folder_there_is_no_permission_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CnlrnError, match=r"b\.txt: no permission to write in the folder"):
        check_place(tmp_path / "a" / "b.txt")
    tmp_path.chmod(0o700)


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_what_is_written_for_a_private_file_is_private_all_the_time(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with replacing(target) as temporary:
        temporary.write_text("for all")
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask
    target.chmod(0o600)
    with replacing(target) as temporary:
        assert temporary.stat().st_mode & 0o077 == 0
        temporary.write_text("private")
        assert temporary.stat().st_mode & 0o077 == 0
    rows, file = open_beside(target, ".rows")
    file.close()
    assert rows.stat().st_mode & 0o077 == 0
    discard(rows)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for place in (tmp_path / "pipe.png", Path(os.devnull)):
        with pytest.raises(CnlrnError, match="is a device or a pipe"):
            check_place(place)


def test_temporaries_of_dead_processes_are_removed_and_those_of_living_ones_kept(tmp_path: Path) -> None:
    script = (
        "import sys, os; from pathlib import Path; from cnlrn.files import open_beside;"
        "open_beside(Path(sys.argv[1]), '.rows')[1].close(); print('made', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.txt")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (left,) = tmp_path.iterdir()
        with replacing(tmp_path / "b.txt") as temporary:
            temporary.write_text("b")
        assert left.exists()
        process.kill()
    command = [sys.executable, "-c", script, str(tmp_path / "c.txt")]
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    assert not left.exists()


def test_temporaries_of_other_machines_are_removed_when_they_are_old(tmp_path: Path) -> None:
    name = re.sub(r"-[0-9a-f]{8}-", "-00000000-", beside(tmp_path / "sub" / "a.txt", ".rows").name)
    (tmp_path / name).touch()
    (tmp_path / name.replace(".rows", ".old")).touch()
    os.utime(tmp_path / name.replace(".rows", ".old"), (1, 1))
    beside(tmp_path / "a.txt", "")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_all_temporaries_of_this_process_can_be_removed_at_once(tmp_path: Path) -> None:
    with replacing(tmp_path / "kept.txt") as temporary:
        temporary.touch()
    left, file = open_beside(tmp_path / "a.txt", ".rows")
    file.close()
    remove_temporaries()
    assert not left.exists()
    assert (tmp_path / "kept.txt").exists()


@pytest.mark.parametrize(
    ("name", "content", "suffix"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n", ".png"),
        ("a.JPEG", b"\xff\xd8\xff\xe0", ".JPEG"),
        ("a.jfif", b"\xff\xd8\xff\xe0", ".jpg"),
        ("a.jpg", b"\x89PNG\r\n\x1a\n", ".png"),  # what it is, not what it says
        ("a.webp", b"RIFF\n\0\0\0WEBPVP8 ", ".webp"),
        ("a.tiff", b"II*\0", ".tiff"),
        ("a.tif", b"MM\0+", ".tif"),
        ("a.avif", b"\0\0\0\x1cftypavif\0\0\0\0mif1", ".avif"),
        ("a.avif", b"\0\0\0\x1cftypmif1\0\0\0\0avif", ".avif"),
        ("a.heic", b"\0\0\0\x1cftypheic\0\0\0\0mif1", ".png"),
        ("a.bmp", b"BM", ".png"),
        ("none", b"", ".png"),
    ],
)
def test_a_result_has_the_format_of_its_source_where_that_is_written(
    tmp_path: Path, name: str, content: bytes, suffix: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert result_suffix(tmp_path / name) == suffix


def test_a_result_has_the_format_that_the_name_says_of_a_source_that_cannot_be_read(tmp_path: Path) -> None:
    assert result_suffix(tmp_path / "none.jpg") == ".jpg"
    assert result_suffix(tmp_path / "none.bmp") == ".png"
    assert result_suffix(tmp_path) == ".png"
