"""The little of the ONNX file format that an engine needs: read a model's metadata, and keep one exit of several.

ONNX Runtime computes every node of a graph whatever output is asked for, so a session that should not pay for the x4
exit needs a graph without it. A file is a protocol buffer message; only lists of fields are cut and joined here, by the
field numbers of onnx.proto, and no tensor is looked into. Subgraphs (`If`, `Loop`) are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator

_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 11, 12
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_VALUE_NAME = 1
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def metadata(model: bytes) -> dict[str, str]:
    """The `metadata_props` of a serialised ONNX model.

    Raises:
        ValueError: not such a message, or cut short.
    """
    entries = [entry for number, _, entry in _fields(model) if number == _MODEL_METADATA]
    return {_text(entry, _ENTRY_KEY)[0]: _text(entry, _ENTRY_VALUE)[0] for entry in entries}


def keep_output(model: bytes, name: str) -> bytes:
    """The serialised model with the one output `name` and the nodes and inputs that lead to it.

    Raises:
        ValueError: not such a message, cut short, or without this output.
    """
    pieces = []
    for number, field, content in _fields(model):
        pieces.append(_message(number, _graph_of(content, name)) if number == _MODEL_GRAPH else field)
    return b"".join(pieces)


def _graph_of(graph: bytes, name: str) -> bytes:
    fields = list(_fields(graph))
    if not any(number == _GRAPH_OUTPUT and _text(value, _VALUE_NAME) == [name] for number, _, value in fields):
        raise ValueError(f"the model has no output {name}")
    needed = {name}
    kept = []
    for number, field, content in reversed(fields):  # a node comes after those that it reads
        if number == _GRAPH_OUTPUT and _text(content, _VALUE_NAME) != [name]:
            continue
        if number == _GRAPH_NODE:
            if needed.isdisjoint(_text(content, _NODE_OUTPUT)):
                continue
            needed.update(_text(content, _NODE_INPUT))
        kept.append((number, field, content))
    return b"".join(
        field
        for number, field, content in reversed(kept)
        if number != _GRAPH_INPUT or not needed.isdisjoint(_text(content, _VALUE_NAME))
    )


def _text(message: bytes, wanted: int) -> list[str]:
    """The strings of the field `wanted`."""
    return [content.decode() for number, _, content in _fields(message) if number == wanted]


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, whole encoding and content (empty for plain numbers) of each field."""
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        content = b""
        match key & 7:
            case 0:
                _, at = _read_varint(message, at)
            case 1:
                at += 8
            case 2:
                length, at = _read_varint(message, at)
                content = message[at : at + length]
                at += length
            case 5:
                at += 4
            case _:
                raise ValueError("unknown wire type")
        if at > len(message):
            raise ValueError("cut short")
        yield key >> 3, message[start:at], content


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 127) << shift
        at += 1
        if message[at - 1] < 128:
            return value, at
    raise ValueError("a number is cut short or too long")


def _message(number: int, content: bytes) -> bytes:
    """A field of length-delimited content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
