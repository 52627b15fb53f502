import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
import pyvips
import tiff_files
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tiff_files import (
    ASCII,
    CIELAB,
    GRAY,
    ICCLAB,
    INKS,
    LONG,
    PALETTE,
    RATIONAL,
    RGB,
    SHORT,
    UNDEFINED,
    WHITE_IS_ZERO,
    YCBCR,
    of_pieces,
    packed_directory,
    tiff,
)

from cnlrn import images
from cnlrn.errors import CnlrnError
from cnlrn.images import Picture, read

LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rows": 5},
    "tiles": {"tile": 16},
    "planes": {"separate": True, "rows": 5},
    "tiles of planes": {"separate": True, "tile": 16},
    "big-endian": {"order": ">", "rows": 7},
    "big-endian tiles of planes": {"order": ">", "tile": 16, "separate": True},
    "BigTIFF": {"big": True, "tile": 16},
}


def random(*shape: int, full: int = 255) -> NDArray[Any]:
    kind = np.uint8 if full < 256 else np.uint16 if full < 65536 else np.uint32
    return np.random.default_rng(0).integers(0, full, shape, kind, endpoint=True)


def error_of(data: bytes) -> str:
    with pytest.raises(CnlrnError) as caught:
        read(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_samples_of_every_kind_are_read_in_every_layout(layout: str, kind: Any, deflate: bool) -> None:
    numbers = random(21, 35, 3, full=255 if kind == np.uint8 else 65535)
    samples = numbers.astype(kind) if kind in (np.uint8, np.uint16) else (numbers / 65535).astype(kind)
    got = read(tiff(samples, RGB, deflate=deflate, **LAYOUTS[layout])).pixels
    assert got.dtype == (kind if kind in (np.uint8, np.uint16) else np.float32)
    np.testing.assert_array_equal(got, samples.astype(got.dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("kind", "predictor"),
    [(np.uint8, 2), (np.uint16, 2), (np.float32, 2), (np.float16, 3), (np.float32, 3), (np.float64, 3)],
)
def test_predictors_are_undone(kind: Any, predictor: int, layout: str) -> None:
    numbers = random(21, 35, 3, full=255 if kind == np.uint8 else 65535)
    samples = numbers.astype(kind) if kind in (np.uint8, np.uint16) else (numbers / 65535).astype(kind)
    got = read(tiff(samples, RGB, deflate=True, predictor=predictor, **LAYOUTS[layout])).pixels
    np.testing.assert_array_equal(got, samples.astype(got.dtype))


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
def test_a_predictor_counts_only_where_the_compression_has_one(kind: Any) -> None:
    samples = (random(9, 13, 3) / (1 if kind == np.uint8 else 255)).astype(kind)
    got = read(tiff(samples, RGB, tags={317: (SHORT, [2])})).pixels
    np.testing.assert_array_equal(got, samples.astype(got.dtype))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 32])
@pytest.mark.parametrize("photometric", [GRAY, WHITE_IS_ZERO, RGB])
@pytest.mark.parametrize("layout", ["strips", "big-endian", "tiles", "tiles of planes"])
def test_few_and_many_bits_fill_the_whole_range(layout: str, photometric: int, bits: int) -> None:
    full = 2**bits - 1
    numbers = random(21, 35, 3 if photometric == RGB else 1, full=full)
    got = read(tiff(numbers, photometric, bits=bits, **LAYOUTS[layout])).pixels
    assert got.dtype == (np.uint8 if bits <= 8 else np.uint16)
    parts = (full - numbers if photometric == WHITE_IS_ZERO else numbers) / full
    np.testing.assert_array_equal(got, np.rint(parts * np.iinfo(got.dtype).max))


def test_floating_point_where_white_is_zero_is_turned() -> None:
    samples = np.random.default_rng(0).random((5, 7, 1), np.float32)
    np.testing.assert_allclose(read(tiff(samples, WHITE_IS_ZERO)).pixels, 1 - samples, atol=1e-7)


@pytest.mark.parametrize("order", ["<", ">"])
def test_floating_point_of_24_bits_is_read(order: str) -> None:
    packed = {0.0: 0x000000, 0.25: 0x3D0000, 0.5: 0x3E0000, 0.75: 0x3E8000, 1.0: 0x3F0000}
    rows = b"".join(word.to_bytes(3, "little" if order == "<" else "big") for word in packed.values())
    tags: dict[int, tiff_files.Tag] = {
        256: (LONG, [5]),
        257: (LONG, [1]),
        258: (SHORT, [24]),
        262: (SHORT, [GRAY]),
        339: (SHORT, [3]),
    }
    np.testing.assert_array_equal(read(of_pieces([rows], tags, order=order)).pixels[0, :, 0], list(packed))


def test_measurements_in_the_lowest_of_32_bits_do_not_become_black() -> None:
    samples = random(9, 13, 1, full=65535).astype(np.uint32)
    assert "uses only the lowest of 32 bits and would be black" in error_of(tiff(samples, GRAY))
    assert (read(tiff(samples * 0, GRAY)).pixels == 0).all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_alpha_is_not_turned_where_white_is_zero(kind: Any, layout: str) -> None:
    full = 1 if kind == np.float32 else np.iinfo(kind).max
    samples = (random(21, 35, 2, full=255) / 255 * full).astype(kind)
    picture = read(tiff(samples, WHITE_IS_ZERO, tags={338: (SHORT, [2])}, **LAYOUTS[layout]))
    np.testing.assert_array_equal(picture.alpha, samples[..., 1])
    np.testing.assert_array_equal(picture.pixels[..., 0], full - samples[..., 0])


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
def test_bits_that_are_stored_the_other_way_round_are_turned(bits: int) -> None:
    samples = random(9, 13, 1, full=2**bits - 1)
    data = bytearray(tiff(samples, GRAY, bits=bits, tags={266: (SHORT, [2])}))
    size = 9 * ((13 * bits + 7) // 8)
    data[8 : 8 + size] = bytes(int(f"{value:08b}"[::-1], 2) for value in data[8 : 8 + size])
    expected = read(tiff(samples, GRAY, bits=bits)).pixels
    np.testing.assert_array_equal(read(bytes(data)).pixels, expected)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32])
def test_signed_integers_are_refused(kind: Any) -> None:
    assert f"holds samples of type int{8 * np.dtype(kind).itemsize};" in error_of(tiff(np.ones((3, 4, 1), kind), GRAY))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("layout", ["strips", "big-endian", "tiles"])
def test_palettes_give_their_colours(layout: str, bits: int) -> None:
    size = 2**bits
    palette = random(3, size)
    tags: dict[int, tiff_files.Tag] = {320: (SHORT, (palette.astype(int) * 257).ravel().tolist())}
    indices = random(21, 35, 1, full=size - 1)
    got = read(tiff(indices, PALETTE, bits=bits, tags=tags, **LAYOUTS[layout])).pixels
    np.testing.assert_array_equal(got, palette.T[indices[..., 0]])


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_lab_becomes_the_srgb_that_it_was(layout: str, size: int) -> None:
    rgb = np.array([(152, 118, 119), (30, 90, 200), (255, 255, 255), (0, 0, 0), (90, 160, 40)], np.uint8)
    expected = np.repeat(rgb, 7, axis=0)[None].repeat(21, axis=0)
    lab = lab_of(rgb)
    unit = 1 if size == 1 else 256
    cie = np.stack([lab[:, 0] * (255 if size == 1 else 65535) / 100, lab[:, 1] * unit, lab[:, 2] * unit], axis=1)
    icc = np.stack([lab[:, 0] * (2.55 if size == 1 else 652.8), *((lab[:, i] + 128) * unit for i in (1, 2))], axis=1)
    for photometric, numbers in ((CIELAB, np.rint(cie).astype(f"i{4}").astype(f"u{size}")), (ICCLAB, np.rint(icc))):
        samples = np.repeat(numbers.astype(f"u{size}"), 7, axis=0)[None].repeat(21, axis=0)
        got = read(tiff(samples, photometric, **LAYOUTS[layout])).pixels
        assert got.dtype == f"u{size}"
        assert np.abs(got / (1 if size == 1 else 257) - expected).max() <= (6 if size == 1 else 1)  # of 8 bits


def lab_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L*a*b* of D50, by the formulas of CIE 15 and the matrix of sRGB adapted to D50."""
    part = rgb / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
    xyz = linear @ matrix.T / (0.9642, 1, 0.8249)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab: NDArray[np.float64] = np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1
    )
    return lab


REFERENCES = {"full": (0, 255, 128, 255, 128, 255), "studio": (16, 235, 128, 240, 128, 240)}


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("tile", [0, 16])
def test_ycbcr_without_jpeg_becomes_rgb(tile: int, subsampling: tuple[int, int], reference: str) -> None:
    colours = np.array([(152, 118, 119), (20, 200, 90)])
    h, v = subsampling
    width, height, side = 24, 20, tile or 24
    luma, blue, red = ycbcr_of(colours, REFERENCES[reference]).T
    rows = tile or 8
    pieces = []
    for top in range(0, height, rows):
        for left in range(0, width, side):
            lines = -(-min(rows, height - top) // v) if not tile else tile // v
            index = [int(left + h * i >= 12) for i in range(-(-side // h))]
            units = [[*[luma[i]] * (h * v), blue[i], red[i]] for i in index]
            pieces.append(bytes(np.ravel(units).astype(np.uint8)) * lines)
    tags: dict[int, tiff_files.Tag] = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [8, 8, 8]),
        259: (SHORT, [8]),
        262: (SHORT, [YCBCR]),
        277: (SHORT, [3]),
        530: (SHORT, [h, v]),
        532: (RATIONAL, [number for value in REFERENCES[reference] for number in (value, 1)]),
    }
    tags |= {322: (LONG, [tile]), 323: (LONG, [tile])} if tile else {278: (LONG, [rows])}
    data = of_pieces([zlib.compress(piece) for piece in pieces], tags, tiled=bool(tile))
    got = read(data).pixels
    assert got.shape == (height, width, 3)
    assert np.abs(got[:, :12] - colours[0]).max() <= 2
    assert np.abs(got[:, 12:] - colours[1]).max() <= 2


def ycbcr_of(rgb: NDArray[Any], reference: tuple[int, ...]) -> NDArray[Any]:
    y = rgb @ (0.299, 0.587, 0.114)
    parts = [y / 255, (rgb[:, 2] - y) / 1.772 / 127, (rgb[:, 0] - y) / 1.402 / 127]
    return np.stack(
        [
            np.rint(low + part * (high - low))
            for part, low, high in zip(parts, reference[::2], reference[1::2], strict=True)
        ],
        axis=1,
    )


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", None])
def test_ycbcr_as_another_program_writes_it_becomes_rgb(compression: str | None) -> None:
    image = Image.new("RGB", (48, 32), (152, 118, 119)).convert("YCbCr")
    file = io.BytesIO()
    image.save(file, "tiff", compression=compression)
    assert np.abs(read(file.getvalue()).pixels.astype(int) - (152, 118, 119)).max() <= 2


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_inks_become_srgb_in_every_layout(kind: Any, layout: str) -> None:
    full = np.iinfo(kind).max
    inks = np.zeros((21, 35, 4), kind)
    inks[:, 18:] = (0, full, full, 0)
    got = read(tiff(inks, INKS, **LAYOUTS[layout])).pixels / full
    assert np.abs(got[:, :18] - 1).max() <= 0.02
    assert np.abs(got[:, 18:] - (0.90, 0.12, 0.16)).max() <= 0.16


def test_other_inks_are_refused() -> None:
    data = tiff(random(4, 5, 4), INKS, tags={332: (SHORT, [2])})
    assert "has other inks than cyan, magenta, yellow and black" in error_of(data)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("layout", ["one strip", "tiles", "planes"])
def test_colours_that_alpha_is_multiplied_into_come_back(layout: str, colours: int, kind: Any) -> None:
    full = np.iinfo(kind).max if np.issubdtype(kind, np.integer) else 1
    pixels = np.random.default_rng(0).random((9, 13, colours))
    cover = np.full((9, 13, 1), 0.5)
    samples = np.concatenate([pixels * cover, cover], axis=2) * full
    samples = np.rint(samples).astype(kind) if full > 1 else samples.astype(kind)
    associated = read(tiff(samples, RGB if colours == 3 else GRAY, tags={338: (SHORT, [1])}, **LAYOUTS[layout]))
    assert associated.alpha is not None
    assert np.abs(associated.alpha / full - 0.5).max() <= 0.5 / 255
    assert np.abs(associated.pixels / full - pixels).max() <= (2 / 255 if kind == np.uint8 else 1e-4)
    as_it_is = read(tiff(samples, RGB if colours == 3 else GRAY, tags={338: (SHORT, [2])}, **LAYOUTS[layout]))
    np.testing.assert_array_equal(as_it_is.pixels, samples[..., :-1].astype(as_it_is.pixels.dtype))


@pytest.mark.parametrize("extra", [[0], []])
def test_a_channel_that_is_no_alpha_is_left_out_with_a_word_of_it(extra: list[int]) -> None:
    samples = random(9, 13, 4, full=65535)
    got = read(tiff(samples, RGB, tags={338: (SHORT, extra)} if extra else None))
    assert got.alpha is None
    np.testing.assert_array_equal(got.pixels, samples[..., :3])
    assert got.notes == ("the picture: 1 of its 4 channels, neither colour nor alpha, left out",)


def test_of_several_more_channels_the_alpha_is_kept() -> None:
    samples = random(9, 13, 5)
    got = read(tiff(samples, RGB, tags={338: (SHORT, [0, 2])}))
    np.testing.assert_array_equal(got.alpha, samples[..., 4])
    assert len(got.notes) == 1


def test_a_smaller_version_and_a_mask_do_not_make_a_second_picture() -> None:
    pixels = random(8, 10, 3)
    first = tiff(pixels, RGB)
    for kind in (1, 4):
        np.testing.assert_array_equal(read(with_second_page(first, kind)).pixels, pixels)


def test_of_small_versions_of_nothing_the_largest_is_the_picture() -> None:
    pixels = random(8, 10, 3)
    reduced = tiff(pixels, RGB, tags={254: (LONG, [1])})
    np.testing.assert_array_equal(read(reduced).pixels, pixels)
    np.testing.assert_array_equal(read(with_second_page(reduced, 1)).pixels, pixels)
    raw = tiff(pixels, RGB, tags={254: (LONG, [1]), 330: (LONG, [8])})
    assert "is a camera's raw file" in error_of(raw)


def test_strips_and_tiles_of_more_than_50_megabytes_are_read() -> None:
    pixels = np.zeros((4096, 4352, 3), np.uint8)
    pixels[-1, -1] = 7
    for tile in (0, 4352):
        assert read(tiff(pixels, RGB, deflate=True, tile=tile)).pixels[-1, -1, 0] == 7


def test_64_bit_integers_are_called_what_they_are() -> None:
    assert "holds samples of type uint64" in error_of(tiff(random(3, 3, 3).astype(np.uint64), RGB))


def test_several_pages_are_refused_with_what_to_do() -> None:
    message = error_of(with_second_page(tiff(random(8, 10, 3), RGB), 0))
    assert "holds several pictures (2 pages); save each as a file of its own" in message


def with_second_page(data: bytes, kind: int) -> bytes:
    """A TIFF with a second page of 2x2 gray pixels behind its first."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    link = at + 2 + 12 * count
    second = len(data) + 4
    tags: dict[int, tiff_files.Tag] = {
        254: (LONG, [kind]),
        256: (LONG, [2]),
        257: (LONG, [2]),
        258: (SHORT, [8]),
        262: (SHORT, [4 if kind == 4 else GRAY]),
        273: (LONG, [len(data)]),
        279: (LONG, [4]),
    }
    return data[:link] + struct.pack("<I", second) + data[link + 4 :] + bytes(4) + packed_directory(tags, second)


@pytest.mark.parametrize("kind", [np.uint8, np.float64])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_to_every_kind_of_sample(orientation: int, kind: Any) -> None:
    upright = np.zeros((4, 6, 1), kind)
    upright[0, 0], upright[0, 5] = 1, 0.5 if kind == np.float64 else 2
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright), 7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    got = read(tiff(np.ascontiguousarray(stored), GRAY, tags={274: (SHORT, [orientation])})).pixels
    np.testing.assert_array_equal(got, upright)


def test_the_profile_and_resolution_of_unusual_samples_go_along() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    facts: dict[int, tiff_files.Tag] = {
        282: (RATIONAL, [254, 1]),
        283: (RATIONAL, [508, 1]),
        296: (SHORT, [2]),
        34675: (UNDEFINED, list(profile)),
    }
    picture = read(tiff(np.full((4, 5, 3), 0.5), RGB, tags=facts))
    assert picture.icc == profile
    assert picture.resolution == pytest.approx((10, 20))


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (6, "old-style JPEG"),
        (34712, "JPEG 2000"),
        (34887, "LERC"),
        (34925, "LZMA"),
        (50000, "Zstandard"),
        (50001, "WebP"),
        (4711, "number 4711"),
    ],
)
def test_a_compression_that_is_unsupported_is_named_and_not_called_damage(number: int, name: str) -> None:
    message = error_of(tiff(random(8, 10, 3), RGB, tags={259: (SHORT, [number])}))
    assert f"has the unsupported compression {name}; save it with LZW or deflate" in message


@pytest.mark.parametrize(("number", "name"), [(32844, "LogL"), (32845, "LogLuv"), (10, "ITULab"), (99, "number 99")])
def test_a_colour_space_that_is_unsupported_is_named(number: int, name: str) -> None:
    assert f"has the unsupported colour space {name};" in error_of(tiff(random(8, 10, 3), number))


def damaged_pieces(data: bytes, tiled: bool, change: Any) -> bytes:
    """A little-endian TIFF of classic offsets whose second strip or tile is changed in place."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    places = dict(struct.iter_unpack("<H6xI", data[at + 2 : at + 2 + 12 * count]))
    start, size = (struct.unpack_from("<I", data, places[tag] + 4)[0] for tag in ((324, 325) if tiled else (273, 279)))
    return data[:start] + change(data[start : start + size]) + data[start + size :]


@pytest.mark.parametrize("compression", ["lzw", "deflate", "jpeg", "packbits"])
@pytest.mark.parametrize("tiled", [False, True])
def test_a_strip_or_tile_of_zeros_is_damage(tiled: bool, compression: str) -> None:
    image = pyvips.Image.new_from_array(random(64, 64, 3))
    size: dict[str, Any] = {"tile_width": 32, "tile_height": 32} if tiled else {"tile_height": 16}
    data: bytes = image.tiffsave_buffer(compression=compression, tile=tiled, **size)
    assert read(data).pixels.shape == (64, 64, 3)
    assert "damaged" in error_of(damaged_pieces(data, tiled, lambda piece: bytes(len(piece))))


@pytest.mark.parametrize("tiled", [False, True])
def test_deflated_data_with_another_checksum_is_damage(tiled: bool) -> None:
    layout: dict[str, Any] = {"tile": 16} if tiled else {"rows": 4}
    for samples in (random(32, 32, 1), np.random.default_rng(0).random((32, 32, 1))):
        data = tiff(samples, GRAY, deflate=True, **layout)
        assert read(data).pixels.shape == (32, 32, 1)
        changed = damaged_pieces(data, tiled, lambda piece: piece[:-1] + bytes((piece[-1] ^ 1,)))
        assert "damaged" in error_of(changed)


@pytest.mark.parametrize(
    "tags",
    [
        {279: (LONG, [0] * 8)},
        {279: (LONG, [40] * 7)},
        {273: (LONG, [8])},
        {273: (LONG, [0] * 8)},
        {273: (LONG, [10**9] * 8)},
        {278: (LONG, [0])},
        {257: (LONG, [0])},
        {320: (SHORT, [0])},
        {279: (LONG, [2**32 - 1] * 8)},
    ],
)
def test_strips_that_are_missing_or_elsewhere_are_damage(tags: dict[int, tiff_files.Tag]) -> None:
    assert "damaged" in error_of(tiff(random(32, 10, 1), PALETTE if 320 in tags else GRAY, rows=4, tags=tags))


@pytest.mark.parametrize(
    "tags",
    [
        {322: (LONG, [2**20]), 323: (LONG, [2**20])},
        {257: (LONG, [9_000_000]), 278: (LONG, [1])},
        {256: (LONG, [10_000]), 257: (LONG, [10_000]), 277: (SHORT, [65_000])},
        {273: (LONG, [8] * 3000), 279: (LONG, [20_000] * 3000), 257: (LONG, [12_000]), 259: (SHORT, [5])},
    ],
)
def test_what_would_take_long_is_refused_at_once(tags: dict[int, tiff_files.Tag]) -> None:
    start = time.process_time()
    error_of(tiff(random(32, 10, 1), GRAY, rows=4, tags=tags))
    assert time.process_time() - start < 2


def test_directories_that_go_round_in_circles_are_damage() -> None:
    data = tiff(random(8, 10, 1), GRAY)
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    link = at + 2 + 12 * count
    assert "round in circles" in error_of(data[:link] + data[4:8] + data[link + 4 :])


def test_a_picture_beyond_the_limit_is_refused_before_it_is_decoded() -> None:
    data = tiff(np.zeros((200, 300, 3)), RGB)
    with pytest.raises(CnlrnError, match="has 300x200 pixels, more than the limit of 100"):
        images.open_picture(data, max_pixels=100)


def test_colours_told_by_chromaticities_and_a_curve_become_a_profile() -> None:
    p3 = [680, 1000, 320, 1000, 265, 1000, 690, 1000, 150, 1000, 60, 1000]
    tags: dict[int, tiff_files.Tag] = {318: (RATIONAL, [3127, 10000, 3290, 10000]), 319: (RATIONAL, p3)}
    picture = read(tiff(random(4, 5, 3), RGB, tags=tags))
    assert picture.icc is not None
    srgb = [640, 1000, 330, 1000, 300, 1000, 600, 1000, 150, 1000, 60, 1000]
    assert read(tiff(random(4, 5, 3), RGB, tags={319: (RATIONAL, srgb)})).icc is None
    linear = np.linspace(0, 65535, 256).astype(int).tolist()
    curved = read(tiff(np.full((4, 5, 3), 55, np.uint8), RGB, tags={301: (SHORT, linear)}))
    assert np.abs(as_srgb(curved) - 128).max() <= 1


def as_srgb(picture: Picture) -> NDArray[Any]:
    assert picture.icc is not None
    image = ImageCms.profileToProfile(
        Image.fromarray(picture.pixels),
        ImageCms.ImageCmsProfile(io.BytesIO(picture.icc)),
        ImageCms.createProfile("sRGB"),
    )
    assert image is not None
    return np.asarray(image).astype(int)


def test_exif_in_a_tiff_can_name_adobe_rgb() -> None:
    data = tiff(np.full((4, 5, 3), 100, np.uint8), RGB, tags={34665: (LONG, [0])})
    exif_at = len(data)
    exif = packed_directory({40961: (SHORT, [65535]), 40965: (LONG, [exif_at + 30])}, exif_at)
    assert len(exif) == 30
    data += exif + packed_directory({1: (ASCII, b"R03\0")}, exif_at + 30)
    pointer = data.index(struct.pack("<HHI", 34665, LONG, 1)) + 8
    data = data[:pointer] + struct.pack("<I", exif_at) + data[pointer + 4 :]
    profile = read(data).icc
    assert profile is not None
    assert b"rXYZ" in profile
