"""What goes from a picture into its result besides pixels; Pillow and ElementTree are the second opinion."""

import io
import random
import struct
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tiny_model import write_tiny_model

from cnlrn import images
from cnlrn.images import LazyPicture, Picture, encode, exif, left_out, open_picture, read
from cnlrn.restoration.restorer import Restorer
from cnlrn.restoration.size import Size

SUFFIXES = [".jpg", ".png", ".webp", ".tif", ".avif"]
SPACES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "MiCamera": "http://ns.xiaomi.com/photos/1.0/camera/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
}


def packet(attributes: str = "", elements: str = "") -> bytes:
    declared = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in SPACES.items() if prefix != "rdf")
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{SPACES["rdf"]}"><rdf:Description rdf:about="" {declared} {attributes}>{elements}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def properties(xmp: bytes) -> dict[str, str]:
    """The properties that are simple values, by prefix and name; others have an empty one."""
    prefixes = {space: prefix for prefix, space in SPACES.items()}
    found = {}
    for description in ElementTree.fromstring(xmp).iter(f"{{{SPACES['rdf']}}}Description"):
        for name, value in (*description.attrib.items(), *((part.tag, part.text or "") for part in description)):
            space, _, local = name[1:].partition("}")
            if space != SPACES["rdf"]:
                found[f"{prefixes[space]}:{local}"] = value
    return found


def saved(kind: str, size: tuple[int, int] = (48, 32), **options: Any) -> bytes:
    if "exif" in options and not isinstance(options["exif"], bytes):
        options["exif"] = options["exif"].tobytes()
    file = io.BytesIO()
    Image.new("RGB", size, (90, 120, 60)).save(file, kind, **options)
    return file.getvalue()


def result(source: bytes, suffix: str, factor: int = 4) -> bytes:
    """The file of a picture made larger."""
    return encode(enlarged(source, factor), suffix)


def enlarged(source: bytes, factor: int = 4) -> LazyPicture:
    opened = open_picture(source)
    image = opened.image.resize(factor, kernel="nearest")
    return LazyPicture(image, opened.has_alpha, **opened.extras() | {"is_result": True})


def xmp_of(data: bytes) -> bytes:
    """The packet of a written file, as other programs find it."""
    with Image.open(io.BytesIO(data)) as image:
        found = image.info.get("xmp") or getattr(image, "tag_v2", {}).get(700)
    if found is None:
        raise AssertionError("no XMP")
    return found if isinstance(found, bytes) else bytes(found)


def photo_exif(**more: Any) -> Image.Exif:
    told = Image.Exif()
    told.update(
        {0x10F: "ACME", 0x131: "Camera 1.0", 0x13B: "Zoe", 0x8298: "(c) Zoe", 0x112: more.get("orientation", 1)}
    )
    told.get_ifd(0x8769).update({0x9003: "2021:06:19 12:00:00", 0xA434: "Lens 50", 0xA002: 48, 0xA003: 32})
    told.get_ifd(0x8825).update({1: "S", 2: (10.0, 20.0, 30.5)})
    return told


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG file of 48x32 pixels with segments of these kinds and contents in front."""
    packed = b"".join(struct.pack(">BBH", 0xFF, kind, 2 + len(content)) + content for kind, content in segments)
    return b"\xff\xd8" + packed + saved("JPEG")[2:]


# -- EXIF


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", [1, 6])
def test_exif_tells_the_size_and_orientation_of_the_result_and_all_else_of_the_photo(
    suffix: str, orientation: int
) -> None:
    told = photo_exif(orientation=orientation)
    told.get_ifd(0x8769).update({0x9102: 3.0, 0x9214: (10, 10, 5, 5), 0xA20E: 100.0, 0xA20F: 50.0})
    told.update({0x100: 48, 0x101: 32, 0x111: 1234, 0x103: 6})
    width, height = (192, 128) if orientation == 1 else (128, 192)
    across, down = (400, 200) if orientation == 1 else (200, 400)
    with Image.open(io.BytesIO(result(saved("JPEG", exif=told), suffix))) as image:
        assert image.size == (width, height)
        back = image.getexif()
        photo = back.get_ifd(0x8769)
        assert (photo[0xA002], photo[0xA003]) == (width, height)
        assert (photo[0xA20E], photo[0xA20F]) == (across, down), "pixels in a unit of length on the sensor"
        assert not {0x9102, 0x9214} & photo.keys(), "CompressedBitsPerPixel, SubjectArea"
        assert (back.get(0x100, width), back.get(0x101, height), back.get(0x112, 1)) == (width, height, 1)
        assert suffix == ".tif" or not {0x111, 0x103} & back.keys(), "StripOffsets, Compression"
        assert (back[0x10F], back[0x131], back[0x13B], back[0x8298]) == ("ACME", "Camera 1.0", "Zoe", "(c) Zoe")
        assert (photo[0x9003], photo[0xA434]) == ("2021:06:19 12:00:00", "Lens 50")
        assert back.get_ifd(0x8825) == {1: "S", 2: (10.0, 20.0, 30.5)}


def test_a_picture_without_profile_is_said_to_be_srgb_and_one_with_a_profile_says_what_it_said() -> None:
    told = photo_exif()
    told.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: "R03", 2: b"0100"}})
    opened = open_picture(saved("JPEG", exif=told))
    for icc, space, index in ((None, 1, "R98"), (profile(), 0xFFFF, "R03")):
        with Image.open(io.BytesIO(encode(replace(opened, icc=icc), ".jpg"))) as image:
            photo = image.getexif().get_ifd(0x8769)
            assert photo[0xA001] == space
            assert image.getexif().get_ifd(0xA005)[1] == index


def profile() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("kind", ["WEBP", "PNG", "AVIF", "TIFF"])
def test_exif_of_more_than_64_kb_is_kept_whole_where_the_format_holds_it(kind: str, suffix: str) -> None:
    told = photo_exif()
    told.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + b"w" * 70_000
    picture = enlarged(saved(kind, exif=told))
    with Image.open(io.BytesIO(encode(picture, suffix))) as image:
        back = image.getexif()
        assert back.get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0" + b"w" * 70_000
        assert back.get_ifd(0x8769)[0xA434] == "Lens 50"
        assert back.get_ifd(0x8825) == {1: "S", 2: (10.0, 20.0, 30.5)}
    assert left_out(picture, suffix) == ()


def test_of_large_exif_all_but_the_largest_tags_goes_into_jpeg_and_this_is_said() -> None:
    told = photo_exif()
    told.get_ifd(0x8769).update({0x927C: b"n" * 50_000, 0x9286: b"ASCII\0\0\0" + b"w" * 40_000})
    picture = replace(enlarged(saved("WEBP", exif=told)), name="photo.webp")
    with Image.open(io.BytesIO(encode(picture, ".jpg"))) as image:
        photo = image.getexif().get_ifd(0x8769)
        assert 0x927C not in photo
        assert len(photo[0x9286]) == 40_008
        assert photo[0xA434] == "Lens 50"
        assert image.getexif().get_ifd(0x8825) == {1: "S", 2: (10.0, 20.0, 30.5)}
    assert left_out(picture, ".jpg") == ("photo.webp: EXIF MakerNote is too large for JPEG and is left out",)


def test_a_large_exif_block_turns_the_picture_wherever_its_orientation_is_told() -> None:
    told = photo_exif(orientation=6)
    told.get_ifd(0x8769)[0x9286] = b"w" * 70_000
    block = told.tobytes()[6:]
    (first,) = struct.unpack_from(">I" if block[:2] == b"MM" else "<I", block, 4)
    order = ">" if block[:2] == b"MM" else "<"
    (count,) = struct.unpack_from(order + "H", block, first)
    directory = block[first : first + 2 + 12 * count + 4]
    moved = block[:4] + struct.pack(order + "I", len(block)) + block[8:] + directory  # behind 70 kB
    assert read(saved("WEBP", exif=moved)).pixels.shape == (48, 32, 3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_maker_note_stays_where_its_own_offsets_point(order: str) -> None:
    entries = struct.pack(order + "HHIIHHII", 0x927C, 7, 100, 400, 0xA434, 2, 200, 600)
    first = struct.pack(order + "HHHIII", 1, 0x8769, 4, 1, 26, 0)
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + first
    block += struct.pack(order + "H", 2) + entries + bytes(4)
    block = block.ljust(400, b"\0") + b"N" * 100 + bytes(100) + b"L" * 199 + b"\0" + b"thumbnail"
    written = open_picture(result(jpeg_with((0xE1, b"Exif\0\0" + block)), ".jpg")).metadata["exif-data"][6:]
    assert written[400:500] == b"N" * 100
    back = exif.read(written)
    assert back is not None
    photo = back.directory[exif.EXIF]
    assert isinstance(photo, dict)
    assert {tag: value[1] for tag, value in photo.items()} == {0x927C: b"N" * 100, 0xA434: b"L" * 199 + b"\0"}


def test_a_value_that_many_entries_share_does_not_grow_without_end() -> None:
    entries = b"".join(struct.pack("<HHII", tag, 7, 60_000, 0) for tag in range(40_000, 44_000))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 4_000) + entries + bytes(4) + bytes(20_000)
    back = exif.read(block)
    assert back is not None
    assert back.damaged
    assert len(back.block()[0]) < 2 * len(block)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_metadata_whatever_it_is_made_of_makes_writing_or_reading_fail(
    suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    told = photo_exif(orientation=6)
    told.get_ifd(0x8769)[0x927C] = b"Nikon\0\2\x10\0\0II*\0" + bytes(40)
    blocks = {
        "exif-data": told.tobytes(),
        "xmp-data": packet('tiff:Orientation="6" dc:title="T"'),
        "iptc-data": b"Photoshop 3.0\0" + resource(1028, b"\x1c\x02\x19\0\x03cat"),
        "png-texts": png_text("Title", "T"),
        "jpeg-comments": b"\xff\xfe\0\x06text",
    }
    rng = random.Random(0)
    pixels = np.full((8, 8, 3), 90, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(60):
            metadata = {key: mutated(block, rng) for key, block in blocks.items()}
            picture = Picture(pixels, metadata=metadata, is_result=True)
            left_out(picture, suffix)
            back = open_picture(encode(picture, suffix))
            assert back.is_result
            assert back.notes == (), "what was written is sound"
            assert np.abs(back.read().pixels.astype(int) - 90).max() <= 3
    assert capfd.readouterr() == ("", "")


def mutated(block: bytes, rng: random.Random) -> bytes:
    """A block with a few bytes changed, or cut short."""
    changed = bytearray(block)
    for _ in range(rng.choice([1, 2, 4, 16])):
        changed[rng.randrange(len(changed))] = rng.choice([0, 1, 255, rng.randrange(256)])
    return bytes(changed[: rng.randrange(len(changed))] if rng.random() < 0.2 else changed)


@pytest.mark.parametrize("tag", [254, 262, 271, 297, 322, 338, 530, 531, 32997, 32998, 33550, 34675, 42113])
def test_tags_that_readers_of_tiff_take_for_its_structure_do_not_get_into_it(tag: int) -> None:
    pixels = np.full((8, 8, 3), 90, np.uint8)
    told = exif.Exif({tag: exif.Value(3, struct.pack("<5H", *range(7, 12))), 0x13B: exif.Value(2, b"Zoe\0")})
    written = encode(Picture(pixels, metadata={"exif-data": told.block()[0]}), ".tif")
    np.testing.assert_array_equal(read(written).pixels, pixels)
    with Image.open(io.BytesIO(written)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
        assert image.getexif()[0x13B] == "Zoe"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_exif_that_cannot_be_read_is_left_out_with_a_word_of_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg_with((0xE1, b"Exif\0\0no")))
    opened = open_picture(path)
    assert opened.notes == (f"{path}: its EXIF data cannot be read and is left out",)
    assert "exif-data" not in open_picture(encode(opened, suffix)).metadata


def test_exif_of_two_bytes_in_webp_is_no_obstacle() -> None:
    source = saved("WEBP", exif=photo_exif())
    at = source.index(b"EXIF")
    (size,) = struct.unpack_from("<I", source, at + 4)
    short = source[:at] + b"EXIF\2\0\0\0II" + source[at + 8 + size + size % 2 :]
    short = short[:4] + struct.pack("<I", len(short) - 8) + short[8:]
    for suffix in SUFFIXES:
        assert read(result(short, suffix)).pixels.shape == (128, 192, 3)


@pytest.mark.parametrize("alpha", [False, True])
def test_exif_goes_into_a_webp_that_has_nothing_else(alpha: bool) -> None:
    pixels = np.full((20, 30, 3), 90, np.uint8)
    picture = Picture(pixels, pixels[..., 0] if alpha else None, metadata={"exif-data": photo_exif().tobytes()})
    with Image.open(io.BytesIO(encode(picture, ".webp"))) as image:
        assert image.getexif()[0x10F] == "ACME"
        assert (image.size, image.mode) == ((30, 20), "RGBA" if alpha else "RGB")


# -- XMP


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("as_elements", [False, True])
def test_xmp_tells_the_size_and_orientation_of_the_result_and_all_else_of_the_photo(
    suffix: str, as_elements: bool
) -> None:
    before = {
        "tiff:ImageWidth": "48",
        "tiff:ImageLength": "32",
        "exif:PixelXDimension": "48",
        "exif:PixelYDimension": "32",
        "tiff:Orientation": "6",
        "exif:SubjectArea": "1",
        "exif:NativeDigest": "36864,40960;AB",
        "photoshop:ColorMode": "4",
        "xmp:Rating": "4",
        "photoshop:City": "Lima &amp; Rom",
        "exif:GPSLatitude": "10,30S",
    }
    if as_elements:
        source = packet(elements="".join(f"<{name}>{value}</{name}>" for name, value in before.items()))
    else:
        source = packet(" ".join(f'{name}="{value}"' for name, value in before.items()))
    told = photo_exif(orientation=6)
    after = properties(xmp_of(result(saved("JPEG", exif=told, xmp=source), suffix)))
    assert after.pop("xmp:CreatorTool").startswith("cnlrn")
    assert after == {
        "tiff:ImageWidth": "128",
        "tiff:ImageLength": "192",
        "exif:PixelXDimension": "128",
        "exif:PixelYDimension": "192",
        "tiff:Orientation": "1",
        "xmp:Rating": "4",
        "photoshop:City": "Lima & Rom",
        "exif:GPSLatitude": "10,30S",
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_said_of_parts_of_the_file_that_are_gone(suffix: str) -> None:
    attributes = (
        'GCamera:MotionPhoto="1" GCamera:MicroVideoOffset="5000" GDepth:Format="RangeInverse" GImage:Mime="image/jpeg" '
        'hdrgm:Version="1.0" HDRGainMap:HDRGainMapVersion="65536" xmpNote:HasExtendedXMP="AB" MiCamera:XMPMeta="x" '
        'dc:source="kept"'
    )
    directory = '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="video/mp4" '
    directory += 'Item:Length="9"/></rdf:li></rdf:Seq></Container:Directory>'
    thumbnails = "<xmp:Thumbnails><rdf:Alt><rdf:li>/9j/</rdf:li></rdf:Alt></xmp:Thumbnails>"
    written = xmp_of(result(saved("JPEG", xmp=packet(attributes, directory + thumbnails)), suffix))
    after = properties(written)
    assert after.pop("xmp:CreatorTool").startswith("cnlrn")
    assert after == {"dc:source": "kept"}
    for word in (b"GCamera", b"hdrgm", b"Container", b"MicroVideo", b"GDepth", b"HDRGainMap"):
        assert word not in written, "not even declared"


def test_extended_xmp_is_left_out_with_a_word_of_it() -> None:
    notes = open_picture(saved("JPEG", xmp=packet('xmpNote:HasExtendedXMP="AB"'))).notes
    assert notes == ("the picture: the extended part of its XMP data, which lies in segments of its own, is left out",)


def test_lengths_of_a_panorama_are_those_of_the_result() -> None:
    lengths = {"CroppedAreaImageWidthPixels": 48, "CroppedAreaImageHeightPixels": 32, "FullPanoWidthPixels": 96}
    lengths |= {"FullPanoHeightPixels": 48, "CroppedAreaLeftPixels": 10, "CroppedAreaTopPixels": 5}
    source = packet(" ".join(f'GPano:{name}="{length}"' for name, length in lengths.items()), "<GPano:ProjectionType/>")
    after = properties(xmp_of(result(saved("JPEG", xmp=source), ".jpg")))
    assert {name: after[f"GPano:{name}"] for name in lengths} == {
        name: str(4 * length) for name, length in lengths.items()
    }
    assert "GPano:ProjectionType" in after


def test_faces_stay_where_they_are_or_go_if_the_picture_was_turned() -> None:
    regions = (
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="48" stDim:h="32" '
        'stDim:unit="pixel"/></mwg-rs:Regions>'
    )
    for orientation in (1, 6):
        source = saved("JPEG", exif=photo_exif(orientation=orientation), xmp=packet(elements=regions))
        written = xmp_of(result(source, ".jpg"))
        dimensions = [part.attrib for part in ElementTree.fromstring(written).iter() if "AppliedTo" in part.tag]
        told = {f"{{{SPACES['stDim']}}}{key}": value for key, value in (("w", "192"), ("h", "128"), ("unit", "pixel"))}
        assert dimensions == ([told] if orientation == 1 else [])


def test_a_crop_that_was_made_is_not_told_to_be_made() -> None:
    crop = 'crs:HasCrop="True" crs:CropTop="0.1" crs:Exposure="1"'
    for applied, kept in (("True", set()), ("False", {"crs:HasCrop", "crs:CropTop"})):
        after = properties(xmp_of(result(saved("JPEG", xmp=packet(f'{crop} crs:AlreadyApplied="{applied}"')), ".jpg")))
        assert after.keys() & {"crs:HasCrop", "crs:CropTop"} == kept
        assert after["crs:Exposure"] == "1"


@pytest.mark.parametrize(
    "source",
    [
        b"no XML at all",
        packet()[:-60],
        packet().replace(b"<x:xmpmeta", b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x:xmpmeta'),
        packet(elements="<dc:a>" * 5_000 + "</dc:a>" * 5_000),
        packet(elements="<dc:a/>" * 250_000),
        b"<a/>",
    ],
    ids=["text", "cut", "document type", "deep", "long", "no RDF"],
)
def test_xmp_that_cannot_be_read_is_left_out_with_a_word_of_it(source: bytes) -> None:
    picture = Picture(np.zeros((8, 8, 3), np.uint8), metadata={"xmp-data": source})
    assert left_out(picture, ".png") == ("the picture: its XMP data cannot be read and is left out",)
    assert "xmp-data" not in open_picture(encode(picture, ".png")).metadata


def test_xmp_in_utf_16_and_padded_is_read() -> None:
    source = packet('dc:source="Zo\xeb"')
    for block in (source.decode().encode("utf-16"), source.decode().encode("utf-16-be"), source + b" \0\0"):
        back = open_picture(encode(Picture(np.zeros((8, 8, 3), np.uint8), metadata={"xmp-data": block}), ".png"))
        assert properties(back.metadata["xmp-data"]) == {"dc:source": "Zo\xeb"}


def test_line_breaks_in_xmp_are_kept() -> None:
    written = xmp_of(
        result(saved("JPEG", xmp=packet('dc:source="one&#10;two"', "<dc:rights>a\nb</dc:rights>")), ".png")
    )
    assert properties(written)["dc:source"] == "one\ntwo"
    assert properties(written)["dc:rights"] == "a\nb"


def test_of_large_xmp_all_but_the_largest_property_goes_into_jpeg_and_this_is_said() -> None:
    picture = enlarged(saved("WEBP", xmp=packet(f'dc:source="kept" dc:relation="{"w" * 70_000}"')))
    assert properties(xmp_of(encode(picture, ".jpg")))["dc:source"] == "kept"
    assert left_out(picture, ".jpg") == ("the picture: XMP dc:relation is too large for JPEG and is left out",)
    for suffix in (".png", ".webp", ".tif", ".avif"):
        assert len(properties(xmp_of(encode(picture, suffix)))["dc:relation"]) == 70_000
        assert left_out(picture, suffix) == ()


def test_xmp_behind_the_samples_of_a_png_and_in_hexadecimal_text_is_found() -> None:
    plain = saved("PNG")
    end = plain.index(b"IEND") - 4
    behind = plain[:end] + chunk(b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + packet('dc:source="kept"')) + plain[end:]
    hexadecimal = "\nxmp\n    99\n" + packet('dc:source="kept"').hex()
    info = PngInfo()
    info.add_text("Raw profile type xmp", hexadecimal, zip=True)
    for source in (behind, saved("PNG", pnginfo=info)):
        written = result(source, ".png")
        assert properties(xmp_of(written))["dc:source"] == "kept"
        assert written.count(b"XML:com.adobe.xmp") == 1
        assert b"Raw profile" not in written


# -- IPTC


def resource(number: int, content: bytes) -> bytes:
    return struct.pack(">4sHHI", b"8BIM", number, 0, len(content)) + content + bytes(len(content) % 2)


KEYWORD, PREVIEW = b"\x1c\x02\x19\0\x03cat", b"\x1c\x02\xca\0\x04view"


def test_iptc_is_kept_in_jpeg_and_tiff_without_thumbnails_and_elsewhere_left_out_with_a_word_of_it() -> None:
    block = b"Photoshop 3.0\0" + resource(1036, b"thumbnail") + resource(1028, KEYWORD + PREVIEW)
    block += resource(1061, b"digest of it....") + resource(1058, b"exif") + resource(1034, b"\1")
    picture = enlarged(jpeg_with((0xED, block)))
    of_jpeg = b"Photoshop 3.0\0" + resource(1028, KEYWORD) + resource(1034, b"\1")
    assert read(encode(picture, ".jpg")).metadata["iptc-data"] == of_jpeg
    of_tiff = encode(picture, ".tif")
    assert read(of_tiff).metadata["iptc-data"] == KEYWORD
    assert read(encode(read(of_tiff), ".jpg")).metadata["iptc-data"] == b"Photoshop 3.0\0" + resource(1028, KEYWORD)
    for suffix, name in ((".png", "PNG"), (".webp", "WebP"), (".avif", "AVIF")):
        assert "iptc-data" not in read(encode(picture, suffix)).metadata
        assert left_out(picture, suffix) == (f"the picture: its IPTC data does not go into {name} and is left out",)


# -- texts


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_text(keyword: str, text: str) -> bytes:
    return chunk(b"tEXt", f"{keyword}\0{text}".encode("latin-1"))


def test_the_texts_of_a_png_are_kept_in_png_but_for_false_ones() -> None:
    info = PngInfo()
    info.add_text("Title", "Gr\xfc\xdfe")
    info.add_itxt("Author", "\u65e5\u672c", "ja", "\u8457\u8005", zip=True)
    info.add_text("Comment", "long " * 100, zip=True)
    info.add_text("exif:PixelXDimension", "48")
    info.add_text("Thumb::Image::Width", "48")
    picture = enlarged(saved("PNG", pnginfo=info))
    with Image.open(io.BytesIO(encode(picture, ".png"))) as image:
        image.load()
        texts = {key: value for key, value in image.text.items() if not key.startswith("XML")}  # type: ignore[attr-defined]
    assert texts == {"Title": "Gr\xfc\xdfe", "Author": "\u65e5\u672c", "Comment": "long " * 100}
    assert texts["Author"].lang == "ja"
    assert left_out(picture, ".jpg") == ("the picture: its PNG texts do not go into JPEG and are left out",)


def test_the_comment_of_a_jpeg_is_kept_in_jpeg() -> None:
    with Image.open(io.BytesIO(result(saved("JPEG", comment=b"a comment"), ".jpg"))) as image:
        assert image.info["comment"] == b"a comment"
    of_encoder = result(saved("JPEG", comment=b"CREATOR: gd-jpeg v1.0 (using IJG JPEG v62), quality = 85\n"), ".jpg")
    assert b"gd-jpeg" not in of_encoder


# -- resolution


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_resolution_is_kept_and_none_is_made_up(kind: str, suffix: str) -> None:
    told = Image.Exif()
    told.update({0x11A: 300.0, 0x11B: 150.0, 0x128: 2})
    options = {"exif": told} if kind == "WEBP" else {"dpi": (300, 150)}
    written = result(saved(kind, **options), suffix)
    assert open_picture(written).resolution == pytest.approx((300 / 25.4, 150 / 25.4), rel=1e-3)
    written = result(saved(kind), suffix)
    assert open_picture(written).resolution == (1, 1)
    with Image.open(io.BytesIO(written)) as image:
        assert image.info.get("dpi", (1, 1)) == (1, 1)
        assert image.getexif().get(0x128, 1) == 1


# -- results


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("strip", [False, True])
def test_results_and_only_they_are_marked_in_every_format_stripped_or_not(
    tmp_path: Path, suffix: str, strip: bool
) -> None:
    source, target = tmp_path / "photo.jpg", tmp_path / f"result{suffix}"
    source.write_bytes(saved("JPEG", exif=photo_exif(), xmp=packet('xmp:CreatorTool="Darkroom 7"'), dpi=(300, 300)))
    assert not open_picture(source).is_result
    Restorer(write_tiny_model(tmp_path / "tiny.onnx")).restore(source, output=target, strip=strip)
    opened = open_picture(target)
    assert opened.is_result
    assert opened.read().is_result
    assert opened.resolution == pytest.approx((300 / 25.4, 300 / 25.4), rel=1e-3)
    tool = properties(xmp_of(target.read_bytes()))["xmp:CreatorTool"]
    with Image.open(target) as image:
        if strip:
            assert tool.startswith("cnlrn")
            assert not image.getexif().get_ifd(0x8769)
            assert 0x10F not in image.getexif()
            assert properties(xmp_of(target.read_bytes())).keys() == {"xmp:CreatorTool"}
        else:
            assert tool.startswith("cnlrn")
            assert tool.endswith("; Darkroom 7")
            assert image.getexif()[0x131] == "Camera 1.0", "Software is the camera's"


def test_a_result_of_a_result_is_marked_once() -> None:
    first = result(saved("JPEG", xmp=packet('xmp:CreatorTool="Darkroom 7"')), ".png", 2)
    once, twice = (properties(xmp_of(data))["xmp:CreatorTool"] for data in (first, result(first, ".jpg", 2)))
    assert once == twice
    assert once.count("cnlrn") == 1


def test_pictures_of_other_origin_are_not_marked() -> None:
    for tool in ("cnlrnish 1", "Darkroom; cnlrn 1", ""):
        assert not open_picture(saved("JPEG", xmp=packet(f'xmp:CreatorTool="{tool}"'))).is_result
    assert not open_picture(encode(Picture(np.zeros((4, 4, 3), np.uint8)), ".png")).is_result


@pytest.mark.parametrize(
    ("kind", "own", "written"),
    [
        ("JPEG", ".jpg", ".jpg"),
        ("PNG", ".png", ".png"),
        ("WEBP", ".webp", ".webp"),
        ("TIFF", ".tif", ".tif"),
        ("AVIF", ".avif", ".avif"),
        ("BMP", ".bmp", ".png"),
    ],
)
def test_a_picture_tells_its_format_and_so_that_of_its_result(kind: str, own: str, written: str) -> None:
    opened = open_picture(saved(kind))
    assert (opened.format, opened.read().format) == (own, own)
    assert images.result_format(own) == written


def test_an_array_has_no_format_and_its_result_is_a_png() -> None:
    assert Picture(np.zeros((4, 4, 3), np.uint8)).lazy().format is None
    assert images.result_format(None) == ".png"


def test_jpeg_is_written_with_all_its_colours() -> None:
    with Image.open(io.BytesIO(encode(Picture(np.zeros((16, 16, 3), np.uint8)), ".jpg"))) as image:
        assert [part[1:3] for part in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]
        assert max(image.quantization[0]) <= 12, "quality 95"  # type: ignore[attr-defined]


def test_what_is_left_out_of_a_result_is_among_its_notes(tmp_path: Path) -> None:
    told = photo_exif()
    told.get_ifd(0x8769)[0x927C] = b"n" * 70_000
    restorer = Restorer(write_tiny_model(tmp_path / "tiny.onnx"))
    opened = open_picture(saved("WEBP", exif=told))
    with restorer.compute(opened, restorer.plan(opened, Size()), target=tmp_path / "out.jpg") as restored:
        assert restored.notes == ("the picture: EXIF MakerNote is too large for JPEG and is left out",)
    with restorer.compute(opened, restorer.plan(opened, Size()), target=tmp_path / "out.png") as restored:
        assert restored.notes == ()


def test_a_file_is_as_other_libvips_programs_expect_it() -> None:
    told = photo_exif()
    for suffix in SUFFIXES:
        image = pyvips.Image.new_from_buffer(result(saved("JPEG", exif=told), suffix), "")
        assert image.get_typeof("xmp-data")
        assert suffix == ".tif" or image.get("exif-ifd0-Make").startswith("ACME")
