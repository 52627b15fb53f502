"""XMP: packets of RDF/XML, what of them is true of which pixels, and the mark of a result in them.

Sources: ISO 16684-1 (XMP), Exif 2.32 for XMP (CIPA DC-010), the MWG guidelines, and what phones' and Adobe's programs
write. Packets are parsed whole by the standard library's minidom, which keeps prefixes, as many readers look for these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias
from xml.dom import minidom
from xml.parsers.expat import ExpatError

Property: TypeAlias = "minidom.Attr | minidom.Element"

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_CAMERA_RAW = "http://ns.adobe.com/camera-raw-settings/1.0/"
_PANORAMA = "http://ns.google.com/photos/1.0/panorama/"
_EMPTY = (
    f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about=""/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)

_MOST = 2**24  # bytes of a packet
_MOST_PARTS = 60_000  # tags and attributes: parsed ones take a thousand times as much memory, and time
_DEEPEST = 100  # elements within each other: they are written by recursion
_OF_OTHER_PARTS = (
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.adobe.com/hdr-metadata/",
    "http://ns.adobe.com/xmp/note/",
    "http://ns.apple.com/",
)
_OF_PHONES = "/photos/"  # in namespaces of Google, Xiaomi, Oppo, Vivo and others
"""What namespaces begin with, or hold, that describe other parts of the file: videos, gain maps, depth, extensions."""

_FALSE = frozenset(
    (
        *((_XMP, name) for name in ("Thumbnails", "PageInfo")),
        *((_TIFF, name) for name in ("BitsPerSample", "Compression", "NativeDigest", "PhotometricInterpretation")),
        *((_TIFF, name) for name in ("PlanarConfiguration", "ReferenceBlackWhite", "SamplesPerPixel")),
        *((_TIFF, name) for name in ("TransferFunction", "YCbCrCoefficients", "YCbCrSubSampling")),
        *((_EXIF, name) for name in ("CompressedBitsPerPixel", "FocalPlaneXResolution", "FocalPlaneYResolution")),
        *((_EXIF, name) for name in ("NativeDigest", "SubjectArea", "SubjectLocation")),
        *((_PHOTOSHOP, name) for name in ("ColorMode", "ICCProfile")),
        *((_CAMERA_RAW, name) for name in ("CropHeight", "CropUnit", "CropUnits", "CropWidth")),
        ("http://purl.org/dc/elements/1.1/", "format"),
        ("http://purl.org/dc/terms/", "provenance"),  # signed: of the bytes as they were
        ("http://ns.adobe.com/xap/1.0/mm/", "InstanceID"),
    )
)
_TAG = re.compile("<[^<>?!][^<>]*>")  # minidom leaves line breaks in attributes bare, which readers take for spaces
_FALSE_BY_NAME = ("microvideo", "motionphoto", "olivephoto")  # in whatever namespace
_WIDTH = frozenset(((_TIFF, "ImageWidth"), (_EXIF, "PixelXDimension")))
_HEIGHT = frozenset(((_TIFF, "ImageLength"), (_EXIF, "PixelYDimension")))
_REGIONS = ("ImageRegion", "RegionInfo", "Regions")  # faces and such, in parts of width and height
_CROP = ("CropAngle", "CropBottom", "CropConstrainToWarp", "CropLeft", "CropRight", "CropTop", "HasCrop")


class Xmp:
    """A packet, parsed."""

    def __init__(self, document: minidom.Document) -> None:
        """IndexError if there is no RDF in the document."""
        self._document = document
        self._rdf = document.getElementsByTagNameNS(_RDF, "RDF")[0]

    def make_true(self, width: int, height: int, *, turned: bool, srgb: bool) -> None:
        """Leave nothing that is false of upright pixels of this size.

        `turned`: they were stored otherwise until now; `srgb`: their colour space is sRGB.
        """
        self._remove_false(turned)
        self._scale_panorama(width, height, turned)
        for found in self._properties():
            name = _name(found)
            if name in _WIDTH | _HEIGHT:
                _set(found, str(width if name in _WIDTH else height))
            elif name == (_TIFF, "Orientation") or (srgb and name == (_EXIF, "ColorSpace")):
                _set(found, "1")
        for dimensions in self._rdf.getElementsByTagNameNS("*", "AppliedToDimensions"):
            for found in _parts(dimensions):
                if _name(found)[1] in ("w", "h"):
                    _set(found, str(width if _name(found)[1] == "w" else height))
                elif _name(found)[1] == "unit":
                    _set(found, "pixel")
        self._remove_unused_prefixes()

    @property
    def has_extension(self) -> bool:
        """Whether the packet says that a JPEG file has more XMP in another place."""
        return any(_name(found)[1] == "HasExtendedXMP" for found in self._properties())

    @property
    def creator_tool(self) -> str | None:
        """The program that made the picture."""
        told = [_text(found) for found in self._properties() if _name(found) == (_XMP, "CreatorTool")]
        return told[0] if told else None

    @creator_tool.setter
    def creator_tool(self, name: str) -> None:
        for found in list(self._properties()):
            if _name(found) == (_XMP, "CreatorTool"):
                _remove(found)
        descriptions = list(self._descriptions())
        about = descriptions[0].getAttributeNS(_RDF, "about") if descriptions else ""
        for description in descriptions:
            if not any(True for _ in _properties_of(description)):
                self._rdf.removeChild(description)
        prefix = f"{self._rdf.prefix}:" if self._rdf.prefix else ""
        own = self._document.createElementNS(_RDF, f"{prefix}Description")  # others may use the prefix xmp otherwise
        if prefix:
            own.setAttributeNS(_RDF, f"{prefix}about", about)
        own.setAttributeNS(_XMLNS, "xmlns:xmp", _XMP)
        own.setAttributeNS(_XMP, "xmp:CreatorTool", name)
        self._rdf.appendChild(own)

    def packet(self, most: int | None = None) -> tuple[bytes, list[str]]:
        """The bytes of it, at most `most`, and the names of the properties that were too large for that."""
        packed = self._packed()
        if most is None or len(packed) <= most:
            return packed, []
        left_out = []
        excess = len(packed) - most
        sizes = [(len(_packed(found)), found) for found in self._properties() if _name(found) != (_XMP, "CreatorTool")]
        for size, found in sorted(sizes, key=lambda size: -size[0]):
            if excess <= 0:
                break
            _remove(found)
            left_out.append(str(found.nodeName))
            excess -= size
        packed = self._packed()
        if len(packed) > most:  # by what are no properties
            rest = empty()
            if self.creator_tool is not None:
                rest.creator_tool = self.creator_tool[:1000]
            return rest.packet()[0], ["data"]
        return packed, left_out

    def _packed(self) -> bytes:
        return b"".join(_packed(node) for node in self._document.childNodes)

    def _descriptions(self) -> Iterator[minidom.Element]:
        yield from (node for node in self._rdf.childNodes if isinstance(node, minidom.Element))

    def _properties(self) -> Iterator[Property]:
        """The properties of the picture, which may be attributes or elements."""
        for description in self._descriptions():
            yield from _properties_of(description)

    def _remove_false(self, turned: bool) -> None:
        """Remove what is about other parts of the file, or about pixels of another size or orientation."""
        applied = (_CAMERA_RAW, "AlreadyApplied")
        cropped = any(_name(found) == applied and _text(found) == "True" for found in self._properties())
        for found in list(self._properties()):
            space, name = _name(found)
            if (
                (_is_of_other_parts(space) and space != _PANORAMA)
                or (space, name) in _FALSE
                or name.lower().startswith(_FALSE_BY_NAME)
                or (name in _REGIONS and turned)
                or (name == "ImageRegion" and any(_text(part).strip() == "pixel" for part in _parts(found)))
                or (space == _CAMERA_RAW and (turned or (cropped and name in _CROP)))
            ):
                _remove(found)

    def _scale_panorama(self, width: int, height: int, turned: bool) -> None:
        """Lengths of a panorama are in pixels, those of this picture among them; without these nothing is known."""
        found = {_name(found)[1]: found for found in self._properties() if _name(found)[0] == _PANORAMA}
        old_width, old_height = (_whole(found.get(f"CroppedAreaImage{side}Pixels")) for side in ("Width", "Height"))
        for name, length in found.items():
            if turned or not old_width or not old_height:
                _remove(length)
            elif name.endswith("Pixels") or name.startswith("LargestValidInteriorRect"):
                old, across = _whole(length), "Width" in name or "Left" in name
                if old is None:
                    _remove(length)
                else:
                    _set(length, str(round(old * width / old_width if across else old * height / old_height)))

    def _remove_unused_prefixes(self) -> None:
        """Remove declarations of namespaces that nothing is left of: some readers look for no more than these."""
        parts = list(_parts(self._document))
        used = {part.namespaceURI for part in parts}
        for part in parts:
            if (
                isinstance(part, minidom.Attr)
                and part.namespaceURI == _XMLNS
                and _is_of_other_parts(part.value)
                and part.value not in used
            ):
                _remove(part)


def read(block: bytes) -> Xmp | None:
    """The XMP in a packet; None if it is none, declares a document type, or is larger or deeper than any program's."""
    if len(block) > _MOST:
        return None
    try:
        text = _decoded(block)
        if "<!DOCTYPE" in text or text.count("<") + text.count("=") > _MOST_PARTS:
            return None
        document = minidom.parseString(text)
        return Xmp(document) if _depth(document) <= _DEEPEST else None
    except (ExpatError, ValueError, IndexError):
        return None


def empty() -> Xmp:
    """A packet that says nothing."""
    return Xmp(minidom.parseString(_EMPTY.encode()))


def _decoded(block: bytes) -> str:
    """The text of a packet, which may be padded."""
    zeros = [block[at : at + 1] == b"\0" for at in range(4)]
    wide = block[:2] in (b"\xfe\xff", b"\xff\xfe") or zeros[:2] in ([True, False], [False, True])
    if wide:
        text = block.decode("utf-16" if block[0] > 0x80 else "utf-16-be" if zeros[0] else "utf-16-le")
    else:
        text = block.decode("utf-8-sig")
    return text.lstrip("\ufeff").strip("\0 \t\r\n")


def _name(found: Property | minidom.Element) -> tuple[str, str]:
    """Namespace and local name."""
    return found.namespaceURI or "", found.localName or ""


def _is_of_other_parts(space: str) -> bool:
    return space.startswith(_OF_OTHER_PARTS) or _OF_PHONES in space


def _text(found: Property) -> str:
    if isinstance(found, minidom.Attr):
        return str(found.value)
    return "".join(node.data for node in found.childNodes if isinstance(node, minidom.Text))


def _whole(found: Property | None) -> int | None:
    """The whole number that a property holds."""
    text = _text(found).strip() if found is not None else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _set(found: Property, text: str) -> None:
    """Replace a simple value."""
    if isinstance(found, minidom.Attr):
        found.value = text
        return
    while found.firstChild is not None:
        found.removeChild(found.firstChild)
    value = minidom.Text()
    value.data = text
    found.appendChild(value)


def _remove(found: Property) -> None:
    if isinstance(found, minidom.Attr):
        if found.ownerElement is not None:
            found.ownerElement.removeAttributeNode(found)
    elif found.parentNode is not None:
        found.parentNode.removeChild(found)


def _properties_of(description: minidom.Element) -> Iterator[Property]:
    """The attributes and elements that are properties, a copy of their list."""
    yield from [found for found in _attributes(description) if found.namespaceURI not in (_XMLNS, _RDF)]
    yield from [node for node in description.childNodes if isinstance(node, minidom.Element)]


def _attributes(element: minidom.Element) -> list[minidom.Attr]:
    return list(element.attributes.values())


def _parts(top: minidom.Node) -> Iterator[Property]:
    """All elements below a node, and the attributes of all of them and of itself."""
    waiting = [top]
    while waiting:
        node = waiting.pop()
        if isinstance(node, minidom.Element):
            yield from _attributes(node)
        below = [child for child in node.childNodes if isinstance(child, minidom.Element)]
        yield from below
        waiting += below


def _depth(document: minidom.Document) -> int:
    """How many elements are within each other, at most."""
    depth, level = 0, [node for node in document.childNodes if isinstance(node, minidom.Element)]
    while level:
        depth += 1
        level = [child for node in level for child in node.childNodes if isinstance(child, minidom.Element)]
    return depth


def _packed(node: minidom.Node) -> bytes:
    """The bytes of a node; of an attribute about as many."""
    if isinstance(node, minidom.Attr):
        return f'{node.name}="{node.value}" '.encode()
    return _TAG.sub(lambda tag: tag[0].replace("\n", "&#10;"), node.toxml()).encode()
