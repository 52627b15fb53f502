import io
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from cnlrn import images
from cnlrn.errors import CnlrnError
from cnlrn.images import Picture, encode, read
from cnlrn.images.codecs import avif

DATA = Path(__file__).parent / "data"
LEFT, RIGHT = (200, 100, 50), (40, 90, 160)
P3_SRGB = struct.pack(">4sHH", b"nclx", 12, 13)


def changed(name: str, old: bytes, new: bytes) -> bytes:
    data = (DATA / name).read_bytes()
    assert old in data
    return data.replace(old, new)


def assert_is_the_picture(picture: Picture, tolerance: float = 3) -> None:
    """`tests/images/data/README.md` says what it shows."""
    assert picture.pixels.shape == (32, 64, 3)
    pixels = picture.pixels / (np.iinfo(picture.pixels.dtype).max / 255)
    assert np.abs(pixels[:, :30] - LEFT).max() <= tolerance
    assert np.abs(pixels[:, 34:] - RIGHT).max() <= tolerance


def test_the_primary_picture_of_several_is_read_with_a_word_of_the_others() -> None:
    picture = read(DATA / "two.heic")
    assert_is_the_picture(picture)
    assert picture.notes == (f"{DATA / 'two.heic'} holds 2 pictures; the primary one is restored",)


def test_a_turned_heic_is_turned_once() -> None:
    picture = read(DATA / "turned.heic")
    assert_is_the_picture(picture)
    again = read(encode(picture, ".jpg"))
    assert_is_the_picture(again, tolerance=6)
    exif = Image.Exif()
    exif.load(again.metadata["exif-data"])
    assert (exif[0x10F], exif.get(0x112, 1)) == ("me!", 1)


def test_10_bits_and_alpha_are_read_as_16_bits() -> None:
    picture = read(DATA / "deep_alpha.heic")
    assert picture.pixels.dtype == np.uint16
    assert_is_the_picture(picture)
    assert picture.alpha is not None
    assert np.abs(picture.alpha / 257 - 128).max() <= 1


def test_white_of_10_bits_is_white() -> None:
    white = np.full((16, 16, 3), 65535, np.uint16)
    data = pyvips.Image.new_from_array(white).heifsave_buffer(compression="av1", bitdepth=10, lossless=True)
    assert (read(data).pixels == 65535).all()


def test_colours_that_alpha_is_multiplied_into_come_back_of_heic() -> None:
    picture = read(DATA / "premultiplied.heic")
    assert_is_the_picture(picture)
    assert picture.alpha is not None
    assert np.abs(picture.alpha.astype(int) - 128).max() <= 1


def test_colours_that_alpha_is_multiplied_into_come_back_of_avif() -> None:
    image = Image.new("RGBA", (32, 32), (100, 50, 25, 128))
    file = io.BytesIO()
    image.save(file, "avif", quality=100)
    data = file.getvalue()
    straight = read(data)
    assert np.abs(straight.pixels.astype(int) - (100, 50, 25)).max() <= 3
    multiplied = read(premultiplied(data))
    assert np.abs(multiplied.pixels.astype(int) - (200, 100, 50)).max() <= 5
    assert multiplied.alpha is not None
    assert np.abs(multiplied.alpha.astype(int) - 128).max() <= 2


def premultiplied(data: bytes) -> bytes:
    """The AVIF with a reference from the colours to their alpha that says so, in the room of the brands' box."""
    at = data.index(b"iref") - 4
    (size,) = struct.unpack_from(">I", data, at)
    box = struct.pack(">I4sHHH", 14, b"prem", 1, 1, 2)
    grown = data[:at] + struct.pack(">I", size + 14) + data[at + 4 : at + size] + box + data[at + size :]
    meta = data.index(b"meta") - 4
    (length,) = struct.unpack_from(">I", data, meta)
    grown = grown[:meta] + struct.pack(">I", length + 14) + grown[meta + 4 :]
    iloc = grown.index(b"iloc") + 4
    count = struct.unpack_from(">H", grown, iloc + 6)[0]
    moved = bytearray(grown)
    for i in range(count):
        place = iloc + 8 + 14 * i + 6
        moved[place : place + 4] = struct.pack(">I", struct.unpack_from(">I", moved, place)[0] + 14)
    return bytes(moved)


def test_nclx_becomes_a_profile() -> None:
    picture = read(DATA / "two.heic")
    assert picture.icc is not None
    srgb = read(changed("two.heic", P3_SRGB, struct.pack(">4sHH", b"nclx", 1, 13)))
    assert srgb.icc is None
    avif_file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(avif_file, "avif")
    data = avif_file.getvalue()
    at = data.index(b"nclx") + 4
    assert read(data).icc is None
    assert read(data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :]).icc == picture.icc


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused(transfer: int, name: str) -> None:
    with pytest.raises(CnlrnError, match=rf"is an HDR picture \({name}\)"):
        read(changed("two.heic", P3_SRGB, struct.pack(">4sHH", b"nclx", 9, transfer)))


def test_a_grid_whose_tiles_are_not_hidden_is_one_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avif, "SMALLEST", 64)
    monkeypatch.setattr("cnlrn.images.writing.Format.is_large", lambda self, image: True)
    pixels = np.broadcast_to(np.array(LEFT, np.uint8), (100, 150, 3)).copy()
    data = bytearray(encode(Picture(pixels, pixels[..., 0]), ".avif"))
    shown = 0
    for at in (at for at in range(len(data)) if data.startswith(b"infe", at)):
        shown += data[at + 7] & 1
        data[at + 7] &= 0xFE
    assert shown == 12
    picture = read(bytes(data))
    assert np.abs(picture.pixels.astype(int) - LEFT).max() <= 3
    assert (picture.pixels.shape, picture.notes) == ((100, 150, 3), ())


def test_a_gain_map_is_left_out_with_a_word_of_it() -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), LEFT).save(file, "jpeg", xmp=b'<x hdrgm:Version="1.0"/>', quality=95)
    picture = read(file.getvalue())
    assert np.abs(picture.pixels.astype(int) - LEFT).max() <= 3
    note = picture.notes[-1]
    assert "its gain map for HDR screens is left out" in note


@pytest.mark.parametrize("brand", [b"hevc", b"msf1", b"avis"])
def test_sequences_are_refused(brand: bytes) -> None:
    data = (DATA / "two.heic").read_bytes()
    with pytest.raises(CnlrnError, match="holds several pictures or frames; give a file of one"):
        read(data[:8] + brand + data[12:])


def test_a_picture_of_another_coding_is_refused_by_its_name() -> None:
    with pytest.raises(CnlrnError, match="is coded as 'vvc1', which cannot be read"):
        read(changed("two.heic", b"hvc1", b"vvc1"))


@pytest.mark.parametrize("name", ["two.heic", "turned.heic", "deep_alpha.heic"])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.97])
def test_a_heic_cut_short_is_damaged(name: str, part: float) -> None:
    data = (DATA / name).read_bytes()
    with pytest.raises(CnlrnError, match="damaged or cut short"):
        read(data[: int(part * len(data))])


def test_a_heic_beyond_the_limit_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(CnlrnError, match="has 64x32 pixels, more than the limit of 2047"):
        images.open_picture(DATA / "two.heic", max_pixels=2047)
    size = struct.pack(">4sIII", b"ispe", 0, 64, 64)  # in whole blocks
    huge = struct.pack(">4sIII", b"ispe", 0, 2**31 - 1, 2**31 - 1)
    with pytest.raises(CnlrnError, match="more than the limit of 100000000"):
        read(changed("two.heic", size, huge))


def test_folders_are_searched_for_them() -> None:
    assert {".heic", ".heif", ".hif", ".avif"} <= images.SUFFIXES


def without_nclx(data: bytes, config: bytes, transfer: int) -> bytes:
    """A file whose coded picture alone tells its colours, with other transfer characteristics."""
    start = data.index(config)
    bits = f"{int.from_bytes(data[start : start + 400]):0{8 * 400}b}"
    told = next(
        f"{primaries:08b}{13:08b}{matrix:08b}"
        for primaries in (1, 12)
        for matrix in (6, 1, 0, 2)
        if f"{primaries:08b}{13:08b}{matrix:08b}" in bits
    )
    changed_bits = bits.replace(told, told[:8] + f"{transfer:08b}" + told[16:], 1)
    data = data[:start] + int(changed_bits, 2).to_bytes(400) + data[start + 400 :]
    return data.replace(b"colrnclx", b"freenclx")


def coded() -> dict[str, tuple[bytes, bytes]]:
    """Files, and where in each the header of its coded picture is behind."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)).save(file, "avif")
    data = file.getvalue()
    return {"avif": (data, b"mdat"), "heic": ((DATA / "turned.heic").read_bytes(), b"hvcC")}


@pytest.mark.parametrize("name", ["avif", "heic"])
@pytest.mark.parametrize(("transfer", "kind"), [(16, "PQ"), (18, "HLG")])
def test_hdr_that_only_the_coded_picture_tells_is_refused_too(name: str, transfer: int, kind: str) -> None:
    with pytest.raises(CnlrnError, match=rf"is an HDR picture \({kind}\), which cannot be restored; export it as SDR"):
        read(without_nclx(*coded()[name], transfer))


@pytest.mark.parametrize("name", ["avif", "heic"])
def test_the_code_points_of_the_coded_picture_count_where_no_others_are_told(name: str) -> None:
    data, config = coded()[name]
    assert read(without_nclx(data, config, 13)).icc is None
    assert read(without_nclx(data, config, 4)).icc is not None


def test_the_video_of_a_motion_photo_is_left_out_with_one_word_of_it() -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), LEFT).save(file, "jpeg", quality=95)
    plain = file.getvalue()
    video = struct.pack(">I4s4sI4s", 20, b"ftyp", b"mp42", 0, b"isom") + struct.pack(">I4s", 8, b"mdat")
    file = io.BytesIO()
    Image.new("RGB", (16, 16), LEFT).save(file, "jpeg", xmp=b'<x GCamera:MicroVideo="1"/>', quality=95)
    heic = (DATA / "turned.heic").read_bytes()
    for data in (plain + video, file.getvalue(), file.getvalue() + video, heic + struct.pack(">I4s", 8, b"mpvd")):
        assert sum("the video that moves it is left out" in note for note in read(data).notes) == 1
    for data in (plain, heic):
        assert read(data).notes == ()
