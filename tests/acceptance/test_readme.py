"""The README's own commands, run as a reader would run them."""

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from cnlrn import images

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a reader has: a copy of the source, and a command `cnlrn`."""
    kept = shutil.ignore_patterns(".*", "demo", "runs", "__pycache__", "shared", "tests")
    shutil.copytree(ROOT, tmp_path / "clone", ignore=kept)
    (tmp_path / "bin").mkdir()
    for name, call in (("cnlrn", "-m cnlrn"), ("python", "")):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path / "clone"


def run(command: str, folder: Path, bin_folder: Path | None = None) -> str:
    home = folder.parent / "home"
    paths = [str(bin_folder or folder.parent / "bin"), "/usr/bin", "/bin"]
    environment = {"PATH": ":".join(paths), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    if bin_folder is None:
        environment["PYTHONPATH"] = str(ROOT / "src")
    done = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_block_works_as_it_is_one_after_the_other(clone: Path):
    assert {language for language, _ in BLOCKS} == {"sh", "python"}
    for language, block in BLOCKS:
        run(block if language == "sh" else f"python - <<'END'\n{block}\nEND", clone)
    height, width = images.read(clone / "photo.png").pixels.shape[:2]
    results = {"photo_x4.png": 4, "sharp.jpg": 4, "photo_x2.png": 2, "deblurred.tif": 1, "piped.png": 4, "mine.png": 4}
    for name, scale in results.items():
        assert images.read(clone / name).pixels.shape == (height * scale, width * scale, 3), name
    assert images.read(clone / "photo_w1920.webp").pixels.shape[1] == 1920
    assert images.read(clone / "photo_w800.png").pixels.shape[1] == 800
    for name in ("sharp_compare.png", "restored.webp", "restored/budgie_x4.png", "pairs/sharp/budgie.png"):
        assert images.read(clone / name).pixels.shape[2] == 3, name


def test_the_python_of_the_page_on_deployment_works(clone: Path):
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert run(f"python - <<'END'\n{block}\nprint(sharp.shape)\nEND", clone) == "(1, 3, 256, 384)\n"


def test_the_pages_and_pictures_that_the_readme_links_to_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_make_demo_writes_a_sheet(clone: Path):
    stamps = clone / "installed"  # as `make` leaves it
    (stamps / "bin").mkdir(parents=True)
    shutil.copy(clone.parent / "bin" / "cnlrn", stamps / "bin")
    for name in (".venv", ".core"):
        (stamps / name).touch()
    assert "demo/before-after.png" in run("make demo VENV=installed", clone)
    assert images.read(clone / "demo" / "before-after.png").pixels.shape[1] > 800


def test_a_plain_install_restores_without_torch(clone: Path):
    venv.create(clone / "plain", with_pip=True)
    bin_folder = clone / "plain" / "bin"
    run("pip install -q .", clone, bin_folder)
    run("cnlrn examples/kitten.png -o plain.png", clone, bin_folder)
    installed = run("pip list --format=freeze", clone, bin_folder)
    assert not {"torch", "opencv-python-headless", "lightning-fabric"} & {
        line.split("==")[0] for line in installed.splitlines()
    }
    assert images.read(clone / "plain.png").pixels.shape[2] == 3
