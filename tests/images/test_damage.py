"""Damage that no checksum tells of, and what is kept of a damaged file."""

import io
import itertools
from typing import Any

import flips
import numpy as np
import pytest
import pyvips
from PIL import Image

from cnlrn.errors import CnlrnError
from cnlrn.images import open_picture, read
from cnlrn.images.codecs import coded
from cnlrn.images.codecs import tiff_directory as tags

FILES = flips.files()
CHECKED = ("PNG", "AVIF", "WebP", "TIFF, deflate")
LEAST = {  # of 50; what has no checksum cannot be refused always
    "JPEG": 10,
    "JPEG, restart markers": 10,
    "JPEG, progressive": 20,
    "TIFF, LZW": 25,
    "TIFF, LZW, tiles": 25,
    "TIFF, JPEG": 15,
    "TIFF, JPEG, tiles": 15,
    "TIFF, CCITT": 45,
    "GIF": 20,
}


def saved(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (image or flips.photo()).save(file, kind, **options)
    return file.getvalue()


def refused(data: bytes, damaged: Any = "refuse") -> str:
    with pytest.raises(CnlrnError) as caught:
        open_picture(data, damaged=damaged).read()
    return str(caught.value)


@pytest.mark.parametrize("name", CHECKED)
def test_no_flipped_bit_of_a_format_that_can_tell_counts_as_done(name: str) -> None:
    assert flips.count(name, FILES[name]).other == 0


@pytest.mark.parametrize("compression", ["lzw", "packbits", "jpeg"])
def test_a_tiff_whose_last_tile_is_damaged_is_refused_when_it_is_opened(compression: str) -> None:
    whole = pyvips.Image.new_from_array(np.asarray(flips.photo()))
    data = bytearray(whole.tiffsave_buffer(compression=compression, Q=90, tile=True))
    starts, lengths = tags.pieces(next(tags.pages(bytes(data))))
    start, length = int(starts[-1]), int(lengths[-1])
    data[start : start + length] = bytes(length)
    with pytest.raises(CnlrnError, match="the picture is damaged or cut short"):
        open_picture(bytes(data))
    if compression != "jpeg":  # of which libvips gives up what it cannot begin
        assert open_picture(bytes(data), damaged="keep").read().pixels.shape == (256, 384, 3)


@pytest.mark.parametrize(("name", "least"), LEAST.items())
def test_flipped_bits_are_refused_where_the_decoder_loses_its_way(name: str, least: int) -> None:
    assert flips.count(name, FILES[name]).refused >= least


@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"keep_rgb": True}])
@pytest.mark.parametrize("size", [(64, 64), (61, 59)])
def test_a_jpeg_whose_last_rows_are_missing_is_damaged(size: tuple[int, int], options: dict[str, Any]) -> None:
    data = saved("jpeg", flips.photo().resize(size), quality=90, **options)
    assert read(data).pixels.shape == (*size[::-1], 3)
    for missing in (1, 3, 20):
        assert refused(data[: -2 - missing] + data[-2:]) == "the picture is damaged or cut short"


def test_a_jpeg_that_goes_on_behind_its_last_row_is_damaged() -> None:
    data = saved("jpeg", quality=90)
    assert refused(data[:-2] + bytes(range(1, 60)) + data[-2:]) == "the picture is damaged or cut short"


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("filling", [b"", b"\0" * 40, b"\xff" * 7])
def test_whole_jpegs_of_every_layout_are_read(mode: str, filling: bytes) -> None:
    kinds = itertools.product((0, 1, 2), (30, 95), ({}, {"progressive": True}, {"restart_marker_blocks": 5}))
    for size, (sampling, quality, options) in itertools.product([(64, 48), (1, 1), (17, 9)], kinds):
        image = flips.photo().resize(size).convert(mode)
        data = saved("jpeg", image, quality=quality, subsampling=sampling, **options)
        between = b"" if "progressive" in options else filling  # of these the samples have no end but the file's
        assert read(data[:-2] + between + data[-2:] + b"more").pixels.shape[:2] == size[::-1]


@pytest.mark.parametrize("compression", ["lzw", "packbits", "jpeg"])
@pytest.mark.parametrize("layout", [{}, {"tile": True, "tile_width": 32, "tile_height": 16}])
@pytest.mark.parametrize("bands", [1, 3])
def test_whole_tiffs_are_read(compression: str, layout: dict[str, Any], bands: int) -> None:
    for width, height in ((70, 45), (16, 16), (1, 3)):
        samples = np.asarray(flips.photo().resize((width, height)))[..., :bands]
        data = pyvips.Image.new_from_array(samples).tiffsave_buffer(compression=compression, Q=95, **layout)
        assert read(data).pixels.shape == (height, width, bands)


def test_runs_of_packbits_that_do_not_end_where_a_row_or_strip_does_are_refused() -> None:
    samples = np.arange(70 * 51, dtype=np.uint32).astype(np.uint8).tobytes()
    runs = b"".join(b"\x7f" + samples[at : at + 128] for at in range(0, len(samples) - 128, 128))
    for rows in (70, 27):  # whole strips, or less than the runs hold
        entries = coded.one_strip(runs, 51, rows, 1, tags.PACKBITS)
        data = coded.as_tiff(runs, entries)
        if rows == 27:
            assert "holds more than it should" in refused(data)
        else:
            assert "damaged or cut short" in refused(data)


@pytest.mark.parametrize("options", [{"quality": 1}, {"quality": 80}, {"quality": 100}, {"lossless": True}])
def test_whole_webps_are_read(options: dict[str, Any]) -> None:
    for image in (flips.photo(), flips.photo().convert("RGBA"), Image.new("RGB", (700, 500), "teal")):
        for size in (image.size, (64, 64), (1, 1)):
            for method in (0, 6):
                data = saved("webp", image.resize(size), method=method, **options)
                assert read(data).pixels.shape[:2] == size[::-1]


@pytest.mark.parametrize("lossless", [False, True])
def test_the_upper_part_of_a_webp_that_is_cut_short_is_kept(lossless: bool) -> None:
    data = saved("webp", lossless=lossless)
    whole = read(data).pixels
    assert refused(data[: len(data) // 2]) == "the picture is damaged or cut short"
    kept = open_picture(data[: len(data) // 2], damaged="keep")
    assert kept.damage == "the picture is damaged or cut short; what can be read of it is kept"
    np.testing.assert_array_equal(kept.read().pixels[:70], whole[:70])


def test_of_what_is_decoded_whole_or_not_at_all_nothing_is_kept_and_that_is_said() -> None:
    for data, what in ((FILES["AVIF"], "AVIF and HEIC"), (FILES["HEIC"], "AVIF and HEIC"), (FILES["WebP"][:20], "it")):
        half = data[:-30] if what != "it" else data
        assert refused(half, damaged="keep") == f"the picture is damaged or cut short; nothing of {what} can be kept"
