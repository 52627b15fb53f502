"""YAML files read into frozen dataclasses, every key and type checked, and dataclasses turned back into plain values.

What the keys mean, and which values make sense together, is checked by those who own the dataclasses.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml

from cnlrn.errors import CnlrnError, nearest

_T = TypeVar("_T")


@dataclass(frozen=True)
class Within:
    """What a number in `Annotated[int, Within(1)]` may be: at least `least`, at most `most` and less than `below`."""

    least: float
    most: float = math.inf
    below: float = math.inf

    def check(self, value: float, where: str) -> None:
        """CnlrnError where `value`, that of the key `where`, is outside, or not a number at all."""
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

    `kinds` names the dataclasses of which a field may hold one or another (`A | B`). In the file the key `kind` tells
    which; it can be left out where one of the other keys is itself the name of a kind.
    """

    what: str
    kinds: Mapping[str, type]

    def tree(self, file: Path) -> dict[str, object]:
        """The keys and values in a file; CnlrnError where it cannot be read or holds something else."""
        try:
            tree = yaml.safe_load(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise CnlrnError(f"cannot read the {self.what} {file}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise CnlrnError(f"{file} is not YAML: {error}") from error
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
            return value if type(value) is int else self._value(float, value, where)
        if origin in (typing.Union, types.UnionType):
            if type(None) not in arguments:
                return self._one_of_kinds(arguments, value, where)
            return None if value is None else self._value(arguments[0], value, where)
        if dataclasses.is_dataclass(kind):
            return self._dataclass(typing.cast(type, kind), value, where)
        if origin is Literal and value in arguments:
            return value
        if origin is dict and isinstance(value, Mapping):
            return {
                self._value(arguments[0], k, where): self._value(arguments[1], v, f"{where}.{k}")
                for k, v in value.items()
            }
        if origin is tuple and isinstance(value, list) and (arguments[-1] is ... or len(value) == len(arguments)):
            return tuple(self._value(arguments[0], item, where) for item in value)
        if kind is Path and isinstance(value, str):
            return Path(value).expanduser()
        if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                return float(value)  # YAML 1.1 reads 1e-4, without a dot, as a string
            except ValueError:
                pass
        elif kind in (bool, int, str) and type(value) is kind:
            return value
        raise CnlrnError(f"{where} is {value!r}; expected {_words(kind)}")

    def _dataclass(self, cls: type, value: object, where: str) -> object:
        if not isinstance(value, Mapping):
            raise CnlrnError(f"{where or f'the {self.what}'} is {value!r}; expected keys and values")
        hints = typing.get_type_hints(cls, include_extras=True)
        prefix = f"{where}." if where else ""
        for key in value:
            if key not in hints:
                raise CnlrnError(f"unknown key {prefix}{key} in the {self.what}; {nearest(str(key), hints, prefix)}")
        for field in dataclasses.fields(cls):
            optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            if not optional and field.name not in value:
                raise CnlrnError(f"the {self.what} lacks {prefix}{field.name}")
        return cls(**{key: self._value(hints[key], item, f"{prefix}{key}") for key, item in value.items()})

    def _one_of_kinds(self, classes: tuple[object, ...], value: object, where: str) -> object:
        kinds = {name: cls for name, cls in self.kinds.items() if cls in classes}
        if not isinstance(value, Mapping):
            raise CnlrnError(f"{where} is {value!r}; expected keys and values, and kind one of {', '.join(kinds)}")
        if "kind" not in value and len(named := [key for key in value if key in kinds]) == 1:
            return self._dataclass(kinds[named[0]], value, where)
        if str(value.get("kind")) not in kinds:
            unknown = [] if "kind" in value else list(value)[:1]
            hint = "".join(f"; {nearest(str(key), kinds, where + '.')}" for key in unknown)
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
