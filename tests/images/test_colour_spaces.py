"""Colour spaces that files tell in another way than by an ICC profile."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from cnlrn.errors import CnlrnError
from cnlrn.images import Picture, encode, read
from cnlrn.images.profiles import BT709, D65, ColourSpace

SRGB = np.array([(152, 118, 119), (40, 90, 160), (210, 200, 60)], np.uint8)
"""Colours that lie inside every space here, but for the smaller ones."""

P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65)
BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65)
ADOBE = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65)


def linear_of_srgb(part: NDArray[Any]) -> NDArray[Any]:
    linear: NDArray[Any] = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear


def srgb_of_linear(part: NDArray[Any]) -> NDArray[Any]:
    encoded: NDArray[Any] = np.where(part <= 0.0031308, part * 12.92, 1.055 * part ** (1 / 2.4) - 0.055)
    return encoded


def to_xyz(points: tuple[tuple[float, float], ...]) -> NDArray[Any]:
    """The matrix from linear RGB to XYZ, by SMPTE RP 177."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in points]).T
    matrix: NDArray[Any] = columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
    return matrix


def coded(points: tuple[tuple[float, float], ...], curve: Any, kind: Any = np.uint8) -> NDArray[Any]:
    """`SRGB` in another space of the same white, as a picture of 1 x 3 pixels."""
    linear = linear_of_srgb(SRGB / 255) @ np.linalg.solve(to_xyz(points), to_xyz(BT709)).T
    return np.rint(curve(np.clip(linear, 0, 1)) * np.iinfo(kind).max).astype(kind)[None]


def bt709_curve(part: NDArray[Any]) -> NDArray[Any]:
    encoded: NDArray[Any] = np.where(part < 0.018, 4.5 * part, 1.099 * part**0.45 - 0.099)
    return encoded


def power(gamma: float) -> Any:
    return lambda part: part ** (1 / gamma)


def as_srgb(picture: Picture) -> NDArray[Any]:
    """The pixels in sRGB, through the profile of the picture by another library's colour management."""
    pixels = picture.pixels if picture.pixels.dtype == np.uint8 else np.rint(picture.pixels / 257).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if picture.icc is not None:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.icc))
        mode = "RGB" if pixels.shape[2] == 3 else "L"
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert converted is not None
        assert image.mode == mode
        image = converted
    return np.asarray(image).astype(int)


def png(pixels: NDArray[Any], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with chunks behind its header."""
    data = encode(Picture(np.ascontiguousarray(pixels)), ".png")
    head = data[:33]
    packed = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return head + packed + data[33:]


def gama(number: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(number * 100_000))


def chrm(points: tuple[tuple[float, float], ...]) -> tuple[bytes, bytes]:
    red, green, blue, white = points
    return b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in (*white, *red, *green, *blue)))


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes((primaries, transfer, matrix, full))


def iccp() -> tuple[bytes, bytes]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return b"iCCP", b"sRGB\0\0" + zlib.compress(profile)


SRGB_CHUNK = (b"sRGB", b"\0")


@pytest.mark.parametrize(
    ("chunks", "points", "curve"),
    [
        ([cicp(12, 13)], P3, srgb_of_linear),
        ([cicp(9, 14)], BT2020, bt709_curve),
        ([cicp(1, 1)], BT709, bt709_curve),
        ([cicp(1, 4)], BT709, power(2.2)),
        ([cicp(12, 13), iccp(), SRGB_CHUNK, gama(1)], P3, srgb_of_linear),
        ([gama(1 / 2.2), chrm(P3)], P3, srgb_of_linear),
        ([chrm(P3)], P3, srgb_of_linear),
        ([gama(1 / 1.8)], BT709, power(1.8)),
        ([gama(1 / 1.8), chrm(ADOBE)], ADOBE, power(1.8)),
        ([iccp(), gama(1)], BT709, srgb_of_linear),
        ([SRGB_CHUNK, gama(1), chrm(P3)], BT709, srgb_of_linear),
        ([gama(1 / 2.2)], BT709, srgb_of_linear),
        ([gama(0)], BT709, srgb_of_linear),
        ([(b"cHRM", bytes(32))], BT709, srgb_of_linear),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_colour_chunks_of_png_count_in_the_order_of_the_standard(
    chunks: list[tuple[bytes, bytes]], points: tuple[tuple[float, float], ...], curve: Any, kind: Any
) -> None:
    picture = read(png(coded(points, curve, kind), *chunks))
    assert np.abs(as_srgb(picture) - SRGB).max() <= 2


def test_linear_light_told_by_gama_stays_the_same_light() -> None:
    picture = read(png(coded(BT709, power(1), np.uint16), gama(1)))
    assert picture.icc is not None
    assert np.abs(as_srgb(picture) - SRGB).max() <= 3


def test_gray_gets_a_profile_of_gray() -> None:
    gray = np.full((2, 3, 1), 55, np.uint8)  # of linear light, which is 128 in sRGB
    for chunk in (gama(1), cicp(12, 8)):
        picture = read(png(gray, chunk))
        assert picture.icc is not None
        assert picture.icc[16:20] == b"GRAY"
        assert np.abs(as_srgb(picture) - 128).max() <= 1
    assert read(png(gray, cicp(12, 13))).icc is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_the_profile_of_told_colours_goes_into_every_format(suffix: str) -> None:
    flat = np.repeat(np.repeat(coded(P3, srgb_of_linear)[:, :1], 16, axis=0), 16, axis=1)
    back = read(encode(read(png(flat, cicp(12, 13))), suffix))
    assert np.abs(as_srgb(back) - SRGB[0]).max() <= 3


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused_in_a_sentence(transfer: int, name: str) -> None:
    with pytest.raises(CnlrnError, match=rf"is an HDR picture \({name}\), which cannot be restored; export it as SDR"):
        read(png(coded(P3, power(2.2)), cicp(9, transfer)))


def test_samples_of_video_and_logarithmic_ones_are_refused() -> None:
    for chunk, word in ((cicp(1, 1, 0, 0), "of video"), (cicp(1, 1, 1, 1), "of video"), (cicp(1, 9), "logarithmic")):
        with pytest.raises(CnlrnError, match=word):
            read(png(coded(P3, power(2.2)), chunk))


def exif_of(colour_space: int, index: bytes) -> bytes:
    """EXIF that names a colour space, by its number and by the interoperability index."""
    first = struct.pack("<HHHIII", 1, 0x8769, 4, 1, 26, 0)
    inner = struct.pack("<HHHIHHHHIII", 2, 0xA001, 3, 1, colour_space, 0, 0xA005, 4, 1, 56, 0)
    last = struct.pack("<HHHI4sI", 1, 1, 2, 4, index, 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + inner + last


@pytest.mark.parametrize("kind", ["jpeg", "webp", "png"])
def test_exif_can_name_adobe_rgb(kind: str) -> None:
    flat = np.repeat(np.repeat(coded(ADOBE, power(563 / 256))[:, :1], 16, axis=0), 16, axis=1)
    for colour_space, index, is_adobe in ((65535, b"R03\0", True), (1, b"R03\0", False), (65535, b"R98\0", False)):
        file = io.BytesIO()
        Image.fromarray(flat).save(file, kind, exif=exif_of(colour_space, index), quality=95)
        picture = read(file.getvalue())
        assert (picture.icc is not None) == is_adobe
        if is_adobe:
            assert np.abs(as_srgb(picture) - SRGB[0]).max() <= 4


def test_a_profile_counts_before_exif() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "jpeg", exif=exif_of(65535, b"R03\0"), icc_profile=profile)
    assert read(file.getvalue()).icc == profile


def bmp(pixels: NDArray[Any], kind: int, ends: list[float], gamma: float, profile: bytes = b"") -> bytes:
    """A BMP with a header of version 5."""
    height, width, _ = pixels.shape
    rows = b"".join(row[:, ::-1].tobytes().ljust(-(-3 * width // 4) * 4, b"\0") for row in pixels[::-1])
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0) + bytes(16)
    header += struct.pack("<I", kind) + struct.pack("<9i", *(round(value * 2**30) for value in ends))
    header += struct.pack("<3I", *[round(gamma * 2**16)] * 3)
    header += struct.pack("<IIII", 4, 124 + len(rows) if profile else 0, len(profile), 0)
    return struct.pack("<2sIHHI", b"BM", 138 + len(rows) + len(profile), 0, 0, 138) + header + rows + profile


def test_the_profile_in_a_bmp_is_kept() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = coded(BT709, srgb_of_linear)
    picture = read(bmp(pixels, int.from_bytes(b"MBED"), [0.0] * 9, 0, profile))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.icc == profile


@pytest.mark.parametrize("strength", ["chromaticities", "whole"])
def test_a_calibrated_bmp_gets_a_profile(strength: str) -> None:
    if strength == "whole":
        ends = to_xyz(ADOBE).T.ravel().tolist()
    else:
        ends = [number for x, y in ADOBE[:3] for number in (x, y, 1 - x - y)]
    picture = read(bmp(coded(ADOBE, power(1.8)), 0, ends, 1.8))
    assert np.abs(as_srgb(picture) - SRGB).max() <= 2


def test_a_bmp_of_an_unsupported_kind_is_not_called_damaged() -> None:
    data = bytearray(bmp(coded(BT709, srgb_of_linear), 0, [0.0] * 9, 0))
    data[30:34] = struct.pack("<I", 4)  # a JPEG in a BMP
    with pytest.raises(CnlrnError, match="is of an unsupported kind"):
        read(bytes(data))


@pytest.mark.parametrize("kind", [0, int.from_bytes(b"sRGB"), int.from_bytes(b"Win "), int.from_bytes(b"MBED")])
def test_a_bmp_that_tells_nothing_is_srgb(kind: int) -> None:
    assert read(bmp(coded(BT709, srgb_of_linear), kind, [0.0] * 9, 0)).icc is None


def test_every_code_point_gives_a_profile_that_a_colour_management_takes() -> None:
    for primaries in range(23):
        for transfer in (1, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 17):
            for gray in (False, True):
                profile = ColourSpace.of_code_points(primaries, transfer, "x").profile(gray)
                if profile is not None:
                    ImageCms.ImageCmsProfile(io.BytesIO(profile))
                    assert len(profile) == int.from_bytes(profile[:4])
    assert ColourSpace.of_code_points(2, 2, "x").profile(False) is None


def test_chromaticities_of_no_space_are_known_as_such() -> None:
    for points in (((0.0, 0.0),) * 4, ((0.3, 0.3),) * 4, (*BT709[:3], (0.3, 0.0))):
        assert not ColourSpace(points).is_possible()
    assert ColourSpace(P3).is_possible()


def unusable(picture: Picture) -> bool:
    said = "the picture: its colour profile is damaged or of another kind than its samples, and is left out"
    return picture.notes == (said,)


def test_gray_with_a_profile_of_rgb_keeps_its_light() -> None:
    linear = ColourSpace(BT709, (1.0,)).profile(gray=False)
    assert linear is not None
    file = io.BytesIO()
    Image.new("L", (8, 8), 128).save(file, "jpeg", icc_profile=linear)
    picture = read(file.getvalue())
    assert (picture.pixels.shape[2], picture.icc, picture.notes) == (1, None, ())
    assert np.abs(picture.pixels.astype(int) - round(255 * float(srgb_of_linear(np.array(128 / 255))))).max() <= 1


def test_a_profile_that_cannot_be_used_is_left_out_with_a_word_of_it() -> None:
    rgb, gray = (ColourSpace(P3, (2.2,)).profile(gray=kind) for kind in (False, True))
    assert rgb is not None
    assert gray is not None
    for kind, mode, icc in (
        ("jpeg", "L", rgb[:200]),
        ("jpeg", "CMYK", rgb),
        ("tiff", "RGB", gray),
        ("webp", "RGB", rgb[:300]),
        ("png", "RGB", rgb[:300]),
        ("png", "L", rgb),
    ):
        image = Image.new(mode, (8, 8), 128) if mode != "RGB" else Image.new(mode, (8, 8), (152, 118, 119))
        file = io.BytesIO()
        image.save(file, kind, icc_profile=icc)
        picture = read(file.getvalue())
        assert unusable(picture), (kind, mode, picture.notes)
        assert picture.icc is None or mode == "CMYK"


def test_a_bmp_tells_what_became_of_its_profile() -> None:
    pixels = coded(BT709, srgb_of_linear)
    linked = read(bmp(pixels, int.from_bytes(b"LINK"), [0.0] * 9, 0, b"C:/a.icc"))
    assert linked.notes == ("the picture: its colour profile is another file and is left out",)
    assert unusable(read(bmp(pixels, int.from_bytes(b"MBED"), [0.0] * 9, 0, bytes(200))))
