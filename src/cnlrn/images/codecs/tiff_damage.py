"""Damage in the coded samples of a TIFF that libvips does not see, since libtiff stops where a strip or tile is full.

Sources: TIFF 6.0 (LZW, PackBits), TIFF Technical Note 2 (JPEG) and RFC 1950 (the sums of deflate).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from cnlrn.images.codecs import coded, jpeg_damage
from cnlrn.images.codecs import tiff_directory as tags
from cnlrn.images.codecs.tiff_directory import Damaged, Page, pieces

_PART = 2**16  # bytes
_MOST = 2000  # strips or tiles that are looked at
_LARGEST = 2**26  # bytes of a strip or tile, not coded
_TABLES = 347  # JPEGTables


def check(page: Page) -> None:
    """Find out what can be found out of the strips or tiles of a page; of LZW, PackBits and JPEG of 2,000 at most.

    Raises:
        Damaged: a sum of deflate is another, or what is coded by LZW, PackBits or JPEG does not end where it has to.
    """
    if page.compression in tags.DEFLATE:
        _check_sums(page)
    elif page.compression in (tags.LZW, tags.PACKBITS) and page.subsampling == (1, 1):
        _check_lengths(page)
    elif page.compression == tags.JPEG:
        _check_jpeg(page)


def _check_sums(page: Page) -> None:
    """libtiff does not look at sums. What has none behind it, as some programs write it, passes."""
    across, down = page.piece
    size = across * down * page.samples * max(8, page.bits) // 8
    for start, length in zip(*(part.tolist() for part in pieces(page)), strict=True):
        stream, found = zlib.decompressobj(), 0
        try:
            for at in range(start, start + length, _PART):
                given = page.data[at : min(at + _PART, start + length)]
                while given and found <= size:  # at the sum there is nothing left, and `unconsumed_tail` is empty
                    found += len(stream.decompress(given, _PART))
                    given = stream.unconsumed_tail
        except zlib.error as error:
            raise Damaged("a strip or tile cannot be decoded, or has another checksum") from error


def _check_lengths(page: Page) -> None:
    """Ask for one byte more than a strip or tile holds, which fails unless it is damaged."""
    across, down = page.piece
    size = down * ((across * (1 if page.is_separate else page.samples) * page.bits + 7) // 8) + 1
    sizes = tags.STRIP_SIZES in page or tags.TILE_SIZES in page
    if not sizes or size > _LARGEST:  # without sizes there is more behind a strip
        return
    for piece in _some(page):
        entries = coded.one_strip(piece, size, 1, 1, page.compression)
        entries[tags.FILL_ORDER] = [page.number(tags.FILL_ORDER, 1)]
        if coded.decodes(piece, entries):
            raise Damaged("a strip or tile holds more than it should")


def _check_jpeg(page: Page) -> None:
    tables = page.block(_TABLES) or b""
    for piece in _some(page):
        if not jpeg_damage.is_sound(jpeg_damage.with_tables(tables, piece)):
            raise Damaged("a strip or tile cannot be decoded")


def _some(page: Page) -> Iterator[bytes]:
    """Coded strips or tiles from all over the page."""
    starts, lengths = pieces(page)
    step = -(-len(starts) // _MOST)
    for start, length in zip(starts[::step].tolist(), lengths[::step].tolist(), strict=True):
        yield page.data[start : start + length]
