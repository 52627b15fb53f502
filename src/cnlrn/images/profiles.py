"""ICC profiles for colour spaces that files name in another way: by chromaticities and a curve, or by code points.

Sources: ICC.1:2022 (version 4 matrix/TRC and gray profiles), ITU-T H.273 (code points of primaries and transfer
characteristics). Nothing here looks into samples or files.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnlrn.errors import UnsupportedPicture

_Numbers = NDArray[np.float64]
Point = tuple[float, float]
"""A chromaticity: x and y of CIE 1931."""

_D50 = np.array([0.9642, 1.0, 0.8249])  # the white of the profile connection space, ICC.1 7.2.16
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

D65: Point = (0.3127, 0.3290)
_C, _E, _DCI = (0.310, 0.316), (1 / 3, 1 / 3), (0.314, 0.351)

BT709: tuple[Point, ...] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), D65)
"""Red, green, blue and white of sRGB and BT.709."""

_PRIMARIES: dict[int, tuple[Point, ...]] = {
    1: BT709,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    10: ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _DCI),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), D65),
}  # H.273, table 2

SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""g, a, b, c, d of (a x + b)^g where x is at least d, and c x below."""

_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_TRANSFERS: dict[int, tuple[float, ...]] = {
    1: _BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT709_CURVE,
    7: (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912),
    8: (1.0,),
    11: _BT709_CURVE,
    12: _BT709_CURVE,
    13: SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
    17: (2.6, (52.37 / 48) ** (1 / 2.6), 0.0, 0.0, 0.0),
}  # H.273, table 3
_PQ, _HLG = 16, 18
_LOGARITHMIC = (9, 10)


@dataclass(frozen=True)
class ColourSpace:
    """An RGB space: chromaticities of red, green, blue and white, and how samples become linear light.

    `curve`: one number, a gamma; five, as `SRGB_CURVE`; or more: a table of linear light over equidistant samples, both
    from 0 to 1.
    """

    points: tuple[Point, ...] = BT709
    curve: Sequence[float] = SRGB_CURVE

    @classmethod
    def of_code_points(cls, primaries: int, transfer: int, name: str) -> ColourSpace:
        """The space of H.273 code points, as in PNG's cICP and in the "nclx" of AVIF and HEIF.

        Code points that say "unspecified" or nothing that is known stand for those of sRGB.

        Raises:
            CnlrnError: HDR (PQ, HLG) or a logarithmic curve; `name` begins the sentence.
        """
        if transfer in (_PQ, _HLG):
            raise UnsupportedPicture(
                f"{name} is an HDR picture ({'PQ' if transfer == _PQ else 'HLG'}), which cannot be restored; "
                "export it as SDR (sRGB or Display P3) first"
            )
        if transfer in _LOGARITHMIC:
            raise UnsupportedPicture(
                f"{name} has samples on a logarithmic scale, which cannot be restored; convert it to sRGB"
            )
        return cls(_PRIMARIES.get(primaries, BT709), _TRANSFERS.get(transfer, SRGB_CURVE))

    def profile(self, gray: bool) -> bytes | None:
        """The ICC profile, version 4, of this space, or of gray with its curve; None for that of sRGB.

        Raises:
            ValueError: the chromaticities are of no RGB space.
        """
        if self._is_like(SRGB_CURVE) and (gray or np.allclose(self.points, BT709, atol=0.001)):
            return None
        curve = _curve(self.curve)
        adaptation, matrix = self._to_d50()
        tags = {
            b"desc": _text("gray" if gray else "RGB"),
            b"cprt": _text("No copyright, use freely"),
            b"wtpt": _xyz(_D50),
            b"chad": b"sf32" + bytes(4) + _fixed(adaptation.ravel()),
        }
        if gray:
            return _file(b"GRAY", tags | {b"kTRC": curve})
        columns = {tag: _xyz(column) for tag, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), matrix.T, strict=True)}
        return _file(b"RGB ", tags | columns | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))

    def is_possible(self) -> bool:
        """Whether the chromaticities are those of an RGB space, which is so of all code points."""
        try:
            self._to_d50()
        except ValueError:
            return False
        return True

    def _is_like(self, curve: Sequence[float]) -> bool:
        return len(self.curve) == len(curve) and bool(np.allclose(self.curve, curve, atol=1e-4))

    def _to_d50(self) -> tuple[_Numbers, _Numbers]:
        """The matrix that adapts this white to D50, and the one from linear RGB to XYZ of D50."""
        x, y = np.array(self.points, float).T
        try:
            with np.errstate(all="raise"):
                columns = np.array([x, y, 1 - x - y])
                white = columns[:, 3] / y[3]
                adaptation = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD
                matrix = columns[:, :3] * np.linalg.solve(columns[:, :3], white)
        except (FloatingPointError, np.linalg.LinAlgError) as error:
            raise ValueError("no RGB space") from error
        if not np.abs(matrix).max() < 100:
            raise ValueError("no RGB space")
        return adaptation, adaptation @ matrix


ADOBE_RGB = ColourSpace(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65), (563 / 256,))
"""Adobe RGB (1998), which EXIF can name."""


def _fixed(numbers: Sequence[float] | _Numbers) -> bytes:
    """Numbers as s15Fixed16."""
    return bytes(np.rint(np.asarray(numbers, np.float64) * 65536).astype(">i4").tobytes())


def _xyz(numbers: _Numbers) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(numbers)


def _text(text: str) -> bytes:
    """A multiLocalizedUnicode tag of one English text."""
    data = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(data), 28) + data


def _curve(curve: Sequence[float]) -> bytes:
    if len(curve) > 5:
        table = np.rint(np.clip(curve, 0, 1) * 65535).astype(">u2").tobytes()
        return b"curv" + bytes(4) + struct.pack(">I", len(table) // 2) + bytes(table)
    return b"para" + bytes(4) + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0) + _fixed(curve)


def _file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile of a display: the head, the table of tags, and their contents."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x04300000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(_D50)
    return head.ljust(128, b"\0") + table + body
