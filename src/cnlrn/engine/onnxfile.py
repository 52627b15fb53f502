"""The little of the ONNX file format that an engine needs: check a model, read its metadata, keep one exit of several.

ONNX Runtime computes every node of a graph whatever output is asked for, so a session that should not pay for the x4
exit needs a graph without it. And it runs whatever a file says: nodes that loop for ever, and tensors that lie in other
files, which are read and shown. `cnlrn export` writes none of these, so they are refused. A file is a protocol buffer
message; only lists of fields are cut and joined here, by the field numbers of onnx.proto, and no tensor's values are
looked into.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_MODEL_GRAPH, _MODEL_METADATA, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 14, 20, 25
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_SPARSE = 1, 5, 11, 12, 15
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14
_IN_THE_FILE = bytes((_TENSOR_LOCATION << 3, 0))
_VALUE_NAME = 1
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_DOMAINS = ("", "ai.onnx")
_LOOPS = ("If", "Loop", "Scan", "SequenceMap")  # their graphs give them away too
_LONGEST_NAME = 100
# Far beyond those of any network of this package.
_LARGEST = {"scales": 16, "multiple": 1024, "context": 10_000, "levels": 10_000, "preset": 10_000}

Buffer = bytes | memoryview
"""Of parts of a model there are views, no copies: it may be large."""


class Level(NamedTuple):
    """What a network that works coarse to fine makes of the whole picture at one of its levels.

    A level's tiles begin and end at multiples of `multiple` pixels of the picture.
    """

    reduction: int
    channels: int
    context: int
    multiple: int


@dataclass(frozen=True)
class Metadata:
    """What `cnlrn export` tells of a network; `context` is None where it looks at the whole picture.

    `preset` are the hyper-parameters that differ from those of the network called `name`.
    """

    name: str
    scales: tuple[int, ...]
    multiple: int
    context: int | None
    survey: bool
    levels: tuple[Level, ...]
    preset: dict[str, float]


def check(model: bytes) -> Metadata:
    """The metadata of a serialised ONNX model, once all of it is found to be what `cnlrn export` writes.

    Raises:
        ValueError: not such a message or cut short, metadata that are missing or make no sense, or a graph with other
            parts than export writes: branches and loops, functions, operators of other domains, data in other files.
    """
    found = _checked(metadata(model))
    for number, _, content in _fields(model):
        if number in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
            raise ValueError("it has functions or a training part")
        if number == _MODEL_GRAPH:
            _check_graph(content)
    return found


def metadata(model: bytes) -> dict[str, str]:
    """The `metadata_props` of a serialised ONNX model.

    Raises:
        ValueError: not such a message, or cut short.
    """
    entries = [entry for number, _, entry in _fields(model) if number == _MODEL_METADATA]
    return {_word(entry, _ENTRY_KEY): _word(entry, _ENTRY_VALUE) for entry in entries}


def keep_output(model: bytes, name: str) -> bytes:
    """The serialised model with the one output `name` and the nodes and inputs that lead to it.

    Raises:
        ValueError: not such a message, cut short, or without this output.
    """
    pieces = []
    for number, field, content in _fields(model):
        pieces.append(_message(number, _graph_of(content, name)) if number == _MODEL_GRAPH else field)
    return b"".join(pieces)


def _graph_of(graph: Buffer, name: str) -> bytes:
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


def _checked(facts: dict[str, str]) -> Metadata:
    """The metadata that make sense; ValueError where one does not."""
    for key in ("name", "scales", "multiple", "context"):
        if key not in facts:
            raise ValueError(f"its metadata lack {key}")
    name = facts["name"]
    if not (name.isprintable() and name.strip() and len(name) <= _LONGEST_NAME):
        raise ValueError("its name cannot be shown")
    scales = tuple(_number(facts, "scales", part) for part in facts["scales"].split(","))
    if len(set(scales)) != len(scales):
        raise ValueError("its metadata name a scale twice")
    context = _number(facts, "context", facts["context"], least=0) if facts["context"] else None
    multiple = _number(facts, "multiple", facts["multiple"])
    survey, levels = facts.get("survey") == "yes", _levels(facts, multiple)
    return Metadata(name, scales, multiple, context, survey, levels, _preset(facts.get("preset", "{}")))


def _number(facts: dict[str, str], key: str, text: str, least: int = 1) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not least <= int(text) <= _LARGEST[key]:
        raise ValueError(f"its metadata's {key} is {facts[key][:20]!r}, not from {least} to {_LARGEST[key]}")
    return int(text)


def _levels(facts: dict[str, str], multiple: int) -> tuple[Level, ...]:
    """The levels; in files of earlier versions they have no multiple of their own."""
    levels = []
    for text in facts["levels"].split(",") if facts.get("levels") else ():
        parts = text.split(":")
        if len(parts) not in (3, 4):
            parts = ["", "", ""]
        reduction, channels = (_number(facts, "levels", part) for part in parts[:2])
        own = _number(facts, "levels", parts[3]) if parts[3:] else multiple
        if multiple % own or own % reduction:
            raise ValueError(f"its metadata's levels are {facts['levels'][:20]!r}, whose tiles fit no picture")
        levels.append(Level(reduction, channels, _number(facts, "levels", parts[2], least=0), own))
    return tuple(levels)


def _preset(text: str) -> dict[str, float]:
    try:
        preset: object = json.loads(text)
    except (ValueError, RecursionError):
        preset = None
    if not isinstance(preset, dict) or not all(map(_hyper_parameter, preset.values())):
        raise ValueError("its metadata's preset is not names and numbers of a network")
    return preset


def _hyper_parameter(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST["preset"]


def _check_graph(graph: Buffer) -> None:
    for number, _, content in _fields(graph):
        if number == _GRAPH_NODE:
            _check_node(content)
        elif number == _GRAPH_TENSOR:
            _check_tensor(content)
        elif number == _GRAPH_SPARSE:
            raise ValueError("it has sparse tensors")


def _check_node(node: Buffer) -> None:
    operator, domain = _word(node, _NODE_OPERATOR), _word(node, _NODE_DOMAIN)
    if domain not in _DOMAINS:
        raise ValueError(f"it has operators of the domain {domain[:40]!r}")
    if operator in _LOOPS:
        raise ValueError(f"it has branches or loops ({operator})")
    for number, _, attribute in _fields(node):
        if number != _NODE_ATTRIBUTE:
            continue
        for part, _, content in _fields(attribute):
            if part in _ATTRIBUTE_GRAPHS:
                raise ValueError(f"it has branches or loops ({operator[:40]!r})")
            if part in _ATTRIBUTE_SPARSE:
                raise ValueError("it has sparse tensors")
            if part in _ATTRIBUTE_TENSORS:
                _check_tensor(content)


def _check_tensor(tensor: Buffer) -> None:
    if any(
        number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and field != _IN_THE_FILE)
        for number, field, _ in _fields(tensor)
    ):
        raise ValueError("some of its data lie in other files")


def _word(message: Buffer, wanted: int) -> str:
    """The string of the field `wanted`: the last if there are several, as protocol buffers have it; empty if none."""
    return next(reversed(_text(message, wanted)), "")


def _text(message: Buffer, wanted: int) -> list[str]:
    """The strings of the field `wanted`."""
    return [str(content, "utf-8") for number, _, content in _fields(message) if number == wanted]


def _fields(message: Buffer) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Number, whole encoding and content (empty for plain numbers) of each field."""
    message, at = memoryview(message), 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        content = message[:0]
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
                raise ValueError("it is damaged")
        if at > len(message):
            raise ValueError("it is cut short")
        if not 0 < key >> 3 < 2**29:
            raise ValueError("it is damaged")
        yield key >> 3, message[start:at], content


def _read_varint(message: Buffer, at: int) -> tuple[int, int]:
    """A number of at most 64 bits in groups of 7, lowest first, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        value |= (message[at] & 127) << shift
        at += 1
        if message[at - 1] < 128:
            if value >> 64:
                break
            return value, at
    raise ValueError("a number in it is cut short or too long")


def _message(number: int, content: Buffer) -> bytes:
    """A field of length-delimited content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
