import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tiny_model import write_tiny_model

import cnlrn
from cnlrn import CnlrnError, Restorer, pictures
from cnlrn.pictures import Picture

RNG = np.random.default_rng(0)


class Overshooting:
    """An engine whose results leave [0, 1] on both sides."""

    name = "overshooting"
    scales: tuple[int, ...] = (1,)
    multiple = 1
    context: int | None = 0

    def run(self, lr: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
        return (lr - 0.5) * 3 + 0.5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def restorer(model: Path) -> Restorer:
    return Restorer(model, threads=1, tile=8)


def noise(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    if dtype == np.float32:
        return RNG.random(shape, np.float32)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def repeated(array: NDArray[Any], scale: int) -> NDArray[Any]:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 5, 3), (20, 31, 3), (7, 9, 1), (7, 9), (1, 40, 3)])
def test_an_array_comes_back_as_one_of_its_kind(
    restorer: Restorer, shape: tuple[int, ...], dtype: Any, scale: int
) -> None:
    lr = noise(shape, dtype)
    hr = restorer.restore(lr, scale)
    assert hr.dtype == dtype
    np.testing.assert_allclose(hr, repeated(lr, scale), atol=1e-6 if dtype == np.float32 else 0)


def test_every_16_bit_value_survives(restorer: Restorer) -> None:
    lr = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(restorer.restore(lr, 1), lr)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_results_saturate_instead_of_wrapping(restorer: Restorer, dtype: Any, model: Path) -> None:
    overshooting = Restorer(model)
    overshooting.engine = Overshooting()
    full = 1 if dtype == np.float32 else np.iinfo(dtype).max
    assert overshooting.restore(np.array([[0, full]], dtype), 1).tolist() == [[0, full]]


@pytest.mark.parametrize("channels", [2, 4])
def test_opaque_stays_opaque_and_constant_alpha_constant(restorer: Restorer, channels: int) -> None:
    for dtype, values in ((np.uint8, (255, 128, 1)), (np.uint16, (65535, 1000))):
        for value in values:
            lr = noise((6, 7, channels), dtype)
            lr[..., -1] = value
            hr = restorer.restore(lr)
            assert hr.shape == (24, 28, channels)
            assert (hr[..., -1] == value).all()
            np.testing.assert_array_equal(hr[..., :-1], repeated(lr[..., :-1], 4))


@pytest.mark.parametrize("hidden", [0, 255])
def test_hidden_colours_make_no_rim(restorer: Restorer, hidden: int) -> None:
    y, x = np.mgrid[0:40, 0:40]
    alpha = np.clip((14 - np.hypot(y - 20, x - 20)) * 128 + 128, 0, 255).astype(np.uint8)
    lr = np.dstack([np.full((40, 40, 3), hidden, np.uint8), alpha])
    lr[alpha > 0, :3] = (200, 60, 30)
    hr = restorer.restore(lr)
    assert (hr[hr[..., 3] > 0, :3] == (200, 60, 30)).all()
    assert np.unique(hr[..., 3]).size > 2  # the rim is soft
    assert hr[..., 3].mean() == pytest.approx(alpha.mean(), abs=0.5)


def test_a_picture_that_is_wholly_transparent_is_left_alone(restorer: Restorer) -> None:
    lr = noise((5, 5, 4), np.uint8)
    lr[..., 3] = 0
    np.testing.assert_array_equal(restorer.restore(lr), repeated(lr, 4))


def test_the_tile_size_does_not_change_the_picture(model: Path) -> None:
    lr = noise((50, 70, 3), np.uint8)
    whole = Restorer(model, tile=1000).restore(lr)
    for tile in (1, 9, 16, 33):
        np.testing.assert_array_equal(Restorer(model, tile=tile).restore(lr), whole)


def test_a_path_gives_an_array_and_writes_the_output(restorer: Restorer, tmp_path: Path) -> None:
    lr = noise((6, 8, 3), np.uint16)
    alpha = np.full((6, 8), 65535, np.uint16)
    pictures.write(Picture(lr, alpha), tmp_path / "photo.png")
    hr = restorer.restore(tmp_path / "photo.png", 2, output=tmp_path / "sharp.tif")
    np.testing.assert_array_equal(hr, np.dstack([repeated(lr, 2), repeated(alpha, 2)]))
    written = pictures.read(tmp_path / "sharp.tif")
    np.testing.assert_array_equal(written.pixels, hr[..., :3])
    assert restorer.restore(str(tmp_path / "photo.png"), 2).shape == (12, 16, 4)


def test_profile_metadata_and_resolution_of_a_file_are_kept(restorer: Restorer, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x10E] = "a lighthouse"
    Image.new("L", (8, 6)).save(tmp_path / "photo.jpg", exif=exif, dpi=(300, 300))
    restorer.restore(tmp_path / "photo.jpg", output=tmp_path / "sharp.jpg")
    with Image.open(tmp_path / "sharp.jpg") as sharp:
        assert (sharp.size, sharp.mode) == ((32, 24), "L")
        assert sharp.getexif()[0x10E] == "a lighthouse"
        assert sharp.info["dpi"] == (300, 300)


def test_bytes_give_the_bytes_of_a_png(restorer: Restorer) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (10, 200, 30)).save(file, "jpeg", quality=100)
    sharp = restorer.restore(file.getvalue())
    assert sharp.startswith(b"\x89PNG")
    assert pictures.read(sharp).pixels.shape == (24, 32, 3)


@pytest.mark.parametrize(
    ("mode", "result"),
    [("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("I;16", "I;16"), ("1", "L"), ("P", "RGB"),
     ("CMYK", "RGB"), ("YCbCr", "RGB")],
)  # fmt: skip
def test_a_pillow_image_gives_one(restorer: Restorer, mode: str, result: str) -> None:
    image = Image.new(mode, (5, 3))
    image.info["dpi"] = (300, 300)
    sharp = restorer.restore(image)
    assert (sharp.mode, sharp.size, sharp.info) == (result, (20, 12), {"dpi": (300, 300)})


def test_a_pillow_palette_with_transparency_gives_rgba(restorer: Restorer) -> None:
    image = Image.new("P", (5, 3))
    image.info["transparency"] = 0
    sharp = restorer.restore(image)
    assert (sharp.mode, np.asarray(sharp)[0, 0, 3]) == ("RGBA", 0)


def test_a_picture_gives_a_picture(restorer: Restorer) -> None:
    restored = restorer.restore(Picture(noise((4, 4, 1), np.uint8), resolution=(12.0, 12.0)))
    assert (restored.pixels.shape, restored.resolution) == ((16, 16, 1), (12.0, 12.0))


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (np.zeros((4, 4, 5), np.uint8), "shape (4, 4, 5) is not a picture"),
        (np.zeros(4, np.uint8), "shape (4,) is not a picture"),
        (np.zeros((0, 4), np.uint8), "shape (0, 4) is not a picture"),
        (np.zeros((4, 4)), "float64 is not a picture"),
        (np.full((4, 4), 255, np.float32), "not all in [0, 1]"),
        (np.full((4, 4), np.nan, np.float32), "not all in [0, 1]"),
        (np.full((4, 4, 4), -np.inf, np.float32), "not all in [0, 1]"),
        (Image.new("F", (4, 4)), 'mode "F" has no fixed range'),
        (12, "not int"),
    ],
)
def test_what_is_not_a_picture_is_said(restorer: Restorer, picture: Any, reason: str) -> None:
    with pytest.raises(CnlrnError) as caught:
        restorer.restore(picture)
    assert reason in str(caught.value)


def test_wrong_options_are_said(restorer: Restorer, model: Path, tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match="restores at scale 1, 2 or 4, not 3"):
        restorer.restore(np.zeros((4, 4), np.uint8), 3)
    with pytest.raises(CnlrnError, match="tile must be at least 1, not 0"):
        Restorer(model, tile=0)
    with pytest.raises(CnlrnError, match="threads must be at least 1, not -1"):
        Restorer(model, threads=-1)
    with pytest.raises(CnlrnError, match=r"written as \.png"):
        restorer.restore(np.zeros((4, 4), np.uint8), output=tmp_path / "sharp.xyz")


def test_an_unwritable_output_is_refused_before_the_picture_is_even_read(restorer: Restorer, tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match=r"sharp\.xyz"):
        restorer.restore(tmp_path / "none.png", output=tmp_path / "sharp.xyz")


def test_several_threads_can_share_a_restorer(model: Path) -> None:
    shared = Restorer(model, tile=8)
    lrs = [noise((9 + i, 20, 3), np.uint8) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda i: shared.restore(lrs[i], (1, 2, 4)[i % 3]), range(8)))
    for i, result in enumerate(results):
        np.testing.assert_array_equal(result, repeated(lrs[i], (1, 2, 4)[i % 3]))


def test_the_function_does_what_the_class_does(model: Path) -> None:
    lr = noise((6, 8, 3), np.uint8)
    np.testing.assert_array_equal(cnlrn.restore(lr, scale=2, model=model), repeated(lr, 2))


def test_restoring_imports_no_training_library(model: Path) -> None:
    script = (
        "import sys, numpy, cnlrn; cnlrn.restore(numpy.zeros((4, 4, 4), 'uint8'), model=sys.argv[1]);"
        "print({'torch', 'cv2', 'onnx', 'PIL', 'lightning', 'skimage'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script, model], capture_output=True, text=True, check=True)
    assert (run.stdout.strip(), run.stderr) == ("set()", "")


def test_the_package_offers_what_it_says() -> None:
    assert cnlrn.__version__.count(".") >= 2
    assert callable(cnlrn.models)
    assert callable(cnlrn.restore)
    with pytest.raises(AttributeError, match="no attribute 'sharpen'"):
        _ = cnlrn.sharpen
