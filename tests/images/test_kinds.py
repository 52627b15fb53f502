"""Kinds of PNG and GIF that are more than 8-bit RGB."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cnlrn import images
from cnlrn.errors import CnlrnError
from cnlrn.images import read


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(samples: NDArray[Any], bits: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG of samples of few or many bits, by the letter of the standard."""
    height, width, _ = samples.shape
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in samples]
    else:
        single = (samples.reshape(height, -1, 1) >> np.arange(bits - 1, -1, -1)) & 1
        rows = [row.tobytes() for row in np.packbits(single.reshape(height, -1).astype(np.uint8), axis=1)]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + data + chunk(b"IEND", b"")


def numbers(bits: int, count: int) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 2**bits, (7, 11, count), np.uint16)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("transparent", [False, True])
def test_gray_of_any_bits_fills_the_range_and_its_transparent_level_is_alpha(bits: int, transparent: bool) -> None:
    samples = numbers(bits, 1)
    level = int(samples[0, 0, 0])
    picture = read(png(samples, bits, 0, *([chunk(b"tRNS", struct.pack(">H", level))] if transparent else [])))
    full = np.iinfo(picture.pixels.dtype).max
    np.testing.assert_array_equal(picture.pixels, np.rint(samples / (2**bits - 1) * full))
    assert (picture.alpha is not None) == transparent
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, np.where(samples[..., 0] == level, 0, full))


@pytest.mark.parametrize("bits", [8, 16])
def test_the_transparent_colour_of_rgb_is_alpha(bits: int) -> None:
    samples = numbers(bits, 3)
    picture = read(png(samples, bits, 2, chunk(b"tRNS", struct.pack(">3H", *samples[0, 0]))))
    assert picture.alpha is not None
    assert (picture.alpha[0, 0], picture.alpha[3, 3]) == (0, np.iinfo(picture.alpha.dtype).max)
    np.testing.assert_array_equal(picture.pixels, samples)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_any_bits_are_expanded_with_their_transparency(bits: int) -> None:
    palette = np.random.default_rng(1).integers(0, 256, (2**bits, 3), np.uint8)
    covers = np.random.default_rng(2).integers(0, 255, 2**bits, np.uint8)
    samples = numbers(bits, 1)
    picture = read(png(samples, bits, 3, chunk(b"PLTE", palette.tobytes()), chunk(b"tRNS", covers.tobytes())))
    np.testing.assert_array_equal(picture.pixels, palette[samples[..., 0]])
    np.testing.assert_array_equal(picture.alpha, covers[samples[..., 0]])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("colour", "count"), [(4, 2), (6, 4)])
def test_alpha_of_png_is_read(bits: int, colour: int, count: int) -> None:
    samples = numbers(bits, count)
    picture = read(png(samples, bits, colour))
    np.testing.assert_array_equal(picture.pixels, samples[..., :-1])
    np.testing.assert_array_equal(picture.alpha, samples[..., -1])


def test_an_animated_png_of_one_frame_is_a_picture_and_one_of_two_is_not() -> None:
    control = struct.pack(">IIIIIHHBB", 0, 11, 7, 0, 0, 1, 1, 0, 0)
    for frames in (1, 2):
        data = png(numbers(8, 3), 8, 2, chunk(b"acTL", struct.pack(">II", frames, 0)), chunk(b"fcTL", control))
        if frames == 1:
            np.testing.assert_array_equal(read(data).pixels, numbers(8, 3))
        else:
            with pytest.raises(CnlrnError, match="holds several pictures or frames"):
                read(data)


def test_words_in_a_comment_make_no_animation() -> None:
    data = png(numbers(8, 3), 8, 2, chunk(b"tEXt", b"Comment\0acTL\0\0\0\2 iCCP IDAT gAMA"))
    np.testing.assert_array_equal(read(data).pixels, numbers(8, 3))


def gif(*frames: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    frames[0].save(file, "gif", save_all=len(frames) > 1, append_images=frames[1:], **options)
    return file.getvalue()


def test_a_gif_of_one_frame_is_read_with_its_transparency() -> None:
    image = Image.new("P", (9, 5), 1)
    image.putpalette([0, 0, 0, 200, 100, 50, 10, 20, 30])
    image.putpixel((2, 3), 2)
    picture = read(gif(image))
    assert (picture.pixels[0, 0] == (200, 100, 50)).all()
    assert (picture.pixels[3, 2] == (10, 20, 30)).all()
    transparent = read(gif(image, transparency=2)).alpha
    assert transparent is not None
    assert (transparent[3, 2], transparent[0, 0]) == (0, 255)
    assert ".gif" in images.SUFFIXES


def test_a_gif_of_several_frames_is_refused() -> None:
    frames = [Image.new("P", (9, 5), colour) for colour in (1, 2)]
    for frame in frames:
        frame.putpalette([0, 0, 0, 200, 100, 50, 10, 20, 30])
    with pytest.raises(CnlrnError, match="holds several pictures or frames"):
        read(gif(*frames))


def test_a_gif_cut_short_is_damaged_and_one_beyond_the_limit_is_refused() -> None:
    data = gif(Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 70), np.uint8)).convert("P"))
    assert read(data).pixels.shape[:2] == (60, 70)
    with pytest.raises(CnlrnError, match="damaged"):
        read(data[: len(data) // 2])
    with pytest.raises(CnlrnError, match="has 70x60 pixels"):
        images.open_picture(data, max_pixels=100)
