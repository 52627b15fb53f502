import io

import numpy as np
import pytest
from PIL import Image

from cnlrn import images
from cnlrn.images.codecs import avif

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(avif, "SMALLEST", 64)
    monkeypatch.setattr("cnlrn.images.writing.Format.is_large", lambda self, image: True)


def ramps(height, width, dtype, channels=3):
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    full = np.iinfo(dtype).max
    return (np.stack([x, y, (x + y) / 2], axis=-1)[..., :channels] * full).astype(dtype)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 63), (200, 130), (3, 300), (129, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiles_give_the_picture_whatever_its_size(height, width, dtype):
    pixels = ramps(height, width, dtype)
    got = images.read(images.encode(images.Picture(pixels=pixels), ".avif"))
    assert got.pixels.dtype == dtype
    assert np.abs(got.pixels.astype(float) - pixels).max() <= 8 / 255 * np.iinfo(dtype).max


def test_a_picture_has_no_more_tiles_than_readers_take_with_alpha_as_without():
    pixels = np.full((64 * 24, 64 * 20, 3), 90, np.uint8)
    for alpha in (None, pixels[..., 0]):
        got = images.read(images.encode(images.Picture(pixels=pixels, alpha=alpha), ".avif"))
        assert np.abs(got.pixels.astype(int) - 90).max() <= 1
        assert (got.alpha is None) == (alpha is None)


def test_another_decoder_sees_the_same_picture_with_alpha_and_metadata():
    pixels, alpha = ramps(150, 200, np.uint8), ramps(150, 200, np.uint8, 1)[..., 0]
    picture = images.Picture(pixels=pixels, alpha=alpha, metadata={"xmp-data": XMP}, icc=srgb_profile())
    with Image.open(io.BytesIO(images.encode(picture, ".avif"))) as seen:
        assert seen.mode == "RGBA"
        samples = np.asarray(seen).astype(int)
        assert seen.info["icc_profile"] == picture.icc
        assert seen.info["xmp"] == XMP
    assert np.abs(samples[..., :3] - pixels).max() <= 5
    assert np.abs(samples[..., 3] - alpha).max() <= 5


def test_rows_that_wait_on_disk_are_read_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    pixels, target = ramps(200, 150, np.uint8), tmp_path / "out.avif"
    with images.Spool(*pixels.shape, np.uint8, target) as spool:
        spool.put(90, 0, pixels[90:])
        spool.put(0, 0, pixels[:90])
        images.write(images.LazyPicture(spool.image()), target)
    assert np.abs(images.read(target).pixels.astype(int) - pixels).max() <= 5
    assert [file.name for file in tmp_path.iterdir()] == ["out.avif"]


def test_metadata_and_profile_survive_reading_by_the_same_library():
    picture = images.Picture(pixels=ramps(70, 70, np.uint8), metadata={"xmp-data": XMP}, icc=srgb_profile())
    got = images.read(images.encode(picture, ".avif"))
    assert got.metadata["xmp-data"] == XMP
    assert got.icc == picture.icc


def srgb_profile():
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
