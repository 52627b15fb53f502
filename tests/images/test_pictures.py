import io
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import room_for
from fuzz import rgba_bmp
from numpy.typing import NDArray
from PIL import Image, ImageCms

from cnlrn import images
from cnlrn.errors import CnlrnError
from cnlrn.images import Picture, Spool, encode, open_picture, read, write
from cnlrn.images.codecs import tiff
from cnlrn.images.exif import read as read_exif

FORMATS = ["png", "jpg", "jpeg", "webp", "tif", "tiff", "avif"]
LOSSLESS = ["png", "tif"]
KINDS = ["png", "jpeg", "webp", "tiff", "avif", "bmp"]
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" note="kept"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def smooth(height: int, width: int, channels: int, dtype: Any = np.uint8) -> NDArray[Any]:
    """A gradient that lossy formats keep nearly."""
    y, x = np.mgrid[0:height, 0:width]
    ramps = np.stack([x / width, y / height, (x + y) / (width + height)], axis=2)[..., :channels]
    full = 1.0 if dtype == np.float32 else np.iinfo(dtype).max
    return (
        np.asarray(0.1 + 0.8 * ramps) * full
        if dtype == np.float32
        else np.rint((0.1 + 0.8 * ramps) * full).astype(dtype)
    )


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def random(shape: tuple[int, ...], dtype: Any = np.uint8) -> NDArray[Any]:
    rng = np.random.default_rng(0)
    return (
        rng.random(shape, np.float32) if dtype == np.float32 else rng.integers(0, 1 + np.iinfo(dtype).max, shape, dtype)
    )


def error_of(source: Path | bytes) -> str:
    with pytest.raises(CnlrnError) as caught:
        read(source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("extension", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_comes_back(tmp_path: Path, extension: str, channels: int) -> None:
    pixels = smooth(40, 56, channels)
    write(Picture(pixels), tmp_path / f"picture.{extension}")
    back = read(tmp_path / f"picture.{extension}").pixels
    assert back.dtype == np.uint8
    difference = np.abs(back.astype(int) - pixels)
    assert difference.max() == 0 if extension in ("png", "tif", "tiff") else difference.mean() < 1.5
    if extension not in ("webp", "avif"):  # these store gray as three equal channels
        assert back.shape == pixels.shape


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("extension", LOSSLESS)
def test_16_bits_are_kept(tmp_path: Path, extension: str, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (9, 13, channels), np.uint16)
    alpha = np.random.default_rng(1).integers(0, 65536, (9, 13), np.uint16)
    write(Picture(pixels, alpha), tmp_path / f"picture.{extension}")
    back = read(tmp_path / f"picture.{extension}")
    np.testing.assert_array_equal(back.pixels, pixels)
    np.testing.assert_array_equal(back.alpha, alpha)


def test_avif_keeps_more_than_8_bits(tmp_path: Path) -> None:
    pixels = smooth(64, 64, 3, np.uint16)
    write(Picture(pixels), tmp_path / "picture.avif")
    back = read(tmp_path / "picture.avif").pixels
    assert back.dtype == np.uint16
    assert np.abs(back.astype(int) - pixels).mean() < 65535 / 255 / 2


def test_floating_point_is_kept_in_tiff_and_rounded_to_16_bits_in_png(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((9, 13, 3), np.float32)
    write(Picture(pixels), tmp_path / "picture.tif")
    np.testing.assert_array_equal(read(tmp_path / "picture.tif").pixels, pixels)
    write(Picture(pixels), tmp_path / "picture.png")
    np.testing.assert_array_equal(read(tmp_path / "picture.png").pixels, np.rint(pixels * 65535))


def test_16_bits_are_rounded_to_the_nearest_8(tmp_path: Path) -> None:
    pixels = np.full((16, 16, 1), 257 * 100 + 130, np.uint16)  # nearer to 101 than to 100
    write(Picture(pixels), tmp_path / "picture.jpg")
    assert (read(tmp_path / "picture.jpg").pixels == 101).all()


@pytest.mark.parametrize("extension", ["png", "webp", "tif", "avif"])
def test_alpha_comes_back(tmp_path: Path, extension: str) -> None:
    alpha = smooth(40, 56, 1)[..., 0]
    write(Picture(smooth(40, 56, 3), alpha), tmp_path / f"picture.{extension}")
    back = read(tmp_path / f"picture.{extension}").alpha
    assert back is not None
    assert np.abs(back.astype(int) - alpha).max() <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_shows_what_is_transparent_on_white(tmp_path: Path, channels: int) -> None:
    write(Picture(np.zeros((8, 8, channels), np.uint8), np.zeros((8, 8), np.uint8)), tmp_path / "picture.jpg")
    back = read(tmp_path / "picture.jpg")
    assert back.alpha is None
    assert back.pixels.shape == (8, 8, channels)
    assert (back.pixels == 255).all()


def test_palettes_are_expanded() -> None:
    image = Image.new("P", (4, 3), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    back = read(saved(image, "png"))
    assert (back.pixels == (200, 100, 50)).all()
    assert back.alpha is None
    transparent = read(saved(image, "png", transparency=1)).alpha
    assert transparent is not None
    assert (transparent == 0).all()


def test_one_bit_pictures_are_gray() -> None:
    for kind in ("png", "tiff"):
        pixels = read(saved(Image.new("1", (4, 3), 1), kind)).pixels
        assert pixels.shape == (3, 4, 1)
        assert (pixels == 255).all()


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("L", 1), ("P", 3), ("RGB", 3)])
def test_every_kind_of_bmp_is_read(tmp_path: Path, mode: str, channels: int) -> None:
    image = Image.fromarray(random((9, 13, 3)))
    image = image.quantize(16) if mode == "P" else image.convert(mode)
    image.save(tmp_path / "picture.bmp", dpi=(254, 508))
    picture = read(tmp_path / "picture.bmp")
    expected = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    np.testing.assert_array_equal(picture.pixels, expected.reshape(9, 13, channels))
    assert picture.alpha is None
    assert picture.resolution == pytest.approx((10, 20), rel=1e-3)
    np.testing.assert_array_equal(read((tmp_path / "picture.bmp").read_bytes()).pixels, picture.pixels)


def test_the_alpha_of_a_bmp_is_read() -> None:
    samples = random((9, 13, 4))
    picture = read(rgba_bmp(samples))
    np.testing.assert_array_equal(picture.pixels, samples[..., :3])
    np.testing.assert_array_equal(picture.alpha, samples[..., 3])


def test_a_resolution_that_makes_no_sense_is_dropped_quietly(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bmp = bytearray(saved(Image.new("RGB", (4, 4)), "bmp"))
    bmp[38:46] = struct.pack("<II", 0, 0xFFFFFFFF)
    exif = Image.Exif()
    exif.update({0x11A: 4e9, 0x11B: 0.0, 0x128: 2})
    for source in (bytes(bmp), saved(Image.new("RGB", (4, 4)), "webp", exif=exif)):
        picture = read(source)
        assert picture.resolution == (1, 1)
        write(picture, tmp_path / "picture.png")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["jpeg", "tiff"])
def test_cmyk_becomes_srgb(kind: str) -> None:
    for ink, colour in (
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 0), (230, 30, 40)),
        ((0, 0, 0, 255), (30, 30, 30)),
    ):
        back = read(saved(Image.new("CMYK", (8, 8), ink), kind))
        assert back.pixels.shape == (8, 8, 3)
        assert np.abs(back.pixels.astype(int) - colour).max() <= 40
        assert back.icc is None or back.icc[16:20] == b"RGB "


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_the_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16] = 255  # a white corner, upper left
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.T, 6: np.rot90(upright), 7: upright[::-1, ::-1].T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    pixels = read(saved(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)).pixels
    assert pixels.shape[:2] == (32, 48)
    assert np.abs(pixels[..., 0].astype(int) - upright).mean() < 3


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif", "avif"])
def test_exif_xmp_profile_and_resolution_go_along(tmp_path: Path, kind: str, extension: str) -> None:
    exif = Image.Exif()
    exif.update({0x112: 6, 0x10E: "a lighthouse", 0x11A: 300.0, 0x11B: 300.0, 0x128: 2})
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0x9003: "2021:06:19 12:00:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 30.0, 1.5)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    block = exif.tobytes()
    source = saved(Image.new("RGB", (48, 32)), kind, exif=block, xmp=XMP, icc_profile=profile, dpi=(300, 300))
    write(read(source), tmp_path / f"picture.{extension}")
    with Image.open(tmp_path / f"picture.{extension}") as back:
        assert back.size == (32, 48)
        assert back.info["icc_profile"] == profile
        tags = back.getexif()
        assert (tags.get(0x112, 1), tags[0x10E], tags.get(0x11A, 300)) == (1, "a lighthouse", 300)
        assert tags.get_ifd(0x8769)[0x9003] == "2021:06:19 12:00:00"
        assert tags.get_ifd(0x8825) == {1: "N", 2: (52.0, 30.0, 1.5)}
        assert back.getpixel((24, 16)) == pytest.approx((0, 0, 0), abs=2)
    if kind not in ("png", "tiff"):  # Pillow writes no XMP there
        xmp = read(tmp_path / f"picture.{extension}").metadata["xmp-data"]
        assert b'tiff:Orientation="1"' in xmp
        assert b'note="kept"' in xmp


@pytest.mark.parametrize("exif_order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_exif_joins_a_tiff_of_either_kind_and_its_pixels_stay(big: bool, exif_order: str) -> None:
    pixels = random((40, 30, 3))
    exif = Image.Exif()
    exif.endian = exif_order
    exif.update({0x10F: "a maker", 0x112: 6})
    exif.get_ifd(0x8769).update({0x829A: 0.01, 0xA002: 7, 0xA003: 10})
    file = io.BytesIO(images.as_vips(pixels).tiffsave_buffer(bigtiff=big, tile=True, tile_width=16, tile_height=16))
    told = read_exif(exif.tobytes())
    assert told is not None
    told.make_true(30, 40, srgb=True)
    tiff.add_metadata(file, told, None, has_resolution=True)
    back = read(file.getvalue())
    np.testing.assert_array_equal(back.pixels, pixels)
    kept = Image.Exif()
    kept.load(back.metadata["exif-data"])
    assert (kept[0x10F], kept.get_ifd(0x8769)) == ("a maker", {0x829A: 0.01, 0xA002: 30, 0xA003: 40})
    with Image.open(file) as image:
        assert image.getexif()[0x112] == 1, "the orientation is the picture's, not the photo's"


@pytest.mark.parametrize("block", [b"Exif\0\0", b"nonsense", b"Exif\0\0MM\0*\0\0\0\xff" + bytes(8)])
def test_exif_that_cannot_be_read_leaves_a_tiff_readable(block: bytes) -> None:
    pixels = random((40, 30, 3))
    back = read(encode(Picture(pixels, metadata={"exif-data": block}), ".tif"))
    np.testing.assert_array_equal(back.pixels, pixels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_thumbnail_of_the_blurry_picture_is_dropped(tmp_path: Path, order: str) -> None:
    thumbnail = saved(Image.new("RGB", (16, 16), "red"), "jpeg")

    def directory(following: int, *entries: tuple[int, int, int, int]) -> bytes:
        packed = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
        return struct.pack(order + "H", len(entries)) + packed + struct.pack(order + "I", following)

    first = directory(26, (0x11A, 4, 1, 300))
    second = directory(0, (0x103, 4, 1, 6), (0x201, 4, 1, 26 + 42), (0x202, 4, 1, len(thumbnail)))
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + first + second + thumbnail
    source = saved(Image.new("RGB", (48, 32)), "jpeg", exif=b"Exif\0\0" + block)
    assert thumbnail in source
    write(read(source), tmp_path / "picture.jpg")
    written = (tmp_path / "picture.jpg").read_bytes()
    assert thumbnail[100:300] not in written
    with Image.open(io.BytesIO(written)) as image:
        assert image.getexif()[0x11A] == 300


@pytest.mark.parametrize("extension", ["webp", "avif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("alpha", [False, True])
def test_gray_with_a_profile_becomes_srgb_where_gray_has_none(extension: str, dtype: Any, alpha: bool) -> None:
    full = np.iinfo(dtype).max
    gray = np.full((16, 16, 1), full * 55 // 255, dtype)  # of linear light, which is 128 in sRGB
    cover = np.full((16, 16), full // 2, dtype) if alpha else None
    back = read(encode(Picture(gray, cover, icc=gray_profile_of_linear_light()), f".{extension}"))
    assert np.abs(back.pixels / np.iinfo(back.pixels.dtype).max - 128 / 255).max() < 0.01
    assert back.icc is None or back.icc[16:20] == b"RGB "
    assert (back.alpha is not None) == alpha


def gray_profile_of_linear_light() -> bytes:
    """The least that is an ICC profile of gray."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"gray" + bytes(79),
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, 256) + bytes(2),
        b"cprt": b"text" + bytes(4) + b"none" + bytes(4),
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(content))
        body += content
    head = b"none" + struct.pack(">I", 0x02100000) + b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    head = struct.pack(">I", 128 + len(table) + len(body)) + head + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + body


def test_a_file_that_could_not_be_written_is_not_kept_open(tmp_path: Path) -> None:
    with room_for(1000), pytest.raises(CnlrnError, match="cannot write") as caught:
        write(Picture(random((100, 100, 3))), tmp_path / "x.png")
    open_files = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert caught.value.__cause__ is not None
    assert not [name for name in open_files if str(tmp_path) in name]


@pytest.mark.parametrize("extension", ["jpg", "png", "tif"])
def test_the_resolution_is_kept_without_exif(tmp_path: Path, extension: str) -> None:
    write(read(saved(Image.new("RGB", (8, 8)), "tiff", dpi=(300, 300))), tmp_path / f"picture.{extension}")
    with Image.open(tmp_path / f"picture.{extension}") as back:
        assert back.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_profile_of_other_channels_is_dropped() -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"CMYK"
    assert read(saved(Image.new("RGB", (8, 8)), "jpeg", icc_profile=bytes(profile))).icc is None


def test_a_missing_file_a_folder_and_an_empty_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    assert error_of(tmp_path / "none.jpg") == f"{tmp_path / 'none.jpg'} does not exist"
    assert error_of(tmp_path) == f"{tmp_path} is a folder; give a picture file"
    assert error_of(tmp_path / "empty.jpg") == f"{tmp_path / 'empty.jpg'} is empty"


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_cut_short_is_an_error(kind: str) -> None:
    noise = random((64, 64, 3))
    whole = saved(Image.fromarray(noise), kind)
    for length in (len(whole) // 2, len(whole) * 9 // 10, 20):
        assert "cut short" in error_of(whole[:length])


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate"])
def test_a_tiff_without_its_last_byte_is_an_error(compression: str | None) -> None:
    noise = random((64, 64, 3))
    whole = saved(Image.fromarray(noise), "tiff", compression=compression)
    np.testing.assert_array_equal(read(whole).pixels, noise)
    error_of(whole[:-1])


@pytest.mark.parametrize("options", [{"tile": True, "bigtiff": True}, {"bigtiff": True}, {"tile": True}])
def test_tiled_and_large_tiffs_are_read(options: dict[str, bool]) -> None:
    pixels = smooth(300, 200, 3)
    whole = images.as_vips(pixels).tiffsave_buffer(**options)
    np.testing.assert_array_equal(read(whole).pixels, pixels)
    assert "cut short" in error_of(whole[: len(whole) // 2])


def test_what_is_not_a_picture_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("Dear diary")
    assert error_of(tmp_path / "notes.jpg").endswith(
        "notes.jpg is not a PNG, JPEG, WebP, TIFF, AVIF, HEIC, BMP or GIF picture"
    )
    assert "is a PSD file, which cannot be read" in error_of(b"8BPS" + bytes(30))
    assert "is a video, which cannot be read" in error_of(b"\0\0\0\x18ftypisom\0\0\0\0mp41isom")


@pytest.mark.parametrize("kind", ["webp", "tiff", "png", "avif"])
def test_several_frames_are_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    assert "holds several pictures" in error_of(saved(frames[0], kind, save_all=True, append_images=frames[1:]))


def test_samples_of_another_kind_are_refused() -> None:
    assert "samples of type int" in error_of(saved(Image.new("I", (4, 4)), "tiff"))


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(saved(Image.new("RGB", (4, 4)), "png"))
    assert read(tmp_path / "photo.jpg").pixels.shape == (4, 4, 3)


def test_libvips_keeps_quiet(tmp_path: Path) -> None:
    (tmp_path / "odd.png").write_bytes(saved(Image.new("RGB", (4, 4)), "png", icc_profile=b"no profile at all"))
    script = "import sys, cnlrn.images; cnlrn.images.read(sys.argv[1])"
    run = subprocess.run([sys.executable, "-c", script, tmp_path / "odd.png"], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")


def test_a_target_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Picture(np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "file").touch()
    for name, reason in (("x.bmp", "written as .png"), ("file/x.png", "is no folder"), ("x", "written as .png")):
        with pytest.raises(CnlrnError, match=reason):
            write(picture, tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(CnlrnError, match="is a folder"):
        write(picture, tmp_path / "folder.png")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CnlrnError, match="no permission"):
        write(picture, tmp_path / "x.png")


def test_a_picture_too_large_for_its_format_is_said(tmp_path: Path) -> None:
    picture = Picture(np.zeros((1, 16384, 3), np.uint8))
    with pytest.raises(CnlrnError, match="at most 16383 a side; write a PNG or TIFF"):
        write(picture, tmp_path / "x.webp")
    write(picture, tmp_path / "x.avif")
    assert [path.name for path in tmp_path.iterdir()] == ["x.avif"]


@pytest.mark.parametrize("extension", FORMATS)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, extension: str) -> None:
    target = tmp_path / f"picture.{extension}"
    target.write_bytes(b"old")
    with room_for(1000), pytest.raises(CnlrnError, match="cannot write"):
        write(Picture(random((100, 100, 3))), target)
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert target.read_bytes() == b"old"


def test_ctrl_c_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        assert len(list(tmp_path.iterdir())) == 2
        raise KeyboardInterrupt

    (tmp_path / "x.png").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(Picture(np.zeros((4, 4, 3), np.uint8)), tmp_path / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == b"old"


def test_odd_names_are_only_names(tmp_path: Path) -> None:
    folder = tmp_path / "a [Q=1] %d"
    folder.mkdir()
    for name in ("x[compression=0].png", "ö ü.png", os.fsdecode(b"latin-\xe9.png"), ".png.png"):
        write(Picture(np.full((2, 2, 3), 7, np.uint8)), folder / name)
        assert (read(folder / name).pixels == 7).all()
    assert len(list(folder.iterdir())) == 4


def test_files_get_the_permissions_that_the_user_is_used_to(tmp_path: Path) -> None:
    write(Picture(np.zeros((2, 2, 3), np.uint8)), tmp_path / "x.png")
    (tmp_path / "usual").touch()
    assert (tmp_path / "x.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("extension", FORMATS)
def test_encoded_bytes_are_those_of_the_file(tmp_path: Path, extension: str) -> None:
    picture = Picture(smooth(40, 56, 3), smooth(40, 56, 1)[..., 0])
    write(picture, tmp_path / f"picture.{extension}")
    assert encode(picture, f".{extension.upper()}") == (tmp_path / f"picture.{extension}").read_bytes()
    with pytest.raises(CnlrnError, match=r"written as \.png"):
        encode(picture, ".bmp")


def test_bytes_are_those_of_a_png_if_nothing_is_said() -> None:
    pixels = smooth(5, 7, 3, np.uint16)
    np.testing.assert_array_equal(read(encode(Picture(pixels))).pixels, pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_beyond_the_limit_are_refused_and_those_at_it_are_not(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(saved(Image.new("RGB", (24, 20)), kind))
    for source in (path, path.read_bytes()):
        assert open_picture(source, max_pixels=480).read().pixels.shape == (20, 24, 3)
        with pytest.raises(CnlrnError, match="has 24x20 pixels, more than the limit of 479"):
            open_picture(source, max_pixels=479)


def test_impossible_sizes_are_refused_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    png, avif = (bytearray(saved(Image.new("RGB", (8, 8)), kind)) for kind in ("png", "avif"))
    png[16:24] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4)
    at = avif.index(b"ispe") + 8
    avif[at : at + 8] = struct.pack(">II", 2**31 - 1, 2**31 - 1)
    for data in (png, avif):
        assert "has 2147483647x2147483647 pixels, more than the limit of 100000000" in error_of(bytes(data))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_an_open_picture_says_what_it_is_and_reads_as_the_whole(tmp_path: Path, bands: int, dtype: Any) -> None:
    samples = random((9, 13, bands), dtype)
    colours = bands - (bands % 2 == 0)
    alpha = samples[..., -1] if colours < bands else None
    picture = Picture(samples[..., :colours], alpha, resolution=(10.0, 20.0))
    write(picture, tmp_path / "picture.tif")
    for opened in (open_picture(tmp_path / "picture.tif"), picture.lazy()):
        assert (opened.width, opened.height, opened.dtype, opened.has_alpha) == (13, 9, dtype, bands % 2 == 0)
        assert opened.resolution == pytest.approx((10, 20))
        opened.decode()
        np.testing.assert_array_equal(opened.samples(), samples)
        np.testing.assert_array_equal(opened.read().pixels, picture.pixels)
        write(opened, tmp_path / "again.tif")
        np.testing.assert_array_equal(read(tmp_path / "again.tif").pixels, picture.pixels)


def test_opening_reads_the_header_only_and_damage_shows_when_samples_are_asked_for(tmp_path: Path) -> None:
    data = saved(Image.fromarray(random((64, 64, 3))), "png")
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    opened = open_picture(tmp_path / "cut.png")
    assert (opened.width, opened.height) == (64, 64)
    for ask in (opened.decode, opened.samples, opened.read):
        with pytest.raises(CnlrnError, match=r"cut\.png is damaged or cut short"):
            ask()


def test_a_picture_comes_from_a_pipe(tmp_path: Path) -> None:
    data = saved(Image.new("RGB", (4, 4), "red"), "png")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(data,))
    writer.start()
    assert (read(tmp_path / "pipe").pixels == (255, 0, 0)).all()
    writer.join()


def test_a_damaged_file_with_an_odd_name_does_not_spoil_the_next(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    write(Picture(np.zeros((4, 4, 3), np.uint8)), good)
    bad = tmp_path / os.fsdecode(b"latin-\xe9.avif")  # libvips quotes the name in its message
    bad.write_bytes(saved(Image.fromarray(random((64, 64, 3))), "avif")[:-100])
    for _ in range(2):
        assert "is damaged or cut short" in error_of(bad)
        assert read(good).pixels.shape == (4, 4, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("most", [0, 2**20])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_a_spool_gives_back_its_blocks_from_memory_or_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, bands: int, dtype: Any
) -> None:
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", most)
    samples = random((300, 7, bands), dtype)
    with Spool(300, 7, bands, dtype, tmp_path / "picture.png") as spool:
        for top, bottom, left, right in ((128, 300, 0, 7), (0, 100, 5, 7), (0, 100, 0, 5), (100, 128, 0, 7)):
            spool.put(top, left, samples[top:bottom, left:right])
        for part in ((slice(3, 290), slice(1, 6)), (slice(99, 101), slice(0, 7))):
            np.testing.assert_array_equal(spool.read(*part), samples[part])
        assert spool.on_disk == (most == 0)
        assert not list(tmp_path.iterdir())  # the file has no name, so nothing is left however the process ends
        np.testing.assert_array_equal(images.as_array(spool.image()), samples)
    assert not list(tmp_path.iterdir())


def test_a_spool_without_a_target_touches_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    monkeypatch.chdir(tmp_path)
    with Spool(2, 3, 1, np.uint8, None) as spool:
        spool.put(0, 0, np.ones((2, 3, 1), np.uint8))
        assert not list(tmp_path.iterdir())
        assert (images.as_array(spool.image()) == 1).all()


def test_a_spool_on_a_full_disk_names_the_target_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    target = tmp_path / "picture.png"

    def spool(rows: int) -> None:
        with Spool(rows, 10, 3, np.uint8, target) as spool:
            for row in range(rows):
                spool.put(row, 0, np.zeros((1, 10, 3), np.uint8))
            spool.image()

    for rows in (3, 10_000):  # fails when it is finished, fails when a block is laid down
        with room_for(50), pytest.raises(CnlrnError, match=r"cannot write .*picture\.png \(File too large\)"):
            spool(rows)
        assert not list(tmp_path.iterdir())


def test_a_spool_where_no_file_can_be_names_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    (tmp_path / "file").touch()
    with pytest.raises(CnlrnError, match=r"cannot write .*picture\.png \(Not a directory"):
        Spool(2, 2, 1, np.uint8, tmp_path / "file" / "picture.png")
