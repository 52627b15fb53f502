"""`cnlrn restore --method`."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scenes import blurred, scene, swirl

from cnlrn import images
from cnlrn.classical import kernels
from cnlrn.cli import app
from cnlrn.images import Picture, read

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def cnlrn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["cnlrn", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            app.main()
        out, err = capfd.readouterr()
        return int(caught.value.code or 0), out + err

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    gray = blurred(scene(96), swirl())
    colours = np.rint(65535 * np.stack([gray, gray, 1 - gray], axis=-1)).astype(np.uint16)
    alpha = np.full(gray.shape, 65535, np.uint16)
    alpha[:10] = 30000
    images.write(Picture(colours, alpha), tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_photo_is_deblurred_at_its_size_with_its_depth_and_alpha_and_the_kernel_shown(
    cnlrn: Command, photo: Path, tmp_path: Path
) -> None:
    sharp, kernel = tmp_path / "sharp.png", tmp_path / "kernel.png"
    code, said = cnlrn("restore", photo, "--method", "unnatural-l0", "-o", sharp, "--kernel", kernel, "--force")
    assert (code, "deblurred at its size" in said) == (0, True)
    before, after = read(photo), read(sharp)
    assert after.pixels.dtype == np.uint16
    assert after.pixels.shape == before.pixels.shape
    assert before.alpha is not None
    np.testing.assert_array_equal(after.alpha, before.alpha)
    assert after.pixels.astype(float).std() > before.pixels.astype(float).std()
    shown = read(kernel).pixels
    assert shown.shape[0] == shown.shape[1] >= 60
    assert shown.max() == 255


def test_the_kernel_has_the_size_that_is_asked_for(cnlrn: Command, photo: Path, tmp_path: Path) -> None:
    shown = tmp_path / "kernel.png"
    options = ("--method", "fast-motion", "--kernel-size", "10", "--kernel", shown, "--force")
    assert cnlrn("restore", photo, *options, "-o", tmp_path / "sharp.png")[0] == 0
    assert read(shown).pixels.shape == (121, 121, 1)  # 11 pixels, the next odd number, each shown 11 times as large


def test_a_kernel_too_large_for_the_picture_is_refused_in_a_sentence(
    cnlrn: Command, photo: Path, tmp_path: Path
) -> None:
    options = ("--method", "fast-motion", "--kernel-size", "61", "--force", "-o", tmp_path / "sharp.png")
    code, said = cnlrn("restore", photo, *options)
    assert (code, "a kernel of 61x61 pixels is too large" in said) == (2, True)
    assert list(photo.parent.iterdir()) == [photo]


def test_a_picture_in_tiles_is_like_one_at_once(cnlrn: Command, photo: Path, tmp_path: Path) -> None:
    options = ("--method", "unnatural-l0", "--force")
    assert cnlrn("restore", photo, *options, "-o", tmp_path / "whole.png")[0] == 0
    assert cnlrn("restore", photo, *options, "-o", tmp_path / "tiled.png", "--tile", "40")[0] == 0
    whole, tiled = (read(tmp_path / name).pixels / 65535 for name in ("whole.png", "tiled.png"))
    assert np.sqrt(np.square(whole - tiled).mean()) < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "dark-chanel"), "did you mean dark-channel?"),
        (("--kernel", "kernel.png"), "--kernel goes with --method"),
        (("--method", "dark-channel", "--model", "cnlrn-s"), "--model goes with models"),
        (("--method", "dark-channel", "--ensemble"), "--ensemble goes with models"),
        (("--method", "dark-channel", "--kernel", "kernel.xyz"), "kernel.xyz"),
        (("photo.png", "--method", "dark-channel", "--kernel", "kernel.png"), "give one"),
        (("--method", "dark-channel", "--kernel", "same.png", "-o", "./same.png"), "give --kernel another name"),
        (("--method", "a-plus", "--kernel", "kernel.png"), "a-plus estimates no kernel"),
        (("--method", "scsr", "--kernel-size", "9"), "scsr estimates no kernel; leave out the kernel's size"),
        (("--kernel-size", "9"), "--kernel-size goes with --method"),
        (("--method", "dark-channel", "--kernel-size", "0"), "the kernel's size must be at least 1, not 0"),
    ],
)
def test_options_that_make_no_sense_are_refused_in_a_sentence(
    cnlrn: Command, photo: Path, options: tuple[str, ...], message: str
) -> None:
    code, said = cnlrn("restore", photo, *options)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1
    assert list(photo.parent.iterdir()) == [photo]


def test_a_kernel_never_replaces_the_photo(cnlrn: Command, photo: Path) -> None:
    before = photo.read_bytes()
    code, said = cnlrn("restore", photo, "--method", "unnatural-l0", "--kernel", photo, "--overwrite")
    assert (code, "give --kernel another name" in said) == (2, True)
    assert photo.read_bytes() == before


def test_a_kernel_that_exists_is_kept(cnlrn: Command, photo: Path, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel.png"
    kernel.write_bytes(b"kept")
    code, said = cnlrn("restore", photo, "--method", "unnatural-l0", "--kernel", kernel)
    assert (code, "--overwrite" in said) == (2, True)
    assert kernel.read_bytes() == b"kept"


def test_a_kernel_is_shown_as_a_gray_picture_of_whole_pixels() -> None:
    shown = kernels.as_picture(swirl(9), side=90)
    assert shown.shape == (90, 90, 1)
    assert shown[5, 5, 0] == shown[0, 0, 0]
