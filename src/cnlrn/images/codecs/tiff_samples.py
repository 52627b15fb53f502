"""Samples of TIFF files that libvips decodes wrongly or not at all, by way of the bytes that it can decode.

A copy of the file gets another directory (`coded`), by which its strips or tiles are rows of bytes. What they mean is
done here: predictors, samples of any number of bits, planes, subsampled YCbCr. Sources: TIFF 6.0, its Technical Note 3
(floating point predictor), and ITU-R BT.601.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnlrn.errors import UnsupportedPicture
from cnlrn.images.codecs import coded
from cnlrn.images.codecs import tiff_directory as tags
from cnlrn.images.codecs.tiff_directory import Page, pieces
from cnlrn.images.picture import as_array
from cnlrn.images.vips import damage, load

_MOST_BYTES = 2**29  # of samples in their own form
_YCBCR = 6
_UNSIGNED, _FLOAT = 1, 3  # SampleFormat
_HORIZONTAL, _FLOATING = 2, 3  # Predictor
_BT601 = (0.299, 0.587, 0.114)

Samples = NDArray[Any]


def samples(page: Page, name: str) -> Samples:
    """All samples of a page, height x width x samples a pixel: unsigned integers of `page.bits` bits, or float32.

    YCbCr, which is of 8 bits, becomes RGB.

    Raises:
        CnlrnError: damaged, or too large for memory.
    """
    if page.width * page.height * page.samples * page.bits > 8 * _MOST_BYTES:
        raise UnsupportedPicture(
            f"{name} has too many samples of an unusual kind; convert it to RGB of 8 or 16 bits first"
        )
    if page.photometric == _YCBCR and not page.is_separate:
        return _rgb(_ycbcr(page, name), page)
    planes = page.samples if page.is_separate else 1
    inner = page.samples // planes
    across = page.piece[0]
    row = (across * inner * page.bits + 7) // 8
    found = [
        _values(_decoded(page, name, row, plane), page, across, inner).reshape(page.height, -1, inner)[:, : page.width]
        for plane in range(planes)
    ]
    whole = found[0] if planes == 1 else np.concatenate(found, axis=2)
    return _rgb(whole, page) if page.photometric == _YCBCR else whole


def _decoded(page: Page, name: str, row: int, plane: int = 0, lines: int = 1) -> NDArray[np.uint8]:
    """The bytes of a plane, decompressed: one row of `row` bytes for each row of each strip or tile.

    Tiles beside each other come one after the other. `lines`: rows of pixels that make one row of bytes.
    """
    across, down = page.piece
    columns, bands = -(-page.width // across), -(-page.height // down)
    height, piece = -(-page.height // lines), -(-down // lines)
    starts, lengths = (part.reshape(-1, columns * bands)[plane] for part in pieces(page))
    entries: dict[int, Any] = {
        tags.WIDTH: [row],
        tags.HEIGHT: [columns * bands * piece if page.is_tiled else height],
        tags.BITS: [8],
        tags.COMPRESSION: [page.compression],
        tags.PHOTOMETRIC: [1],
        tags.FILL_ORDER: [page.number(tags.FILL_ORDER, 1)],
        tags.STRIPS: starts + coded.HEAD,  # tiles are strips here, as narrow as they are
        tags.SAMPLES: [1],
        tags.ROWS: [piece],
        tags.STRIP_SIZES: lengths,
    }
    with damage(name):
        rows = as_array(load("tiffload", coded.as_tiff(page.data, entries))).astype(np.uint8, copy=False)
    if not page.is_tiled:
        return rows.reshape(height, row)
    rows = rows.reshape(bands, columns, piece, row).transpose(0, 2, 1, 3).reshape(bands * piece, columns, row)
    return rows[:height].reshape(-1, row)


def _values(rows: NDArray[np.uint8], page: Page, width: int, inner: int) -> Samples:
    """Samples from rows of bytes: rows x (width x inner)."""
    bits, predictor = page.bits, page.predictor
    is_float = page.number(tags.FORMAT, _UNSIGNED) == _FLOAT
    if predictor == _FLOATING:
        raw = rows.reshape(len(rows), -1, inner).cumsum(axis=1, dtype=np.uint8).reshape(len(rows), bits // 8, -1)
        rows = np.ascontiguousarray(raw.transpose(0, 2, 1))  # the highest bytes of all samples came first
    order: str = ">" if predictor == _FLOATING else page.order
    if bits == 24:
        return _wide(rows, order, is_float)
    if bits not in (8, 16, 32, 64):
        return _unpacked(rows, bits, width * inner)
    words = rows.reshape(len(rows), -1).view(f"{order}u{bits // 8}")
    if predictor == _HORIZONTAL:
        words = words.reshape(len(rows), -1, inner).cumsum(axis=1, dtype=f"u{bits // 8}").reshape(len(rows), -1)
        order = "="
    if is_float:
        with np.errstate(over="ignore"):
            return words.view(f"{order}f{bits // 8}").astype(np.float32)
    return words.astype(f"u{bits // 8}")


def _wide(rows: NDArray[np.uint8], order: str, is_float: bool) -> Samples:
    """Samples of 24 bits: integers, or floating point with 7 bits of exponent (Adobe, TIFF Technical Note 3)."""
    parts = rows.reshape(len(rows), -1, 3).astype(np.uint32)
    low, middle, high = (parts[..., i] for i in ((2, 1, 0) if order == ">" else (0, 1, 2)))
    words = low | middle << 8 | high << 16
    if not is_float:
        return words
    sign, exponent, fraction = words >> 23, (words >> 16) & 0x7F, words & 0xFFFF
    value = np.where(exponent > 0, np.ldexp(1 + fraction / 2**16, exponent.astype(int) - 63), fraction / 2**78)
    value = np.where(exponent == 0x7F, np.where(fraction > 0, np.nan, np.inf), value)
    return np.where(sign > 0, -value, value).astype(np.float32)


def _unpacked(rows: NDArray[np.uint8], bits: int, count: int) -> Samples:
    """`count` samples a row of any number of bits, the highest first, as TIFF packs them in either byte order."""
    kind = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    found = np.empty((len(rows), count), kind)
    step = max(1, 2**20 // max(1, count * bits))
    for top in range(0, len(rows), step):
        single = np.unpackbits(rows[top : top + step], axis=1, count=count * bits).reshape(-1, count, bits)
        part = np.zeros(single.shape[:2], kind)
        for bit in range(bits):
            part = part << kind(1) | single[..., bit]
        found[top : top + step] = part
    return found


def _ycbcr(page: Page, name: str) -> Samples:
    """Y, Cb and Cr of every pixel, height x width x 3; a pixel has the chroma of the block that it lies in."""
    h, v = page.subsampling
    across = page.piece[0]
    columns = -(-page.width // across)
    blocks = -(-across // h)
    rows = _decoded(page, name, blocks * (h * v + 2), lines=v)
    rows = rows.reshape(len(rows) // columns, columns, blocks, h * v + 2)
    luma = rows[..., : h * v].reshape(*rows.shape[:3], v, h).transpose(0, 3, 1, 2, 4)
    chroma = np.repeat(np.repeat(rows[:, None, :, :, h * v :], v, axis=1), h, axis=3)
    luma = luma.reshape(len(rows) * v, columns, blocks * h, 1)
    whole = np.concatenate([luma, chroma.reshape(len(rows) * v, columns, blocks * h, 2)], axis=3)
    return whole[:, :, :across].reshape(len(whole), -1, 3)[: page.height, : page.width]


def _rgb(ycbcr: Samples, page: Page) -> Samples:
    """RGB of 8 bits (TIFF 6.0, section 21)."""
    red, green, blue = page.numbers(tags.COEFFICIENTS, _BT601)[:3]
    given = page.numbers(tags.REFERENCE, (0, 255, 128, 255, 128, 255))
    (black, white), *chroma = given[:6].reshape(3, 2)
    y = (ycbcr[..., 0] - np.float32(black)) * np.float32(255 / (white - black))
    cb, cr = (
        (ycbcr[..., i] - np.float32(low)) * np.float32(127 / (high - low)) for i, (low, high) in enumerate(chroma, 1)
    )
    r, b = y + cr * np.float32(2 - 2 * red), y + cb * np.float32(2 - 2 * blue)
    g = (y - np.float32(red) * r - np.float32(blue) * b) / np.float32(green)
    rgb: Samples = np.rint(np.clip(np.stack([r, g, b], axis=2), 0, 255)).astype(np.uint8)
    return rgb
