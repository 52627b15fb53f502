"""YAML files read into frozen dataclasses, every key and type checked, and dataclasses turned back into plain values.

Only what a recipe or a suite needs of YAML is read: words, decimal numbers, true and false, lists, and keys and values.
Dates are words; aliases, tags, merged, repeated and other keys, and files of more than 256 kB are refused, so that no
file takes much time or memory. What the keys mean, and which values make sense together, is checked by those who own
the dataclasses.
"""

import dataclasses
import inspect
import math
import re
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml

from cnlrn.errors import CnlrnError, cut, nearest, shown
from cnlrn.files import expanded

_T = TypeVar("_T")

_LARGEST_FILE = 2**18  # bytes
_MOST_NODES = 10_000
_DEEPEST = 20
_LONGEST_TEXT = 4096
_LARGEST_NUMBER = 2**63 - 1  # what libraries take for a whole number
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and halves of characters


class _Loader(yaml.SafeLoader):
    """The part of YAML that this module's first paragraph names."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        self._nodes += 1
        self._depth += 1
        if isinstance(event, yaml.AliasEvent):
            raise _refusal("an alias (*) stands for a value; write the value itself", event)
        if getattr(event, "tag", None) is not None:
            raise _refusal("a tag (!) stands before a value; leave it out", event)
        if self._depth > _DEEPEST:
            raise _refusal(f"values are nested more than {_DEEPEST} deep", event)
        if self._nodes > _MOST_NODES:
            raise _refusal(f"there are more than {_MOST_NODES:,} values", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        mapping: dict[Hashable, object] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if type(key) not in (str, int):
                raise _refusal(f"{shown(key)} is no key; write a word, in quotes if need be", key_node)
            if key in mapping:
                raise _refusal(f"the key {cut(str(key))} is there twice", key_node)
            mapping[key] = self.construct_object(value_node, deep=deep)
        return mapping

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        text = str(super().construct_scalar(node))
        if len(text) > _LONGEST_TEXT:
            raise _refusal(f"a text has {len(text):,} letters, more than {_LONGEST_TEXT:,}", node)
        if _UNFIT.search(text):
            raise _refusal(f"{shown(text)} has letters that no text has", node)
        return text


_KEPT = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:null")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in patterns if tag in _KEPT]
    for first, patterns in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]{0,30})$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


def load(text: str, what: str) -> object:
    """The value that a text in YAML stands for; CnlrnError, which calls the text `what`, where it is none."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise CnlrnError(f"{what} is not YAML: {_reason(error)}") from error


def _refusal(problem: str, place: yaml.Event | yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)  # type: ignore[arg-type]


def _reason(error: yaml.YAMLError) -> str:
    """What is wrong, and where, in one line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return cut(str(error), 200)
    parts = [part for part in (error.context, error.problem) if part]
    mark = error.problem_mark
    return cut(", ".join(parts), 200) + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")


@dataclass(frozen=True)
class Within:
    """What a number in `Annotated[int, Within(1)]` may be: at least `least`, at most `most` and less than `below`."""

    least: float
    most: float = math.inf
    below: float = math.inf

    def check(self, value: float, where: str) -> None:
        """CnlrnError where `value`, that of the key `where`, is outside."""
        if not (self.least <= value <= self.most and value < self.below):
            bounds = {"at least": self.least, "at most": self.most, "below": self.below}
            words = " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound))
            raise CnlrnError(f"{where} is {value}; it must be {words}")


Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Amount = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
Number = int | float


@dataclass(frozen=True)
class Schema:
    """How one sort of file is read: `what` it is called in messages, such as "recipe", and its tagged dataclasses.

    `kinds` names the dataclasses of which a field may hold one or another (`A | B`, or a base class of theirs that is
    abstract). In the file the key `kind` tells which; it can be left out where one of the other keys is itself the name
    of a kind.
    """

    what: str
    kinds: Mapping[str, type]

    def tree(self, file: Path) -> dict[str, object]:
        """The keys and values in a file; CnlrnError where it cannot be read or holds something else."""
        try:
            with file.open("rb") as stream:
                content = stream.read(_LARGEST_FILE + 1)
            text = content.decode()
        except OSError as error:
            raise CnlrnError(f"cannot read the {self.what} {file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise CnlrnError(f"{file} is not YAML: {error}") from error
        if len(content) > _LARGEST_FILE:
            raise CnlrnError(f"{file} is no {self.what}: it has more than {_LARGEST_FILE // 2**10} kB")
        tree = load(text, str(file))
        if not isinstance(tree, dict):
            raise CnlrnError(f"{file} is no {self.what}; expected keys and values")
        return tree

    def parse(self, cls: type[_T], tree: Mapping[str, object]) -> _T:
        """`tree` as the dataclass `cls`.

        Raises:
            CnlrnError: a key is unknown (the nearest known one is offered), missing, or of the wrong type.
        """
        return typing.cast(_T, self._dataclass(cls, tree, ""))

    def plain(self, value: object) -> object:
        """What YAML and JSON can hold, dictionaries, lists, strings and numbers; `parse` reads it back."""
        if dataclasses.is_dataclass(value):
            kinds = [name for name, cls in self.kinds.items() if cls is type(value)]
            values = {f.name: self.plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"kind": kinds[0], **values} if kinds else values
        if isinstance(value, dict):
            return {key: self.plain(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return [self.plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    def _value(self, kind: object, value: object, where: str) -> object:
        """`value`, from YAML, as the type `kind`; `where` is its key, for messages."""
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin is Annotated:
            number = self._value(arguments[0], value, where)
            arguments[1].check(number, where)
            return number
        if kind == Number:
            return self._value(int if type(value) is int else float, value, where)
        if origin in (typing.Union, types.UnionType):
            if type(None) not in arguments:
                return self._one_of_kinds(typing.cast(tuple[type, ...], arguments), value, where)
            return None if value is None else self._value(arguments[0], value, where)
        if inspect.isabstract(kind):
            return self._one_of_kinds((typing.cast(type, kind),), value, where)
        if dataclasses.is_dataclass(kind):
            return self._dataclass(typing.cast(type, kind), value, where)
        if origin is Literal and value in arguments:
            return value
        if origin is dict and isinstance(value, Mapping):
            return {
                self._value(arguments[0], k, f"a key of {where}"): self._value(
                    arguments[1], v, f"{where}.{cut(str(k))}"
                )
                for k, v in value.items()
            }
        if origin is tuple and isinstance(value, list) and (arguments[-1] is ... or len(value) == len(arguments)):
            return tuple(self._value(arguments[0], item, where) for item in value)
        if kind is Path and isinstance(value, str):
            return expanded(value, where)
        if kind is float and type(value) in (int, float) and math.isfinite(typing.cast(float, value)):
            return float(typing.cast(float, value))
        if kind is int and type(value) is int and abs(value) > _LARGEST_NUMBER:
            raise CnlrnError(f"{where} is {shown(value)}; that is too large a number")
        if kind in (bool, int, str) and type(value) is kind:
            return value
        raise CnlrnError(f"{where} is {shown(value)}; expected {_words(kind)}")

    def _dataclass(self, cls: type, value: object, where: str) -> object:
        if not isinstance(value, Mapping):
            raise CnlrnError(f"{where or f'the {self.what}'} is {shown(value)}; expected keys and values")
        hints = typing.get_type_hints(cls, include_extras=True)
        prefix = f"{where}." if where else ""
        for key in value:
            if key not in hints:
                name = cut(str(key))
                raise CnlrnError(f"unknown key {prefix}{name} in the {self.what}; {nearest(name, hints, prefix)}")
        for field in dataclasses.fields(cls):
            optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            if not optional and field.name not in value:
                raise CnlrnError(f"the {self.what} lacks {prefix}{field.name}")
        return cls(**{key: self._value(hints[key], item, f"{prefix}{key}") for key, item in value.items()})

    def _one_of_kinds(self, classes: tuple[type, ...], value: object, where: str) -> object:
        kinds = {name: cls for name, cls in self.kinds.items() if issubclass(cls, classes)}
        if not isinstance(value, Mapping):
            raise CnlrnError(f"{where} is {shown(value)}; expected keys and values, and kind one of {', '.join(kinds)}")
        if "kind" not in value and len(named := [key for key in value if key in kinds]) == 1:
            return self._dataclass(kinds[named[0]], value, where)
        if str(value.get("kind")) not in kinds:
            unknown = [] if "kind" in value else list(value)[:1]
            hint = "".join(f"; {nearest(cut(str(key)), kinds, where + '.')}" for key in unknown)
            raise CnlrnError(f"{where}.kind must be one of {', '.join(kinds)}{hint}")
        rest = {key: item for key, item in value.items() if key != "kind"}
        return self._dataclass(kinds[str(value["kind"])], rest, where)


def _words(kind: object) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return "a list of words" if str in typing.get_args(kind) else "a list of numbers"
    if typing.get_origin(kind) is dict:
        return "keys and values"
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a word", Path: "a path"}.get(
        typing.cast(type, kind), str(kind)
    )
