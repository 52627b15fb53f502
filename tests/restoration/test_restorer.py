import doctest
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import room_for
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from tiny_model import write_tiny_model

import cnlrn
import cnlrn.restoration.functions
from cnlrn import CnlrnError, Restorer, images
from cnlrn.engine.onnxfile import Level
from cnlrn.images import Picture
from cnlrn.restoration.size import Size

RNG = np.random.default_rng(0)

Survey = NDArray[np.float32] | None


class Repeating:
    """An engine that does what the tiny model does."""

    name = "repeating"
    scales: tuple[int, ...] = (1, 2, 4)
    multiple = 4
    context: int | None = 4
    levels = ()

    def __init__(self) -> None:
        self.calls = self.releases = 0

    def release(self) -> None:
        self.releases += 1

    def pixels_within(self, memory: int, level: Level | None = None) -> int:
        return memory // 1000

    def survey(self, lr: NDArray[np.float32]) -> Survey:
        return None

    def level(self, index: int, lr: NDArray[np.float32], survey: Survey, before: Survey) -> NDArray[np.float32]:
        raise AssertionError("there are no levels")

    def run(self, lr: NDArray[np.float32], scale: int, survey: Survey, features: Survey = None) -> NDArray[np.float32]:
        self.calls += 1
        return lr.repeat(scale, axis=2).repeat(scale, axis=3)


class Overshooting(Repeating):
    """Its results leave [0, 1] on both sides."""

    def run(self, lr: NDArray[np.float32], scale: int, survey: Survey, features: Survey = None) -> NDArray[np.float32]:
        return (super().run(lr, scale, survey) - 0.5) * 3 + 0.5


class Shading(Repeating):
    """It looks everywhere, and what it gives depends on the place: darker to the right and below, not alike."""

    context = None

    def run(self, lr: NDArray[np.float32], scale: int, survey: Survey, features: Survey = None) -> NDArray[np.float32]:
        hr = super().run(lr, scale, survey)
        y, x = (np.linspace(1, end, side, dtype=np.float32) for side, end in zip(hr.shape[2:], (0.7, 0.4), strict=True))
        return np.asarray(hr * y[:, None] * x, np.float32)


class Surveying(Repeating):
    """It gives the mean colours of the whole picture everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.surveyed: list[tuple[int, ...]] = []

    def survey(self, lr: NDArray[np.float32]) -> Survey:
        self.surveyed.append(lr.shape)
        return lr.mean((0, 2, 3), dtype=np.float64).astype(np.float32)[None]

    def run(self, lr: NDArray[np.float32], scale: int, survey: Survey, features: Survey = None) -> NDArray[np.float32]:
        assert survey is not None
        return np.zeros_like(super().run(lr, scale, survey)) + survey[..., None, None]


class Failing(Repeating):
    """It gives up after `successes` pieces."""

    def __init__(self, successes: int) -> None:
        super().__init__()
        self.successes = successes

    def run(self, lr: NDArray[np.float32], scale: int, survey: Survey, features: Survey = None) -> NDArray[np.float32]:
        hr = super().run(lr, scale, survey)
        if self.calls > self.successes:
            raise CnlrnError("the model failed")
        return hr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def restorer(model: Path) -> Restorer:
    return Restorer(model, threads=1, tile=8)


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed for a file waits on disk, however little it is."""
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)


def with_engine(model: Path, engine: Repeating, **options: Any) -> Restorer:
    restorer = Restorer(model, **options)
    restorer.engine = engine
    return restorer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def save(array: NDArray[Any], path: Path) -> Path:
    """Channels as `Restorer.restore` takes them."""
    colours = array.shape[2] - (array.shape[2] % 2 == 0)
    images.write(Picture(array[..., :colours], array[..., -1] if colours < array.shape[2] else None), path)
    return path


def noise(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    if dtype == np.float32:
        return RNG.random(shape, np.float32)
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def repeated(array: NDArray[Any], scale: int) -> NDArray[Any]:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 5, 3), (20, 31, 3), (7, 9, 1), (7, 9), (1, 2000, 3), (2000, 1)])
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
    overshooting = with_engine(model, Overshooting())
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


def test_colours_under_alpha_0_far_from_what_is_visible_stay(restorer: Restorer) -> None:
    lr = noise((4, 120, 4), np.uint8)
    lr[..., 3] = 0
    lr[:, :8, 3] = 255
    np.testing.assert_array_equal(restorer.restore(lr)[:, 240:, :3], repeated(lr, 4)[:, 240:, :3])


def test_the_tile_size_does_not_change_the_picture(model: Path) -> None:
    lr = noise((50, 70, 4), np.uint8)
    lr[10:30, 20:40, 3] = 0
    whole = Restorer(model, tile=1000).restore(lr)
    for tile in (1, 9, 16, 33, None):
        np.testing.assert_array_equal(Restorer(model, tile=tile).restore(lr), whole)


def test_a_path_gives_the_path_of_a_file_beside_it(restorer: Restorer, tmp_path: Path) -> None:
    lr = noise((6, 8, 4), np.uint16)
    lr[..., 3] = 65535
    photo = save(lr, tmp_path / "photo.tif")
    assert restorer.restore(photo) == tmp_path / "photo_x4.tif"
    assert restorer.restore(str(photo), 2) == tmp_path / "photo_x2.tif"
    assert restorer.restore(photo, 2.5) == tmp_path / "photo_x2.5.tif"
    assert restorer.restore(photo, width=12) == tmp_path / "photo_w12.tif"
    assert restorer.restore(photo, height=9) == tmp_path / "photo_h9.tif"
    assert restorer.restore(photo, width=12, height=10) == tmp_path / "photo_12x10.tif"
    assert restorer.restore(photo, 2, output=tmp_path / "sharp.png") == tmp_path / "sharp.png"
    assert len(names(tmp_path)) == 8
    for name in ("photo_x2.tif", "sharp.png"):
        written = images.read(tmp_path / name)
        np.testing.assert_array_equal(written.pixels, repeated(lr[..., :3], 2))
        np.testing.assert_array_equal(written.alpha, repeated(lr[..., 3], 2))


def test_the_folder_of_an_output_is_made_once_the_result_is_written(
    restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    photo = save(noise((6, 8, 3), np.uint8), tmp_path / "photo.png")
    target = tmp_path / "far" / "away" / "sharp.png"
    seen: list[list[str]] = []
    restorer.restore(photo, output=target, progress=lambda _: seen.append(names(tmp_path)))
    assert images.read(target).pixels.shape == (24, 32, 3)
    assert all(existing == ["photo.png"] for existing in seen)


def test_a_file_that_exists_is_replaced_only_when_told(restorer: Restorer, tmp_path: Path) -> None:
    photo = save(noise((6, 8, 3), np.uint8), tmp_path / "photo.png")
    before = photo.read_bytes()
    (tmp_path / "photo_x4.png").write_bytes(b"mine")
    for output in (None, photo):
        with pytest.raises(CnlrnError, match="exists; say overwrite to replace it"):
            restorer.restore(photo, output=output)
    assert (photo.read_bytes(), (tmp_path / "photo_x4.png").read_bytes()) == (before, b"mine")
    restorer.restore(photo, overwrite=True)
    assert images.read(tmp_path / "photo_x4.png").pixels.shape == (24, 32, 3)
    restorer.restore(photo, output=photo, overwrite=True)
    assert photo.read_bytes() == (tmp_path / "photo_x4.png").read_bytes()


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("options", [{}, {"scale": 3}, {"scale": 0.4}, {"width": 400}, {"width": 50, "height": 333}])
def test_rows_that_wait_on_disk_give_the_same_file(
    restorer: Restorer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    dtype: Any,
    bands: int,
) -> None:
    lr = noise((43, 70, bands), dtype)
    lr[5:20, 8:50, -1] = 0
    photo = save(lr, tmp_path / "photo.tif")
    restorer.restore(photo, **options, output=tmp_path / "memory.tif")
    seen = []
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    restorer.restore(photo, **options, output=tmp_path / "disk.tif", progress=lambda _: seen.append(names(tmp_path)))
    assert all(existing == ["memory.tif", "photo.tif"] for existing in seen)  # the rows' file has no name
    assert names(tmp_path) == ["disk.tif", "memory.tif", "photo.tif"]
    assert (tmp_path / "disk.tif").read_bytes() == (tmp_path / "memory.tif").read_bytes()
    result = images.read(tmp_path / "disk.tif")
    array = restorer.restore(lr, **options)
    assert array.dtype == dtype
    np.testing.assert_array_equal(result.pixels, array[..., : result.pixels.shape[2]])


@pytest.mark.parametrize("large", [False, True])
def test_the_engine_gives_its_memory_back_before_a_large_result_is_encoded(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    if large:
        monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    engine = Repeating()
    photo = save(noise((40, 40, 3), np.uint8), tmp_path / "photo.png")
    with_engine(model, engine).restore(photo)
    assert engine.releases == large


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "avif"])
def test_every_format_is_written_from_rows_on_disk(
    restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: str
) -> None:
    photo = save(noise((43, 70, 4), np.uint16), tmp_path / "photo.png")
    memory = restorer.restore(photo, 3, output=tmp_path / f"memory.{extension}")
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    disk = restorer.restore(photo, 3, output=tmp_path / f"disk.{extension}")
    assert disk.read_bytes() == memory.read_bytes()


@pytest.mark.parametrize("successes", [0, 7])
def test_nothing_is_left_when_computing_fails(model: Path, tmp_path: Path, on_disk: None, successes: int) -> None:
    photo = save(noise((40, 40, 4), np.uint16), tmp_path / "photo.png")
    failing = with_engine(model, Failing(successes), tile=8)
    for options in ({}, {"scale": 3}):
        with pytest.raises(CnlrnError, match="the model failed"):
            failing.restore(photo, **options)
    assert names(tmp_path) == ["photo.png"]


def test_nothing_is_left_when_the_user_interrupts(restorer: Restorer, tmp_path: Path, on_disk: None) -> None:
    def interrupt(done: float) -> None:
        if done > 0.4:
            raise KeyboardInterrupt

    photo = save(noise((40, 40, 3), np.uint8), tmp_path / "photo.png")
    with pytest.raises(KeyboardInterrupt):
        restorer.restore(photo, progress=interrupt)
    assert names(tmp_path) == ["photo.png"]


@pytest.mark.parametrize("options", [{}, {"scale": 3.7}])
@pytest.mark.parametrize("full_at", [0.5, 1.0])
def test_a_full_disk_is_said_and_nothing_is_left(
    restorer: Restorer, tmp_path: Path, on_disk: None, full_at: float, options: dict[str, Any]
) -> None:
    photo = save(noise((40, 40, 4), np.uint16), tmp_path / "photo.png")
    (tmp_path / "sharp.tif").write_bytes(b"old")
    with ExitStack() as stack:

        def fill(done: float) -> None:
            if done >= full_at:
                stack.enter_context(room_for(100))

        with pytest.raises(CnlrnError, match=r"cannot write .*sharp\.tif \("):
            restorer.restore(photo, **options, output=tmp_path / "sharp.tif", overwrite=True, progress=fill)
    assert names(tmp_path) == ["photo.png", "sharp.tif"]
    assert (tmp_path / "sharp.tif").read_bytes() == b"old"


def test_profile_metadata_and_resolution_of_a_file_are_kept(restorer: Restorer, tmp_path: Path, on_disk: None) -> None:
    exif = Image.Exif()
    exif[0x10E] = "a lighthouse"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (8, 6)).save(tmp_path / "photo.jpg", exif=exif, dpi=(300, 300), icc_profile=profile)
    for strip in (False, True):
        for scale in (4, 3):
            restorer.restore(tmp_path / "photo.jpg", scale, output=tmp_path / "sharp.jpg", strip=strip, overwrite=True)
            with Image.open(tmp_path / "sharp.jpg") as sharp:
                assert sharp.size == (8 * scale, 6 * scale)
                assert sharp.getexif().get(0x10E) == (None if strip else "a lighthouse")
                assert sharp.info["dpi"] == pytest.approx((300, 300))
                assert sharp.info["icc_profile"] == profile


def test_gray_files_stay_gray(restorer: Restorer, tmp_path: Path) -> None:
    Image.new("L", (8, 6)).save(tmp_path / "photo.jpg")
    with Image.open(restorer.restore(tmp_path / "photo.jpg", output=tmp_path / "sharp.jpg")) as sharp:
        assert (sharp.size, sharp.mode) == ((32, 24), "L")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_result_is_upright(restorer: Restorer, tmp_path: Path, on_disk: None, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    stored = Image.fromarray(noise((6, 8, 3), np.uint8))
    stored.save(tmp_path / "photo.png", exif=exif)
    with Image.open(restorer.restore(tmp_path / "photo.png", 2)) as sharp:
        assert sharp.getexif().get(0x112, 1) == 1
        expected = ImageOps.exif_transpose(Image.open(tmp_path / "photo.png"))
        np.testing.assert_array_equal(np.asarray(sharp), repeated(np.asarray(expected), 2))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5, -0.1])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_a_floating_point_tiff_that_leaves_its_range_is_refused(
    restorer: Restorer, tmp_path: Path, on_disk: None, value: float, bands: int
) -> None:
    for channel in (0, bands - 1):
        lr = noise((40, 30, bands), np.float32)
        lr[31, 7, channel] = value
        photo = save(lr, tmp_path / "photo.tif")
        with pytest.raises(CnlrnError, match=r"photo\.tif has floating point samples that are not in \[0, 1\]"):
            restorer.restore(photo)
        assert names(tmp_path) == ["photo.tif"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(), (160, 120)),
        (Size(1), (40, 30)),
        (Size(3), (120, 90)),
        (Size(0.33), (13, 10)),
        (Size(1e-9), (1, 1)),
        (Size(6.5), (260, 195)),
        (Size(width=100), (100, 75)),
        (Size(height=7), (9, 7)),
        (Size(width=100, height=7), (100, 7)),
        (Size(width=1), (1, 1)),
    ],
)
def test_the_size_is_what_was_asked_for(restorer: Restorer, size: Size, expected: tuple[int, int]) -> None:
    assert size.of(40, 30) == expected
    for colour in np.array((200, 100, 3), np.uint8), np.array((41743, 65535, 3), np.uint16):
        lr = np.broadcast_to(colour, (30, 40, 3))
        hr = restorer.restore(lr, size.scale, width=size.width, height=size.height)
        assert hr.shape == (expected[1], expected[0], 3)
        assert (hr == colour).all()


def test_a_size_is_named_for_files() -> None:
    sizes = (Size(), Size(2.5), Size(width=100), Size(height=7), Size(width=100, height=7))
    assert [size.tag for size in sizes] == ["restored", "x2.5", "w100", "h7", "100x7"]


@pytest.mark.parametrize(
    "options",
    [{"scale": 0}, {"scale": -1}, {"scale": np.nan}, {"scale": np.inf}, {"scale": 1e300}, {"width": 0}, {"height": -3}],
)
def test_a_size_that_makes_no_sense_is_refused(restorer: Restorer, options: dict[str, Any]) -> None:
    with pytest.raises(CnlrnError, match=r"must be more than 0 and at most 100000000, not"):
        restorer.restore(np.zeros((4, 4), np.uint8), **options)


def test_a_scale_beside_a_width_is_refused(restorer: Restorer) -> None:
    with pytest.raises(CnlrnError, match="either a scale or a width and height"):
        restorer.restore(np.zeros((4, 4), np.uint8), 2, width=8)


@pytest.mark.parametrize(("scale", "used"), [(0.5, 1), (1, 1), (1.01, 2), (2, 2), (2.5, 4), (4, 4), (7, 4)])
def test_the_smallest_exit_that_is_large_enough_is_computed(model: Path, scale: float, used: int) -> None:
    class Noting(Repeating):
        def run(
            self, lr: NDArray[np.float32], scale: int, survey: Survey, features: Survey = None
        ) -> NDArray[np.float32]:
            assert scale == used
            return super().run(lr, scale, survey)

    with_engine(model, Noting()).restore(np.zeros((100, 100), np.uint8), scale)


def test_smaller_results_are_antialiased(restorer: Restorer) -> None:
    checkers = (np.indices((60, 60)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(restorer.restore(checkers, 0.25).astype(int)[3:-3, 3:-3] - 127.5).max() < 6


def test_larger_pictures_than_the_limit_are_refused(model: Path, tmp_path: Path) -> None:
    restorer = Restorer(model, max_pixels=100)
    fits, too_large = (save(noise((10, width, 3), np.uint8), tmp_path / f"{width}.png") for width in (10, 11))
    assert restorer.restore(fits, output=tmp_path / "sharp.png") == tmp_path / "sharp.png"
    for source in (too_large, too_large.read_bytes()):
        with pytest.raises(CnlrnError, match="has 11x10 pixels, more than the limit of 100"):
            restorer.restore(source)
    for source in (fits, fits.read_bytes(), np.zeros((10, 10), np.uint8)):
        with pytest.raises(CnlrnError, match="would have 41x41 pixels, more than 16 times the limit of 100"):
            restorer.restore(source, 4.1)
    assert names(tmp_path) == ["10.png", "11.png", "sharp.png"]


@pytest.mark.parametrize(("extension", "side"), [("jpg", 65500), ("webp", 16383), ("avif", 16384)])
def test_a_result_too_large_for_its_format_is_refused_before_it_is_computed(
    model: Path, tmp_path: Path, extension: str, side: int
) -> None:
    engine = Repeating()
    restorer = with_engine(model, engine)
    for shape, options in (
        ((1, 5, 1), {"width": side + 1, "height": 1}),
        ((5, 1, 1), {"width": 1, "height": side + 1}),
    ):
        photo = save(noise(shape, np.uint8), tmp_path / "photo.png")
        with pytest.raises(CnlrnError, match=f"at most {side} a side; write a PNG or TIFF"):
            restorer.restore(photo, **options, output=tmp_path / f"sharp.{extension}")
    assert engine.calls == 0
    assert restorer.restore(photo, width=1, height=side, output=tmp_path / f"sharp.{extension}").is_file()


def test_the_ensemble_is_the_mean_over_flips_and_rotations(model: Path) -> None:
    lr = noise((12, 20, 3), np.float32)
    engine = Shading()
    plain, ensemble = with_engine(model, engine), with_engine(model, engine, ensemble=True)
    for scale in (1, 2, 4):
        total = np.zeros((12 * scale, 20 * scale, 3))
        for turns in range(4):
            total += np.rot90(plain.restore(np.rot90(lr, turns), scale), -turns)
            total += np.rot90(plain.restore(np.rot90(lr, turns)[:, ::-1], scale)[:, ::-1], -turns)
        engine.calls = 0
        result = ensemble.restore(lr, scale)
        np.testing.assert_allclose(result, total / 8, atol=1e-6)
        assert engine.calls == 8
        assert np.abs(result - plain.restore(lr, scale)).max() > 0.05


@pytest.mark.parametrize("shape", [(36, 60, 3), (40, 40, 4), (40, 36, 1)])
def test_tiles_share_a_survey_of_the_whole_picture(model: Path, shape: tuple[int, int, int]) -> None:
    engine = Surveying()
    lr = noise(shape, np.float32)
    result = with_engine(model, engine, tile=8).restore(lr)
    assert engine.surveyed == [(1, 3, *shape[:2])]
    assert engine.calls > 1
    if shape[2] != 4:  # what alpha hides is surveyed as it is restored
        np.testing.assert_allclose(result - lr.mean((0, 1)), 0, atol=1e-6)
    assert np.ptp(result[..., :3].reshape(-1, min(shape[2], 3)), axis=0).max() == 0


@pytest.mark.parametrize("size", [(500, 700), (700, 500), (1, 20_000), (20_000, 3), (66, 5000)])
def test_large_pictures_are_surveyed_by_windows_spread_over_them(
    model: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr("cnlrn.restoration.computing._SURVEYED", 64 * 64 * 4)
    engine = Surveying()
    y, x = (np.linspace(0, 1, side, dtype=np.float32) for side in size)
    result = with_engine(model, engine).restore(np.stack(np.broadcast_arrays(y[:, None], x, np.float32(0.3)), 2), 1)
    np.testing.assert_allclose(result[0, 0], [0.5 * (size[0] > 1), 0.5, 0.3], atol=0.01)
    (n, _, height, width) = engine.surveyed[0]
    assert n > 1
    assert n * height * width <= 64 * 64 * 4 * 4


def test_an_ensemble_surveys_what_it_sees(model: Path) -> None:
    engine = Surveying()
    with_engine(model, engine, ensemble=True).restore(noise((12, 20, 3), np.float32))
    assert engine.surveyed == 2 * [(1, 3, 12, 20)] + 2 * [(1, 3, 20, 12)] + 2 * [(1, 3, 12, 20)] + 2 * [(1, 3, 20, 12)]


def test_progress_goes_from_little_to_all(restorer: Restorer) -> None:
    seen: list[float] = []
    restorer.restore(noise((60, 20, 3), np.uint8), 2, progress=seen.append)
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert (seen[0] > 0, seen[-1]) == (True, 1)


def test_an_output_beside_anything_but_a_path_is_refused(restorer: Restorer, tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match="goes with the path of a picture"):
        restorer.restore(np.zeros((4, 4), np.uint8), output=tmp_path / "sharp.png")  # type: ignore[call-overload]


def test_bytes_give_the_bytes_of_a_file_of_their_format(restorer: Restorer) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), (10, 200, 30)).save(file, "jpeg", quality=100)
    sharp = restorer.restore(file.getvalue())
    assert sharp.startswith(b"\xff\xd8")
    assert images.read(sharp).pixels.shape == (24, 32, 3)


@pytest.mark.parametrize(
    ("mode", "result"),
    [("L", "L"), ("LA", "LA"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("I;16", "I;16"), ("1", "L"), ("P", "RGB"),
     ("CMYK", "RGB"), ("YCbCr", "RGB"), ("La", "LA"), ("RGBa", "RGBA"), ("PA", "RGBA"), ("I;16B", "I;16")],
)  # fmt: skip
def test_a_pillow_image_gives_one(restorer: Restorer, mode: str, result: str) -> None:
    image = Image.new(mode, (5, 3))
    image.info["dpi"] = (300, 300)
    sharp = restorer.restore(image)
    profile = sharp.info.pop("icc_profile", None)
    assert (sharp.mode, sharp.size, sharp.info) == (result, (20, 12), {"dpi": (300, 300)})
    assert (profile is not None) == (mode == "CMYK")


@pytest.mark.parametrize(("mode", "hidden", "result"), [("P", 0, "RGBA"), ("RGB", (0, 0, 0), "RGBA"), ("L", 0, "LA")])
def test_a_pillow_image_with_a_transparent_colour_keeps_it(
    restorer: Restorer, mode: str, hidden: Any, result: str
) -> None:
    image = Image.new(mode, (5, 3))
    image.info["transparency"] = hidden
    sharp = restorer.restore(image)
    assert (sharp.mode, np.asarray(sharp)[0, 0, -1]) == (result, 0)


def test_pillow_s_cmyk_is_converted_as_that_of_a_file(restorer: Restorer) -> None:
    file = io.BytesIO()
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(file, "tiff")
    with Image.open(file) as image:
        sharp = restorer.restore(image)
    np.testing.assert_array_equal(sharp, images.read(restorer.restore(file.getvalue())).pixels)
    assert sharp.info["icc_profile"][16:20] == b"RGB "


def test_a_pillow_image_cut_short_is_said(restorer: Restorer) -> None:
    file = io.BytesIO()
    Image.fromarray(noise((64, 64, 3), np.uint8)).save(file, "jpeg")
    image = Image.open(io.BytesIO(file.getvalue()[:-900]))
    with pytest.raises(CnlrnError, match="the Pillow image cannot be read"):
        restorer.restore(image)


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_path_without_a_name_is_said(restorer: Restorer, name: str) -> None:
    with pytest.raises(CnlrnError, match="is no name of a picture file"):
        restorer.restore(name)


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
        (np.full((4, 4), 255, np.float32), "not in [0, 1]"),
        (np.full((4, 4), np.nan, np.float32), "not in [0, 1]"),
        (np.full((4, 4, 4), -np.inf, np.float32), "not in [0, 1]"),
        (Image.new("F", (4, 4)), 'mode "F" has no fixed range'),
        (12, "not int"),
    ],
)
def test_what_is_not_a_picture_is_said(restorer: Restorer, picture: Any, reason: str) -> None:
    with pytest.raises(CnlrnError) as caught:
        restorer.restore(picture)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("option", "value"), [("tile", 0), ("threads", -1), ("max_pixels", 0)])
def test_options_below_1_are_said(model: Path, option: str, value: int) -> None:
    with pytest.raises(CnlrnError, match=f"{option} must be at least 1, not {value}"):
        Restorer(model, **{option: value})


def test_an_unwritable_output_is_refused_before_the_picture_is_even_read(restorer: Restorer, tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match=r"sharp\.xyz"):
        restorer.restore(tmp_path / "none.png", output=tmp_path / "sharp.xyz")


def test_several_threads_can_share_a_restorer(model: Path, tmp_path: Path, on_disk: None) -> None:
    shared = Restorer(model, tile=8)
    lrs = [noise((9 + i, 20, 3), np.uint8) for i in range(12)]
    bad = tmp_path / "bad.png"
    bad.write_bytes(save(lrs[0], tmp_path / "good.png").read_bytes()[:70])

    def restore(i: int) -> NDArray[Any]:
        with pytest.raises(CnlrnError, match=r"bad\.png"):
            shared.restore(bad, output=tmp_path / f"bad{i}.png")
        path = save(lrs[i], tmp_path / f"{i}.tif")
        return images.read(shared.restore(path, (1, 2, 4)[i % 3])).pixels

    with ThreadPoolExecutor(4) as pool:
        for i, result in enumerate(pool.map(restore, range(12))):
            np.testing.assert_array_equal(result, repeated(lrs[i], (1, 2, 4)[i % 3]))
    assert len(names(tmp_path)) == 2 + 12 + 12


def test_the_examples_of_the_documentation_run() -> None:
    assert doctest.testmod(cnlrn.restoration.functions) == (0, 2)


def test_the_function_does_what_the_class_does(model: Path) -> None:
    lr = noise((6, 8, 3), np.uint8)
    np.testing.assert_array_equal(cnlrn.restore(lr, scale=2, model=model), repeated(lr, 2))


def test_restoring_imports_no_training_library(model: Path) -> None:
    script = (
        "import sys, numpy, cnlrn; cnlrn.restore(numpy.zeros((4, 4, 4), 'uint8'), model=sys.argv[1]);"
        "print({'torch', 'cv2', 'onnx', 'PIL', 'lightning_fabric', 'skimage'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script, model], capture_output=True, text=True, check=True)
    assert (run.stdout.strip(), run.stderr) == ("set()", "")


def test_the_package_offers_what_it_says() -> None:
    assert cnlrn.__version__.count(".") >= 2
    assert callable(cnlrn.models)
    assert callable(cnlrn.restore)
    with pytest.raises(AttributeError, match="no attribute 'sharpen'"):
        _ = cnlrn.sharpen
