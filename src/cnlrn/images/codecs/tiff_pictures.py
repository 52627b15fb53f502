"""Reading TIFF: which page is the picture, what its samples mean, and what is refused as it cannot be read rightly.

libvips reads what is usual; `tiff_samples` brings the rest to arrays. Sources: TIFF 6.0, its Technical Notes, and
Adobe's Photoshop TIFF notes (ICCLab).
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from cnlrn.errors import UnsupportedPicture
from cnlrn.images import colour, vips
from cnlrn.images.codec import PictureFile
from cnlrn.images.codecs import tiff_damage, tiff_samples
from cnlrn.images.codecs import tiff_directory as tags
from cnlrn.images.codecs.tiff_directory import Damaged, Page
from cnlrn.images.picture import LazyPicture, as_vips
from cnlrn.images.profiles import ADOBE_RGB, BT709, ColourSpace
from cnlrn.images.vips import pyvips

SUFFIXES = (".tif", ".tiff")

_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _INKS, _YCBCR, _CIELAB, _ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
_COLOURS = {_WHITE_IS_ZERO: 1, _GRAY: 1, _RGB: 3, _PALETTE: 1, _INKS: 4, _YCBCR: 3, _CIELAB: 3, _ICCLAB: 3}
_OTHER_COLOURS = {10: "ITULab", 32844: "LogL", 32845: "LogLuv"}
_RAW = (32803, 34892)  # samples of a sensor

_OTHER_COMPRESSIONS = {
    6: "old-style JPEG",
    9: "JBIG",
    10: "JBIG",
    22610: "JPEG XR",
    32766: "NeXT",
    32771: "CCITT RLE",
    32809: "ThunderScan",
    32908: "Pixar film",
    32909: "Pixar log",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34676: "SGI LogLuv",
    34677: "SGI LogLuv",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of raw files",
    34925: "LZMA",
    34926: "Zstandard",
    34927: "WebP",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4  # SampleFormat
_ASSOCIATED, _UNASSOCIATED = 1, 2  # ExtraSamples: alpha, multiplied into the colours or not
_INTEGERS, _FLOATS = range(1, 33), (16, 24, 32, 64)  # bits
_WORDS = (8, 16, 32, 64)
_CONVERT = "convert it to a TIFF of 8 or 16 bits, gray or RGB"


def matches(head: bytes) -> bool:
    """Whether this is the start of a TIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_file(file: PictureFile) -> LazyPicture:
    """The picture in a TIFF. CnlrnError as a `Codec`'s, and of raw files and several pages."""
    try:
        number, page = _only_page(file)
        file.check_size(page.width, page.height)
        if page.width < 1 or page.height < 1:
            raise Damaged("it has no size")
        _check(page, file.name)
        if not file.keep:
            tags.pieces(page)
            tiff_damage.check(page)
        usual = _is_usual(page)
        image = _usual(file, number, page) if usual else _unusual(page, file.name)
        image, notes = _without_extras(image, page, file.name)
        space = _space(page)
    except Damaged as error:
        raise vips.Damaged(f"{file.name} is damaged or cut short ({error})") from error
    return file.picture(image, space, notes)


def _only_page(file: PictureFile) -> tuple[int, Page]:
    """The one page that is no small version of another and no mask, and its number.

    Where all are small versions, of nothing in the file, it is the largest of them.
    """
    if file.content[8:10] == b"CR":
        _refuse_raw(file.name)
    whole: list[tuple[int, Page]] = []
    reduced: list[tuple[int, Page]] = []
    for number, page in enumerate(tags.pages(file.content)):
        if tags.DNG in page or page.photometric in _RAW:
            _refuse_raw(file.name)
        if not page.is_mask:
            (reduced if page.is_reduced else whole).append((number, page))
    if not whole and not any(tags.INNER_PAGES in page for _, page in reduced):
        whole = sorted(reduced, key=lambda one: one[1].width * one[1].height)[-1:]
    if not whole:
        _refuse_raw(file.name)
    if len(whole) > 1:
        raise UnsupportedPicture(
            f"{file.name} holds several pictures ({len(whole)} pages); save each as a file of its own, "
            "for example by ImageMagick: magick FILE page-%d.png"
        )
    return whole[0]


def _refuse_raw(name: str) -> NoReturn:
    raise UnsupportedPicture(f"{name} is a camera's raw file, which cannot be read; convert it to PNG, JPEG or TIFF")


def _check(page: Page, name: str) -> None:
    """Refuse what cannot be read rightly. CnlrnError says which kind it is, Damaged that there is no such kind."""
    bits, kind, samples = page.bits, page.number(tags.FORMAT, _UNSIGNED), page.samples
    compression, photometric = page.compression, page.photometric
    if compression not in (tags.NONE, tags.LZW, tags.PACKBITS, tags.JPEG, *tags.DEFLATE, *tags.FAX):
        label = _OTHER_COMPRESSIONS.get(compression, f"number {compression}")
        raise UnsupportedPicture(f"{name} has the unsupported compression {label}; save it with LZW or deflate")
    if photometric not in _COLOURS:
        label = _OTHER_COLOURS.get(photometric, f"number {photometric}")
        raise UnsupportedPicture(f"{name} has the unsupported colour space {label}; {_CONVERT}")
    colours = _COLOURS[photometric]
    if photometric == _INKS and (page.number(tags.INK_SET, 1) != 1 or page.number(tags.INKS, 4) != 4):
        raise UnsupportedPicture(f"{name} has other inks than cyan, magenta, yellow and black; {_CONVERT}")
    if samples < colours:
        raise Damaged(f"{samples} samples a pixel are too few")
    if samples > 64 or not bits:
        unequal = "" if bits else " of unequal numbers of bits"
        raise UnsupportedPicture(f"{name} has {samples} samples a pixel{unequal}, which is unsupported; {_CONVERT}")
    if kind == _UNDEFINED:
        kind = _UNSIGNED
    is_float = kind == _FLOAT
    if kind not in (_UNSIGNED, _FLOAT) or bits not in (_FLOATS if is_float else _INTEGERS):
        label = {_UNSIGNED: "uint", _SIGNED: "int", _FLOAT: "float"}.get(kind, "complex")
        raise UnsupportedPicture(f"{name} holds samples of type {label}{bits}; {_CONVERT}")
    if photometric == _PALETTE and len(page.whole_numbers(tags.PALETTE)) != 3 << bits:
        raise Damaged("its palette is of another size")
    fitting = {
        _PALETTE: not is_float and bits <= 16,
        _INKS: not is_float,
        _YCBCR: not is_float and bits == 8,
        _CIELAB: not is_float and bits in (8, 16),
        _ICCLAB: not is_float and bits in (8, 16),
    }.get(photometric, True)
    if compression in tags.FAX:
        fitting = bits == samples == 1 and photometric in (_WHITE_IS_ZERO, _GRAY)
    if compression == tags.JPEG:
        fitting = bits == 8 and photometric in (_WHITE_IS_ZERO, _GRAY, _RGB, _YCBCR, _INKS) and _is_layout_usual(page)
    if page.predictor != 1:
        words = bits in _WORDS if page.predictor == 2 else page.predictor == 3 and is_float
        fitting = fitting and words and photometric != _YCBCR
    if photometric == _YCBCR and compression != tags.JPEG:
        _check_subsampling(page)
    if not fitting:
        raise UnsupportedPicture(
            f"{name} has {bits}-bit samples of a kind that is unsupported with its compression; {_CONVERT}"
        )


def _check_subsampling(page: Page) -> None:
    across, down = page.subsampling
    levels = page.numbers(tags.REFERENCE, (0, 255, 128, 255, 128, 255))
    weights = page.numbers(tags.COEFFICIENTS, (0.299, 0.587, 0.114))
    sound = across in (1, 2, 4) and down in (1, 2, 4) and len(levels) == 6 and len(weights) == 3
    if not (sound and (levels[::2] != levels[1::2]).all() and weights[1] and np.isfinite([*levels, *weights]).all()):
        raise Damaged("what it says of its YCbCr samples makes no sense")
    if (page.is_separate and (across, down) != (1, 1)) or page.samples != 3:
        raise Damaged("its YCbCr samples are not laid out as TIFF asks for")


def _is_layout_usual(page: Page) -> bool:
    """Whether libvips reads this layout: no planes, no colours multiplied by alpha, and nothing left to be guessed.

    Of planes it mixes up gray and alpha, and it knows no tiles of them; newer versions divide colours by alpha, older
    ones do not.
    """
    extra = page.whole_numbers(tags.EXTRA)
    told = page.samples == _COLOURS[page.photometric] + len(extra)
    return page.number(tags.PLANAR, 1) == 1 and told and _ASSOCIATED not in extra


def _is_usual(page: Page) -> bool:
    """Whether libvips reads the samples as they are meant."""
    if page.compression in (*tags.FAX, tags.JPEG):  # `_check` has let in only what it reads
        return True
    bits, is_float = page.bits, page.number(tags.FORMAT, _UNSIGNED) == _FLOAT
    plain = bits == 32 if is_float else bits in (8, 16)
    if page.photometric == _PALETTE:
        plain = bits == 8 and page.samples == 1
    if page.photometric == _WHITE_IS_ZERO:
        plain = plain and not is_float
    return plain and _is_layout_usual(page) and page.photometric in (_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _INKS)


def _usual(file: PictureFile, number: int, page: Page) -> Any:
    """The image of a page that libvips reads. Of tiles it decodes only those that are asked for, so all are, once."""
    image = file.load("tiffload", page=number, fail_on=page.fault)
    if page.is_tiled and not file.keep:
        with vips.damage(file.name):
            image.avg()
    return image


def _unusual(page: Page, name: str) -> Any:
    """The image of a page whose samples libvips does not read as they are meant: colours, then extra samples."""
    samples = tiff_samples.samples(page, name)
    count = _COLOURS[page.photometric]
    colours, extras = samples[..., :count], samples[..., count:]
    if page.bits > 16 and colours.dtype != np.float32 and 0 < colours.max() < 1 << (page.bits - 8):
        raise UnsupportedPicture(f"{name} uses only the lowest of {page.bits} bits and would be black; {_CONVERT}")
    if page.photometric == _PALETTE:
        colours = _through_palette(colours[..., 0], page)
        extras = _scaled(extras, page.bits, colours.dtype)
    elif page.photometric in (_CIELAB, _ICCLAB):
        return _with_facts(_of_lab(samples, page), page)
    elif page.photometric != _YCBCR:
        colours = _scaled(colours, page.bits)
        extras = _scaled(extras, page.bits)
    if page.photometric == _WHITE_IS_ZERO:
        colours = (1 if colours.dtype == np.float32 else np.iinfo(colours.dtype).max) - colours
    image = as_vips(np.concatenate([colours, extras], axis=2) if extras.shape[2] else colours)
    deep = image.format == "ushort"
    if page.photometric == _INKS:
        kind = "cmyk"
    elif colours.shape[2] == 1:
        kind = "grey16" if deep else "b-w"
    else:
        kind = "scrgb" if image.format == "float" else "rgb16" if deep else "srgb"
    return _with_facts(image.copy(interpretation=kind), page)


def _scaled(samples: tiff_samples.Samples, bits: int, kind: Any = None) -> tiff_samples.Samples:
    """Unsigned integers of `bits` bits as uint8 or uint16 (or `kind`), full range to full range; floats as they are."""
    if samples.dtype == np.float32:
        return samples
    kind = np.dtype(kind or (np.uint8 if bits <= 8 else np.uint16))
    if bits == 8 * kind.itemsize:
        return samples.astype(kind)
    return np.rint(samples * (np.iinfo(kind).max / (2.0**bits - 1))).astype(kind)


def _through_palette(indices: tiff_samples.Samples, page: Page) -> tiff_samples.Samples:
    """The colours, or grays, that a palette gives to indices."""
    palette = page.whole_numbers(tags.PALETTE)
    if palette.max() < 256:  # old programs write 8 bits
        palette = palette * 257
    table = palette.reshape(3, -1).T
    if (table[:, :1] == table).all():
        table = table[:, :1]
    if (table % 257 == 0).all() or (table % 256 == 0).all():
        return (table >> 8).astype(np.uint8)[indices]
    return table.astype(np.uint16)[indices]


def _of_lab(samples: tiff_samples.Samples, page: Page) -> Any:
    """sRGB of CIE L*a*b* (of white D50, as ICC's), and extra samples behind."""
    bits = page.bits
    full = (1 << bits) - 1
    half = 1 << (bits - 1)
    colours = samples[..., :3]
    if page.photometric == _CIELAB:  # a and b are signed
        colours = colours ^ np.array([0, half, half], colours.dtype)
    lightest = full if page.photometric == _CIELAB or bits == 8 else 0xFF00
    unit = 1 if bits == 8 else 256
    lab = as_vips(np.ascontiguousarray(colours)).linear(
        [100 / lightest, 1 / unit, 1 / unit], [0, -half / unit, -half / unit]
    )
    lab = lab.copy(interpretation="lab")
    image = lab.icc_export(output_profile="srgb", intent="relative", depth=bits, pcs="lab")
    if samples.shape[2] > 3:
        image = image.bandjoin(as_vips(np.ascontiguousarray(samples[..., 3:])))
    return image.copy(interpretation="srgb" if bits == 8 else "rgb16")


def _with_facts(image: Any, page: Page) -> Any:
    """The image with what the page says besides: orientation, resolution, profile and XMP."""
    unit = {2: 25.4, 3: 10.0}.get(page.number(tags.RESOLUTION_UNIT, 2), 0.0)
    across, down = (page.numbers(tag, (0.0,)) for tag in (tags.X_RESOLUTION, tags.Y_RESOLUTION))
    if unit and len(across) and len(down):
        image = image.copy(xres=float(across[0]) / unit, yres=float(down[0]) / unit)
    else:
        image = image.copy()
    image.set_type(pyvips.GValue.gstr_type, "vips-loader", "tiffload")
    image.set_type(pyvips.GValue.gint_type, "orientation", min(8, max(1, page.number(tags.ORIENTATION, 1))))
    for key, tag in (("icc-profile-data", tags.ICC), ("xmp-data", tags.XMP)):
        block = page.block(tag)
        if block and (tag != tags.ICC or page.photometric not in (_CIELAB, _ICCLAB)):
            image.set_type(pyvips.GValue.blob_type, key, block)
    return image


def _without_extras(image: Any, page: Page, name: str) -> tuple[Any, tuple[str, ...]]:
    """Colours and alpha as RGB or gray: of extra samples the first alpha is kept, its colours not multiplied by it."""
    given = page.samples - _COLOURS[page.photometric]
    if given <= 0:
        return image, ()
    colours = image.bands - given
    kinds = page.whole_numbers(tags.EXTRA).tolist()[-given:]
    at = next((i for i, kind in enumerate(kinds) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
    result = image.extract_band(0, n=colours)
    if page.photometric == _INKS:
        result = colour.to_rgb_or_gray(result.copy(interpretation="cmyk"), name)
    elif colours == 3:
        result = result.copy(interpretation={"uchar": "srgb", "ushort": "rgb16"}.get(image.format, "scrgb"))
    else:
        result = result.copy(interpretation="grey16" if image.format == "ushort" else "b-w")
    if at is not None:
        interpretation = result.interpretation
        result = result.bandjoin(image[colours + at]).copy(interpretation=interpretation)
        if kinds[at] == _ASSOCIATED:
            result = colour.unpremultiplied(result).copy(interpretation=interpretation)
    dropped = given - (at is not None)
    if not dropped:
        return result, ()
    return result, (f"{name}: {dropped} of its {page.samples} channels, neither colour nor alpha, left out",)


def _space(page: Page) -> ColourSpace | None:
    """The colour space that the page tells without a profile, None if it has one or tells nothing."""
    if tags.ICC in page or page.photometric not in (_WHITE_IS_ZERO, _GRAY, _RGB, _PALETTE, _YCBCR):
        return None
    exif = page.inner(tags.EXIF)
    if exif is not None and tags.INTEROPERABILITY in exif:
        inner = exif.inner(tags.INTEROPERABILITY)
        if inner is not None and inner.text(1) == b"R03" and exif.number(tags.COLOUR_SPACE, 0) != 1:
            return ADOBE_RGB
    if tags.PRIMARIES not in page and tags.TRANSFER not in page:
        return None
    primaries = page.numbers(tags.PRIMARIES).tolist()
    white = page.numbers(tags.WHITE, BT709[3]).tolist()
    points = BT709
    if len(primaries) == 6 and len(white) == 2:
        points = (*zip(primaries[::2], primaries[1::2], strict=True), (white[0], white[1]))
    space = ColourSpace(points)
    table = page.numbers(tags.TRANSFER, most=3 * 2**16)[: 1 << min(16, page.bits)]
    if len(table) > 5:
        step = max(1, len(table) // 4096)
        space = ColourSpace(points, tuple((table[::step] / 65535).tolist()))
    elif space.profile(gray=False) is not None:
        space = ColourSpace(points, (2.2,))  # TIFF 6.0, section 20
    return space if space.is_possible() else None
