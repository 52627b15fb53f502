"""What coded pictures of AV1 and HEVC say of their colours by themselves, in the headers before their samples.

Sources: AV1 Bitstream and Decoding Process Specification (AOM, 2019), sections 5.3 to 5.5, and ITU-T H.265, sections
7.3 and E.2. Code points are those of ITU-T H.273. Nothing is decoded here.
"""

from __future__ import annotations

import struct

_SEQUENCE_HEADER, _SPS = 1, 33
_HIGH, _PROFESSIONAL = 1, 2  # profiles of AV1
_EXTENDED = 255  # an aspect ratio that is told by two numbers
_MOST = 64  # sets and pictures in an SPS


class _Bits:
    """Bits of a header, the highest first. struct.error beyond its end."""

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data), 8 * len(data)

    def __call__(self, count: int = 1) -> int:
        self._left -= count
        if self._left < 0:
            raise struct.error("a header is cut short")
        return self._number >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """An unsigned number of any length: ue(v) of H.265, uvlc() of AV1."""
        zeros = 0
        while not self():
            zeros += 1
            if zeros > 32:
                raise struct.error("a number is too long")
        return (1 << zeros) - 1 + self(zeros)


def av1_code_points(units: bytes) -> tuple[int, int] | None:
    """Primaries and transfer characteristics that a sequence header among open bitstream units tells; None if none."""
    at = 0
    while at + 2 <= len(units):
        kind, extended, sized = units[at] >> 3 & 15, units[at] >> 2 & 1, units[at] >> 1 & 1
        at += 1 + extended
        size = 0
        for shift in range(0, 56, 7) if sized else ():
            size |= (units[at] & 127) << shift
            at += 1
            if units[at - 1] < 128:
                break
        stop = at + size if sized else len(units)
        if kind == _SEQUENCE_HEADER:
            return _of_sequence(_Bits(units[at:stop]))
        at = stop
    return None


def _of_sequence(bits: _Bits) -> tuple[int, int] | None:
    profile, _, reduced = bits(3), bits(), bits()
    if reduced:
        bits(5)
    else:
        _skip_timing(bits)
    width, height = bits(4) + 1, bits(4) + 1
    bits(width)
    bits(height)
    if not reduced and bits():  # numbers of frames
        bits(7)
    bits(3)
    if not reduced:
        bits(4)
        ordered = bits()
        if ordered:
            bits(2)
        screen = 2 if bits() else bits()
        if screen and not bits():
            bits()
        if ordered:
            bits(3)
    bits(3)
    deep = bits()
    if profile == _PROFESSIONAL and deep:
        bits()
    if profile != _HIGH:
        bits()  # gray
    return (bits(8), bits(8)) if bits() else None


def _skip_timing(bits: _Bits) -> None:
    """What a sequence header tells of times and of operating points."""
    delays = 0
    with_model = 0
    if bits():
        bits(64)
        if bits():
            bits.golomb()
        with_model = bits()
        if with_model:
            delays = bits(5) + 1
            bits(42)
    displayed = bits()
    for _ in range(bits(5) + 1):
        bits(12)
        if bits(5) > 7:
            bits()
        if with_model and bits():
            bits(2 * delays + 1)
        if displayed and bits():
            bits(4)


def hevc_code_points(configuration: bytes) -> tuple[int, int] | None:
    """Primaries and transfer characteristics that the first SPS in an HEVC configuration tells; None if none."""
    at = 23
    for _ in range(configuration[22]):
        kind, (count,) = configuration[at] & 63, struct.unpack_from(">H", configuration, at + 1)
        at += 3
        for _ in range(count):
            (size,) = struct.unpack_from(">H", configuration, at)
            unit = configuration[at + 2 : at + 2 + size]
            if kind == _SPS:
                return _of_sps(_Bits(unit[2:].replace(b"\0\0\3", b"\0\0")))
            at += 2 + size
    return None


def _of_sps(bits: _Bits) -> tuple[int, int] | None:
    bits(4)
    layers = bits(3)
    bits(1 + 96)  # general profile, tier and level
    present = [(bits(), bits()) for _ in range(layers)]
    bits(2 * (8 - layers) if layers else 0)
    for profile, level in present:
        bits(88 * profile + 8 * level)
    bits.golomb()
    if bits.golomb() == 3:  # 4:4:4
        bits()
    bits.golomb()
    bits.golomb()
    if bits():  # a part is shown
        for _ in range(4):
            bits.golomb()
    bits.golomb()
    bits.golomb()
    order = bits.golomb()
    for _ in range(1 if not bits() else 1 + layers):
        for _ in range(3):
            bits.golomb()
    for _ in range(6):
        bits.golomb()
    if bits() and bits():
        _skip_scaling(bits)
    bits(2)
    if bits():  # samples that are not coded
        bits(8)
        bits.golomb()
        bits.golomb()
        bits()
    _skip_sets(bits)
    if bits():  # long-term pictures
        for _ in range(min(bits.golomb(), _MOST)):
            bits(min(order + 4, 16) + 1)
    bits(2)
    return _of_vui(bits) if bits() else None


def _skip_scaling(bits: _Bits) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if not bits():
                bits.golomb()
                continue
            for _ in range(min(64, 1 << (4 + 2 * size)) + (size > 1)):
                bits.golomb()


def _skip_sets(bits: _Bits) -> None:
    """Short-term reference picture sets."""
    count, before = bits.golomb(), 0
    if count > _MOST:
        raise struct.error("too many sets of pictures")
    for index in range(count):
        if index and bits():  # told by the set before
            bits()
            bits.golomb()
            kept = 0
            for _ in range(before + 1):
                kept += bits() or bits()
            before = kept
        else:
            before = bits.golomb() + bits.golomb()
            if before > _MOST:
                raise struct.error("too many pictures in a set")
            for _ in range(before):
                bits.golomb()
                bits()


def _of_vui(bits: _Bits) -> tuple[int, int] | None:
    if bits() and bits(8) == _EXTENDED:
        bits(32)
    if bits():
        bits()
    if bits():
        bits(4)
        if bits():
            return bits(8), bits(8)
    return None
