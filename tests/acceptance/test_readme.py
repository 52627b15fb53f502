"""The README's own commands, run as a reader would run them."""

import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from cnlrn import pictures
from cnlrn.pictures import Picture

pytestmark = pytest.mark.acceptance

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's folder: a photo, some sharp photos, a folder for pairs, the recipes."""
    pictures.write(pictures.read(ROOT / "examples" / "kitten.png"), tmp_path / "photo.jpg")
    for place in ("photos", "pairs/blurry_x4", "pairs/sharp"):
        (tmp_path / place).mkdir(parents=True)
    smooth = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    for name in ("one", "two"):
        pictures.write(Picture(smooth.repeat(16, axis=0).repeat(16, axis=1)), tmp_path / "photos" / f"{name}.png")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    return tmp_path


def run(command: str, folder: Path, bin_folder: Path = Path(sys.executable).parent) -> str:
    environment = {"PATH": f"{bin_folder}:/usr/bin:/bin", "XDG_CACHE_HOME": str(folder / "cache"), "HOME": str(folder)}
    done = subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_shell_commands_work_in_their_order(folder: Path):
    for block in blocks("sh"):
        run(block, folder)
    height, width = pictures.read(folder / "photo.jpg").pixels.shape[:2]
    for name, scale in (("sharp.png", 4), ("photo_x2.png", 2), ("deblurred.tif", 1), ("mine.png", 4)):
        assert pictures.read(folder / name).pixels.shape == (height * scale, width * scale, 3), name


def test_the_python_examples_work(folder: Path):
    (block,) = blocks("python")
    run(f"{sys.executable} -c '{block}'", folder)
    assert pictures.read(folder / "restored.webp").pixels.shape[2] == 3


def test_the_pages_and_pictures_that_the_readme_links_to_exist():
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_make_demo_writes_a_sheet():
    sheet = ROOT / "demo" / "before-after.png"
    sheet.unlink(missing_ok=True)
    said = run("make demo", ROOT)
    assert "demo/before-after.png" in said
    assert pictures.read(sheet).pixels.shape[1] > 800


def test_a_plain_install_restores_without_torch(folder: Path):
    venv.create(folder / "plain", with_pip=True)
    bin_folder = folder / "plain" / "bin"
    run(f"pip install -q '{ROOT}'", folder, bin_folder)
    run("cnlrn restore photo.jpg -o plain.png", folder, bin_folder)
    installed = run("pip list --format=freeze", folder, bin_folder)
    assert not {"torch", "opencv-python-headless", "lightning"} & {
        line.split("==")[0] for line in installed.splitlines()
    }
    assert pictures.read(folder / "plain.png").pixels.shape[2] == 3
