"""What a file can do to its reader: change while it is read, lie about its size, be damaged, or never end."""

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
from PIL import Image
from tiny_model import write_tiny_model

from cnlrn.errors import CnlrnError
from cnlrn.images import Spool, as_array, open_picture, read
from cnlrn.images.codecs import jpeg_header, png_chunks, tiff
from cnlrn.images.limits import check_decoder, max_bytes
from cnlrn.images.source import content_of, read_stream
from cnlrn.restoration.restorer import Restorer

KINDS = ["png", "jpeg", "webp", "tiff", "avif", "bmp"]


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def error_of(source: Path | bytes, **options: Any) -> str:
    with pytest.raises(CnlrnError) as caught:
        open_picture(source, **options).read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


# -- files that change


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_after_it_was_opened_is_read_as_it_was(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "picture"
    path.write_bytes(saved(noise(300, 400), kind))
    code = """
import os, sys
from cnlrn.images import open_picture
whole = open_picture(sys.argv[1]).read().pixels
picture = open_picture(sys.argv[1])
os.truncate(sys.argv[1], 0)
assert (picture.read().pixels == whole).all()
"""
    done = python(code, path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_rewritten_all_the_time_fails_or_is_read_and_never_kills_the_process(
    tmp_path: Path, kind: str
) -> None:
    path, data = tmp_path / "picture", saved(noise(120, 160), kind)
    path.write_bytes(data)
    code = """
import sys
from cnlrn.errors import CnlrnError
from cnlrn.images import read
for _ in range(60):
    try:
        read(sys.argv[1])
    except CnlrnError:
        pass
"""
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            with path.open("wb") as file:
                file.write(data[: len(data) // 2])
            os.truncate(path, 10)
            path.write_bytes(data)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        done = python(code, path)
    finally:
        stop.set()
        writer.join()
    assert (done.returncode, done.stderr) == (0, "")


class Endless(io.BytesIO):
    """A stream of zeros that counts what was asked of it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size
        self.given = 0

    def read(self, size: int | None = -1) -> bytes:
        wanted = min(size or 0, self.left)
        self.left -= wanted
        self.given += wanted
        return bytes(wanted)


def test_a_stream_that_never_ends_is_given_up_at_the_limit() -> None:
    endless = Endless(10**15)
    with pytest.raises(CnlrnError, match=r"the picture has more than 1074 MB, the limit for a picture file"):
        open_picture(endless)
    assert endless.given <= max_bytes(1) + 2**20


def test_a_large_file_is_held_outside_the_memory_and_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(b"start")
        file.seek(80 * 2**20)
        file.write(b"end")
    content = content_of(path, 1)
    assert not isinstance(content, bytes)
    assert content[:6] == b"start\0"
    assert content[-4:] == b"\0end"
    assert len(content) == path.stat().st_size
    assert [found.name for found in tmp_path.iterdir()] == ["large"]  # the copy has no name


def test_a_stream_is_read_from_where_it_is() -> None:
    data = saved(noise(8, 9), "png")
    stream = io.BytesIO(b"before" + data)
    stream.seek(6)
    assert open_picture(stream).read().pixels.shape == (8, 9, 3)
    assert read_stream(io.BytesIO(data), 1, "x") == data


# -- limits


def test_a_file_of_more_bytes_than_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.bmp"
    path.write_bytes(b"BM")
    os.truncate(path, 2**30 + 1)
    assert "sparse.bmp has more than 1074 MB, the limit for a picture file" in error_of(path)
    assert max_bytes(10**8) == max_bytes(100) == 2**30
    assert max_bytes(3 * 10**8) == 3 * 2**30


def test_a_decoder_that_holds_everything_is_not_asked_for_more_than_the_limit() -> None:
    check_decoder(1000, 1000, 25, 10**8, "x")
    with pytest.raises(CnlrnError, match=r"x has 10000x10000 pixels.* 1\.8 GB of memory.*--max-pixels 167638064"):
        check_decoder(10000, 10000, 18, 10**8, "x")
    check_decoder(10000, 10000, 18, 167638064, "x")


def peak_megabytes(path: Path) -> float:
    """The memory of a process that decodes a file, beyond that of one that has only imported the package."""
    code = """
import resource, sys
from cnlrn.images import open_picture
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    open_picture(sys.argv[1]).decode()
except Exception as error:
    print(error, file=sys.stderr)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * (1 if sys.platform == "darwin" else 1024) / 1e6)
"""
    done = python(code, path)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


def sparse_bmp(path: Path, size: int) -> None:
    head = struct.pack("<2sIHHI", b"BM", 54 + 30000, 0, 0, 54)
    path.write_bytes(head + struct.pack("<IiiHHIIiiII", 40, 100, 100, 1, 24, 0, 30000, 0, 0, 0, 0))
    os.truncate(path, size)


def test_of_a_long_bmp_only_the_picture_is_held(tmp_path: Path) -> None:
    sparse_bmp(tmp_path / "sparse.bmp", 300 * 2**20)
    assert peak_megabytes(tmp_path / "sparse.bmp") < 200
    assert read(tmp_path / "sparse.bmp").pixels.shape == (100, 100, 3)


def test_a_bmp_that_claims_more_than_it_holds_is_damaged() -> None:
    data = bytearray(saved(noise(10, 10), "bmp"))
    data[18:22] = (5000).to_bytes(4, "little")
    assert error_of(bytes(data)) == "the picture is damaged or cut short"


def test_counts_of_a_tiff_do_not_become_memory(tmp_path: Path) -> None:
    entries = [(256, 3, 1, 4), (257, 3, 1, 4), (273, 4, 60_000_000, 100), (279, 4, 60_000_000, 100)]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    path = tmp_path / "counts.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory)
    os.truncate(path, 300 * 10**6)
    assert peak_megabytes(path) < 300
    assert "damaged or cut short" in error_of(path)


@pytest.mark.parametrize(("height", "width"), [(5, 7), (2**20 + 5, 1), (2**21, 2)])
def test_rows_on_disk_of_any_shape_take_little_memory_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    monkeypatch.setattr("cnlrn.images.picture._IN_MEMORY", 0)
    rows = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    with Spool(height, width, 3, np.uint8, tmp_path / "target.png") as spool:
        spool.put(0, 0, rows)
        np.testing.assert_array_equal(as_array(spool.image()), rows)
    assert sum(map(len, tiff.ends(height, width, 3, np.dtype(np.uint8)))) < 2**20 * 16 + 1000


# -- containers


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_words_inside_a_chunk_or_a_box_are_not_taken_for_its_name() -> None:
    data = saved(noise(6, 5), "png")
    assert read(data[:33] + chunk(b"tEXt", b"Comment\0acTL") + data[33:]).pixels.shape == (6, 5, 3)
    avif = saved(noise(64, 64), "avif") + struct.pack(">I4s", 24, b"free") + b"ispe" + bytes(4) + b"\xff" * 8
    assert read(avif).pixels.shape == (64, 64, 3)


def test_chunks_end_where_the_file_does() -> None:
    data = saved(noise(6, 5), "png")
    assert [kind for kind, _ in png_chunks.chunks(data)][::2] == [b"IHDR", b"IEND"]
    assert [kind for kind, _ in png_chunks.chunks(data[:-3])] == [b"IHDR", b"IDAT"]
    assert list(png_chunks.chunks(data[:10])) == []


# -- damage


def flipped(data: bytes, start: int, count: int) -> bytes:
    damaged = bytearray(data)
    for at in np.random.default_rng(1).integers(start, len(data) - 20, count):
        damaged[at] ^= 0x10
    return bytes(damaged)


def damaged_files() -> dict[str, bytes]:
    soft = noise(20, 30).resize((300, 200))
    png, progressive = saved(noise(200, 300), "png"), saved(soft, "jpeg", progressive=True)
    jpeg = saved(soft, "jpeg")
    wrong = bytearray(png)
    wrong[29] ^= 1
    return {
        "png cut": png[: len(png) // 2],
        "png header checksum": bytes(wrong),
        "png samples": flipped(png, 1000, 3),
        "jpeg cut": jpeg[: len(jpeg) // 2],
        "jpeg samples": flipped(jpeg, 1000, 30),
        "progressive jpeg cut": progressive[: len(progressive) // 2],
        "progressive jpeg samples": flipped(progressive, 1000, 30),
        "bmp cut": saved(noise(200, 300), "bmp")[:-5000],
    }


@pytest.mark.parametrize(("name", "data"), damaged_files().items(), ids=damaged_files())
def test_a_damaged_picture_is_refused_or_what_is_readable_is_kept_with_a_word_of_it(name: str, data: bytes) -> None:
    assert error_of(data) == "the picture is damaged or cut short"
    kept = open_picture(data, damaged="keep")
    assert (kept.width, kept.height) == (300, 200)
    assert kept.damage == "the picture is damaged or cut short; what can be read of it is kept"
    assert kept.samples().std() > 20


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_said_of_a_whole_picture(kind: str) -> None:
    assert open_picture(saved(noise(30, 40), kind), damaged="keep").damage is None


def faulty_headers() -> dict[str, bytes]:
    jpeg = saved(noise(50, 60), "jpeg")
    tables, scan = jpeg.index(b"\xff\xc4"), jpeg.index(b"\xff\xda")
    length = int.from_bytes(jpeg[scan + 2 : scan + 4])
    return {
        "bytes between segments": jpeg[:tables] + b"\1\2\3" + jpeg[tables:],
        "zeros behind a marker": jpeg[:tables] + b"\xff\0\xff\xff" + jpeg[tables:],
        "version": jpeg.replace(b"JFIF\0\1", b"JFIF\0\7", 1),
        "scan parameters": jpeg[: scan + 2 + length - 3] + bytes(3) + jpeg[scan + 2 + length :],
        "bytes before the end": jpeg[:-2] + b"\0\0\0" + jpeg[-2:],
        "bytes behind the end": jpeg + b"\0\0\0",
    }


@pytest.mark.parametrize(("name", "data"), faulty_headers().items(), ids=faulty_headers())
def test_a_jpeg_with_a_harmless_fault_is_read_in_full(name: str, data: bytes) -> None:
    np.testing.assert_array_equal(read(data).pixels, read(saved(noise(50, 60), "jpeg")).pixels)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_faults_is_not_copied(progressive: bool) -> None:
    data = saved(noise(50, 60), "jpeg", progressive=progressive)
    assert jpeg_header.mended(data) is data
    for length in range(2, 700, 7):
        jpeg_header.mended(data[:length])


# -- words


def test_reasons_of_several_threads_are_not_mixed() -> None:
    files = damaged_files()
    messages: list[str] = []

    def fail(data: bytes) -> None:
        for _ in range(5):
            messages.append(error_of(data))

    threads = [threading.Thread(target=fail, args=(data,)) for data in files.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(messages) == {"the picture is damaged or cut short"}
    assert len(messages) == 5 * len(files)


def test_a_full_folder_of_temporary_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    small = open_picture(saved(Image.new("RGB", (7000, 7000)), "png"))  # libvips writes more than 100 MB to a file
    message = r"the picture is so large that it needs a temporary file.*{} \(File too large\).*TMPDIR"
    with room_for(2**20), pytest.raises(CnlrnError, match=message.format(tmp_path)):
        small.decode()
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(70 * 2**20)
        file.seek(69 * 2**20)
        file.write(b"end")
    with room_for(2**20), pytest.raises(CnlrnError, match=r"large\.png is so large .*\(File too large\)"):
        open_picture(large)
    assert [path.name for path in tmp_path.iterdir()] == ["large.png"]


def test_only_sentences_of_ours_reach_the_terminal(tmp_path: Path) -> None:
    files = damaged_files()
    for number, data in enumerate(files.values()):
        (tmp_path / f"{number}.png").write_bytes(data)
    command = [sys.executable, "-m", "cnlrn", "restore", str(tmp_path), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = sorted(done.stderr.splitlines())
    assert lines == [f"cnlrn: {tmp_path}/{number}.png is damaged or cut short" for number in range(len(files))]
    assert done.returncode == 1


def test_a_restorer_keeps_what_is_readable_and_warns_of_it(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    path.write_bytes(damaged_files()["jpeg cut"])
    model = write_tiny_model(tmp_path / "tiny.onnx")
    with pytest.raises(CnlrnError, match=r"cut\.jpg is damaged or cut short"):
        Restorer(model).restore(path, 2)
    with pytest.warns(UserWarning, match=r"cut\.jpg is damaged or cut short; what can be read of it is kept"):
        assert read(Restorer(model, damaged="keep").restore(path, 2)).pixels.shape == (400, 600, 3)
    with pytest.raises(CnlrnError, match="damaged must be 'refuse' or 'keep'"):
        Restorer(model, damaged="maybe")  # type: ignore[arg-type]


# -- work


def tiff_of_many(pages: int, entries: int) -> bytes:
    """Directories one after the other, each of a small version of nothing, with entries that mean nothing."""
    packed = struct.pack("<HHII", 254, 4, 1, 1)
    packed += b"".join(struct.pack("<HHII", 40000 + number, 4, 1, 0) for number in range(entries))
    size = 2 + len(packed) + 4
    nexts = [8 + size * (page + 1) for page in range(pages - 1)]
    return (
        b"II*\0"
        + struct.pack("<I", 8)
        + b"".join(struct.pack("<H", entries + 1) + packed + struct.pack("<I", following) for following in [*nexts, 0])
    )


def test_the_entries_of_all_directories_of_a_tiff_are_limited() -> None:
    assert "damaged or cut short (its directories have too many entries)" in error_of(tiff_of_many(300, 1000))
    assert "it has no size" in error_of(tiff_of_many(150, 1000))  # as many as are read
