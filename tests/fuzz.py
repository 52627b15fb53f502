"""A corpus of damaged picture files, the same every time, and a program that restores each and tells what came of it.

`corpus` damages small valid files of every format that is read; `python fuzz.py FOLDER MODEL` restores the files of a
folder one after the other and prints a line for each before and after, so that whatever kills it can be named.
"""

import io
import random
import signal
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms

MAX_PIXELS = 20_000
SECONDS = 10  # for one file, on a busy machine

_WIDTH, _HEIGHT = 19, 14
_HEIC = Path(__file__).parent / "images" / "data"
_NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_HUGE = (0x3FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF)


def seeds() -> dict[str, bytes]:
    """Small valid files by name, one or more of every format that is read."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    ramp = np.stack([x * 12, y * 16, (x + y) * 7, 255 - x * 10], axis=2).astype(np.uint8)
    noisy = (ramp // 2 + rng.integers(0, 100, ramp.shape)).astype(np.uint8)
    rgb, rgba = Image.fromarray(noisy[..., :3]), Image.fromarray(noisy)
    gray = Image.fromarray(noisy[..., 0])
    palette = rgb.quantize(16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:24] + bytes(12) + profile[36:]  # without the time of its making
    exif = Image.Exif()
    exif.update({0x112: 6, 0x10E: "a lighthouse", 0x11A: 300.0, 0x11B: 300.0})
    said: dict[str, Any] = {
        "exif": exif,
        "icc_profile": profile,
        "xmp": b'<x tiff:Orientation="6"/>',
        "dpi": (300, 300),
    }

    def pillow(image: Image.Image, kind: str, **options: Any) -> bytes:
        file = io.BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    def vips(saver: str, samples: Any = noisy[..., :3], **options: Any) -> bytes:
        data: bytes = getattr(pyvips.Image.new_from_array(samples), saver)(**options)
        return data

    deep = noisy.astype(np.uint16) * 257
    floats = (noisy[..., :3] / 255).astype(np.float32)
    return {
        "rgb.png": pillow(rgb, "png", icc_profile=profile, exif=exif),
        "rgba.png": pillow(rgba, "png"),
        "gray.png": pillow(gray, "png"),
        "bit.png": pillow(rgb.convert("1"), "png"),
        "palette.png": pillow(palette, "png", transparency=3),
        "deep.png": vips("pngsave_buffer", deep, bitdepth=16),
        "interlaced.png": vips("pngsave_buffer", interlace=True),
        "rgb.jpg": pillow(rgb, "jpeg", **said),
        "gray.jpg": pillow(gray, "jpeg"),
        "cmyk.jpg": pillow(rgb.convert("CMYK"), "jpeg"),
        "progressive.jpg": pillow(rgb, "jpeg", progressive=True),
        "lossy.webp": pillow(rgb, "webp", **said),
        "lossless.webp": pillow(rgb, "webp", lossless=True),
        "alpha.webp": pillow(rgba, "webp"),
        "strips.tif": pillow(rgb, "tiff", tiffinfo={278: 4}, compression="raw"),
        "tiles.tif": vips("tiffsave_buffer", tile=True, tile_width=16, tile_height=16, compression="deflate"),
        "big.tif": vips("tiffsave_buffer", bigtiff=True, compression="lzw"),
        "deep.tif": vips("tiffsave_buffer", deep, compression="deflate", predictor="horizontal"),
        "float.tif": vips("tiffsave_buffer", floats, compression="lzw"),
        "jpeg.tif": vips("tiffsave_buffer", compression="jpeg"),
        "bit.tif": pillow(rgb.convert("1"), "tiff", compression="group4"),
        "palette.tif": pillow(palette, "tiff"),
        "cmyk.tif": pillow(rgb.convert("CMYK"), "tiff", compression="packbits"),
        "rgb.avif": pillow(rgb, "avif", **said),
        "rgba.avif": pillow(rgba, "avif"),
        "deep.avif": vips("heifsave_buffer", deep[..., :3], compression="av1", bitdepth=12, effort=0),
        "bit.bmp": pillow(rgb.convert("1"), "bmp"),
        "gray.bmp": pillow(gray, "bmp"),
        "palette.bmp": pillow(palette, "bmp"),
        "rgb.bmp": pillow(rgb, "bmp"),
        "padded.bmp": pillow(rgba, "bmp"),
        "rgba.bmp": rgba_bmp(noisy),
        "rle.bmp": _rle_bmp(palette),
        "palette.gif": pillow(palette, "gif"),
        **{file.name: file.read_bytes() for file in sorted(_HEIC.glob("*.heic"))},
    }


def corpus(seed: int = 0, each: int = 18) -> Iterator[tuple[str, bytes]]:
    """Names and contents, all different: what is no picture at all, and damaged copies of every seed.

    `each`: how many of a seed, besides those that claim to be huge.
    """
    seen = set()
    for name, content in _candidates(seed, each):
        if content not in seen:
            yield name, content
        seen.add(content)


def _candidates(seed: int, each: int) -> Iterator[tuple[str, bytes]]:
    yield from (
        ("empty.png", b""),
        ("text.jpg", b"Dear diary,\ntoday I renamed you.\n" * 20),
        ("zeros.bmp", bytes(500)),
        ("letters.bmp", b"BM" + b"A" * 300),
        ("noise.webp", random.Random(seed).randbytes(999)),
        ("png.tif", b"\x89PNG\r\n\x1a\n"),
        ("jpeg.png", b"\xff\xd8\xff"),
        ("tiff.jpg", b"II*\0"),
        ("bmp.avif", b"BM"),
        ("riff.webp", b"RIFF\xff\xff\xff\xffWEBP"),
        ("ftyp.avif", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif"),
    )
    suffixes = ("png", "jpg", "webp", "tif", "avif", "heic", "bmp", "gif")
    for name, data in seeds().items():
        rng = random.Random(f"{seed} {name}")
        stem, suffix = name.split(".")
        yield f"{stem}-as-{suffix}.{rng.choice([other for other in suffixes if other != suffix])}", data
        for size in _HUGE:
            for i, huge in enumerate(_claiming(suffix, data, size)):
                yield f"{stem}-claims-{size}-{i}.{suffix}", huge
        for i in range(each):
            damage = (_cut, _flip, _overwrite, _overwrite, _splice, _shuffle)[i % 6]
            yield f"{stem}{i}-{damage.__name__[1:]}.{suffix}", damage(data, suffix, rng)


def _cut(data: bytes, suffix: str, rng: random.Random) -> bytes:
    return data[: rng.choice((rng.randrange(1, 40), rng.randrange(1, len(data)), len(data) - rng.randrange(1, 9)))]


def _flip(data: bytes, suffix: str, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 50))):
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return _checked(bytes(damaged), suffix)


def _overwrite(data: bytes, suffix: str, rng: random.Random) -> bytes:
    """A number in the header, or in what is at the end, where a TIFF has its directory, becomes an odd one."""
    size = rng.choice((1, 2, 4))
    at = rng.choice((rng.randrange(2, min(160, len(data) - size)), rng.randrange(len(data) // 2, len(data) - size)))
    number = (rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)).to_bytes(size, rng.choice(("little", "big")))
    return _checked(data[:at] + number + data[at + size :], suffix)


def _splice(data: bytes, suffix: str, rng: random.Random) -> bytes:
    """A run of bytes is left out, doubled, or comes from elsewhere in the file."""
    start = rng.randrange(2, len(data))
    length = rng.choice((1, 4, 12, rng.randrange(1, len(data))))
    other = rng.randrange(len(data))
    inserted = rng.choice((b"", data[start : start + length] * 2, data[other : other + length]))
    return data[:start] + inserted + data[start + length :]


def _shuffle(data: bytes, suffix: str, rng: random.Random) -> bytes:
    """The format's own pieces (chunks, segments, boxes, directory entries) lose their order or number."""
    first, *pieces = _pieces(data, suffix)
    a, b = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    match rng.randrange(3):
        case 0:
            pieces[a], pieces[b] = pieces[b], pieces[a]
        case 1:
            pieces.insert(b, pieces[a])
        case _:
            del pieces[a]
    return first + b"".join(pieces)


def _pieces(data: bytes, suffix: str) -> list[bytes]:
    """The file cut where its format has joints; the first piece is what comes before them."""
    starts = {
        "png": (8, 0),
        "jpg": (2, 0),
        "webp": (12, 0),
        "avif": (0, 0),
        "heic": (0, 0),
        "bmp": (14, 4),
        "gif": (13, 40),
    }
    start, step = _tiff_directory(data) if suffix == "tif" else starts[suffix]
    cuts = [start]
    while cuts[-1] < len(data):
        at = cuts[-1]
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if suffix == "png":
            step = size + 12
        elif suffix == "jpg":
            step = len(data) if data[at + 1] == 0xDA else int.from_bytes(data[at + 2 : at + 4]) + 2
        elif suffix == "webp":
            step = (int.from_bytes(data[at + 4 : at + 8], "little") + 9) // 2 * 2
        elif suffix in ("avif", "heic"):  # into the boxes that hold others
            step = {b"meta": 12, b"iprp": 8, b"ipco": 8}.get(name, size)
        cuts.append(at + step)
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _claiming(suffix: str, data: bytes, size: int) -> Iterator[bytes]:
    """Copies that say to be `size` pixels wide or high, or both, as far as the format has room for it."""
    places = {
        "png": [(16, ">I"), (20, ">I")],
        "bmp": [(18, "<I"), (22, "<I")],
        "jpg": [(at + 5 + 2 * side, ">H") for side in (1, 0) for at in _found(data, b"\xff\xc0", b"\xff\xc2")],
        "tif": list(_tiff_sides(data)) if suffix == "tif" else [],
        "webp": [(at + 8 + offset, "<H") for at in _found(data, b"VP8X") for offset in (4, 7)]
        + [(at + 8 + offset, "<H") for at in _found(data, b"VP8 ") for offset in (6, 8)]
        + [(at + 9, "<I") for at in _found(data, b"VP8L")],
        "avif": [(at + 8 + 4 * side, ">I") for at in _found(data, b"ispe") for side in (0, 1)],
        "heic": [(at + 8 + 4 * side, ">I") for at in _found(data, b"ispe") for side in (0, 1)],
        "gif": [(6, "<H"), (8, "<H")],
    }[suffix]
    everything = data
    for at, form in places:
        limit = (1 << 8 * struct.calcsize(form)) - 1
        number = struct.pack(form, min(size, limit))
        yield _checked(data[:at] + number + data[at + len(number) :], suffix)
        everything = everything[:at] + number + everything[at + len(number) :]
    yield _checked(everything, suffix)


def _found(data: bytes, *marks: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(marks, at)]


def _tiff_sides(data: bytes) -> Iterator[tuple[int, str]]:
    """Where the directory of a little-endian TIFF has width, height, and sides of strips or tiles, and their form."""
    first, entry = _tiff_directory(data)
    for at in range(first, len(data) - entry, entry):
        tag, kind = struct.unpack_from("<HH", data, at)
        if tag in (256, 257, 278, 322, 323):
            yield at + entry // 2 + 2, "<H" if kind == 3 else "<I"


def _tiff_directory(data: bytes) -> tuple[int, int]:
    """Where the first entry of a little-endian TIFF's directory is, and how long each is."""
    if data[2] == 43:
        return struct.unpack_from("<Q", data, 8)[0] + 8, 20
    return struct.unpack_from("<I", data, 4)[0] + 2, 12


def _checked(data: bytes, suffix: str) -> bytes:
    """With right checksums, so that a PNG is not refused for those alone."""
    if suffix != "png":
        return data
    pieces = _pieces(data, suffix)
    return pieces[0] + b"".join(
        piece[:-4] + zlib.crc32(piece[4:-4]).to_bytes(4) if len(piece) >= 12 else piece for piece in pieces[1:]
    )


def _rle_bmp(palette: Image.Image) -> bytes:
    """A run-length encoded BMP, which Pillow reads and does not write."""
    indices = np.asarray(palette)[::-1]
    rows = b"".join(b"".join(bytes((1, index)) for index in row) + b"\0\0" for row in indices) + b"\0\1"
    colours = bytes(value for i in range(256) for value in (i, 255 - i, i // 2, 0))
    header = struct.pack("<IiiHHIIiiII", 40, _WIDTH, _HEIGHT, 1, 8, 1, len(rows), 0, 0, 256, 0)
    start = 14 + len(header) + len(colours)
    return struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + header + colours + rows


def rgba_bmp(samples: NDArray[np.uint8]) -> bytes:
    """A BMP whose header gives alpha a mask, which Pillow reads and does not write."""
    height, width, _ = samples.shape
    header = struct.pack("<IiiHHIIiiII", 56, width, height, 1, 32, 3, samples.size, 0, 0, 0, 0)
    header += struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    return struct.pack("<2sIHHI", b"BM", 70 + samples.size, 0, 0, 70) + header + samples[::-1].tobytes()


def main(folder: Path, model: Path) -> None:
    """Restore every file of `folder` into the folder "results" in it; a hang ends the program by SIGALRM."""
    from cnlrn import CnlrnError, Restorer

    restorer = Restorer(model, threads=1, max_pixels=MAX_PIXELS)
    for file in sorted(path for path in folder.iterdir() if path.is_file()):
        print(file.name, end=" ", flush=True)
        signal.alarm(SECONDS)
        try:
            result = restorer.restore(file, 2, output=folder / "results" / f"{file.name}.png")
            print("restored", result.name)
        except CnlrnError as error:
            print("refused", repr(str(error)))
    signal.alarm(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
