"""Training recipes: a YAML file read into frozen dataclasses, every key checked, before anything heavy is loaded."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml

from cnlrn.errors import CnlrnError


@dataclass(frozen=True)
class SharpData:
    """A folder of sharp pictures, degraded on the fly. Lengths are in HR pixels."""

    folder: Path
    degradation: str = "photo"
    patch: int = 192
    texture: int = 1
    """Of so many crops, the one with most gradient energy is kept."""
    cache: Path | None = None
    """Where decoded pictures are kept; None is the user's cache folder."""


@dataclass(frozen=True)
class PreparedData(SharpData):
    """A folder of sharp pictures, degraded once into `count` pairs of side `patch` + `slack`, cropped at random."""

    count: int = 4000
    slack: int = 32


@dataclass(frozen=True)
class PairsData:
    """Two folders of pictures, matched by name."""

    lr: Path
    hr: Path
    patch: int = 192


@dataclass(frozen=True)
class RedsData:
    """The REDS layout below `folder`: train_blur_bicubic/X4 and train_sharp."""

    folder: Path
    patch: int = 256


Data = SharpData | PreparedData | PairsData | RedsData
_KINDS: dict[str, type[Data]] = {"sharp": SharpData, "prepared": PreparedData, "pairs": PairsData, "reds": RedsData}


@dataclass(frozen=True)
class Loss:
    """Sum over exits of weight x (L1 + `gradient` x gradient loss + `squared` x mean square).

    Without `exits` the largest scale alone counts.
    """

    exits: dict[int, float] = field(default_factory=dict)
    gradient: float = 0.1
    squared: float = 0.0


@dataclass(frozen=True)
class Optimiser:
    """Adam, its cosine learning rate with restarts, gradient clipping, and the average of weights that is kept."""

    lr: float = 2e-4
    deblurring_lr: float | None = None
    """The deblurring module's own learning rate; None is `lr`."""
    betas: tuple[float, float] = (0.9, 0.99)
    periods: tuple[int, ...] = ()
    """Steps of each cosine cycle; empty is one cycle over all steps."""
    restart_weights: tuple[float, ...] = ()
    """Factor of the learning rate in each cycle; empty is 1."""
    eta_min: float = 1e-7
    warmup: int = 0
    """Steps at the start in which the learning rate rises linearly."""
    clip: float | None = None
    """Largest norm of the gradient; None is no clipping."""
    ema: float = 0.999
    """Decay of the exponential moving average of weights, which is what is validated and kept."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run."""

    network: str
    steps: int
    data: Data
    preset: dict[str, int] = field(default_factory=dict)
    """Hyper-parameters of the network that differ from its preset's, for experiments."""
    batch: int = 16
    """Samples a step, over all devices."""
    seed: int = 0
    loss: Loss = field(default_factory=Loss)
    optimiser: Optimiser = field(default_factory=Optimiser)
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """auto is bf16 where the hardware multiplies it, else float32."""
    devices: int | None = None
    """GPUs, or processes that share the cores of a CPU; None is all GPUs, or one process."""
    workers: int = 1
    """Processes that make samples, a device."""
    checkpoint_every: int = 500
    validate_every: int = 2000
    """Steps; rounded up to a checkpoint."""
    validation: dict[str, Path] = field(default_factory=dict)
    """Name -> folder that holds blurry_x4/ and sharp/, or REDS (then Val300)."""


def load(file: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; each override is `key=value` or `section.key=value`, the value in YAML.

    Raises:
        CnlrnError: the file cannot be read, or a key is unknown (the nearest known one is offered), missing, or of
            the wrong type.
    """
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise CnlrnError(f"cannot read the recipe {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CnlrnError(f"{file} is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise CnlrnError(f"{file} is no recipe; expected keys such as network, steps and data")
    for override in overrides:
        _set(tree, override)
    recipe = typing.cast(Recipe, _parse(Recipe, tree, ""))
    _check(recipe)
    return recipe


def plain(value: object) -> object:
    """A recipe as YAML and JSON can hold it: dictionaries, lists, strings, numbers; `load` reads it back."""
    if dataclasses.is_dataclass(value):
        kinds = [name for name, cls in _KINDS.items() if cls is type(value)]
        values = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": kinds[0], **values} if kinds else values
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _set(tree: dict[str, object], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise CnlrnError(f"'{override}' sets nothing; write key=value, such as steps=2000 or data.folder=pictures")
    *sections, key = path.split(".")
    for section in sections:
        tree = typing.cast(dict[str, object], tree.setdefault(section, {}))
        if not isinstance(tree, dict):
            raise CnlrnError(f"'{override}': {section} is a value, not a section")
    tree[key] = yaml.safe_load(text)


def _check(recipe: Recipe) -> None:
    optimiser = recipe.optimiser
    for key in ("steps", "batch", "devices", "checkpoint_every", "validate_every"):
        value = getattr(recipe, key)
        if value is not None and value < 1:
            raise CnlrnError(f"{key} is {value}; it must be at least 1")
    if optimiser.periods and sum(optimiser.periods) < recipe.steps:
        raise CnlrnError(
            f"optimiser.periods cover {sum(optimiser.periods)} steps of {recipe.steps}; add a period or lower steps"
        )
    if optimiser.restart_weights and len(optimiser.restart_weights) != len(optimiser.periods):
        raise CnlrnError("optimiser.restart_weights and optimiser.periods must have as many entries")


def _parse(kind: object, value: object, where: str) -> object:
    """`value`, from YAML, as the type `kind`; `where` is its key, for messages."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind == Data:
        return _parse_data(value, where)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _parse(arguments[0], value, where)
    if dataclasses.is_dataclass(kind):
        return _parse_dataclass(typing.cast(type, kind), value, where)
    if origin is Literal and value in arguments:
        return value
    if origin is dict and isinstance(value, Mapping):
        return {_parse(arguments[0], k, where): _parse(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if origin is tuple and isinstance(value, list) and (arguments[-1] is ... or len(value) == len(arguments)):
        return tuple(_parse(arguments[0], item, where) for item in value)
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    if kind is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-4, without a dot, as a string
        except ValueError:
            pass
    elif kind in (int, str) and type(value) is kind:
        return value
    raise CnlrnError(f"{where} is {value!r}; expected {_words(kind)}")


def _parse_dataclass(cls: type, value: object, where: str) -> object:
    if not isinstance(value, Mapping):
        raise CnlrnError(f"{where or 'the recipe'} is {value!r}; expected keys and values")
    hints = typing.get_type_hints(cls)
    prefix = f"{where}." if where else ""
    for key in value:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.5)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known here are {', '.join(hints)}"
            raise CnlrnError(f"unknown key {prefix}{key} in the recipe; {hint}")
    for required in dataclasses.fields(cls):
        optional = required.default is not dataclasses.MISSING or required.default_factory is not dataclasses.MISSING
        if not optional and required.name not in value:
            raise CnlrnError(f"the recipe lacks {prefix}{required.name}")
    return cls(**{key: _parse(hints[key], item, f"{prefix}{key}") for key, item in value.items()})


def _parse_data(value: object, where: str) -> object:
    if not isinstance(value, Mapping) or value.get("kind") not in _KINDS:
        raise CnlrnError(f"{where}.kind must be one of {', '.join(_KINDS)}")
    rest = {key: item for key, item in value.items() if key != "kind"}
    return _parse_dataclass(_KINDS[value["kind"]], rest, where)


def _words(kind: object) -> str:
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return "a list of numbers"
    if typing.get_origin(kind) is dict:
        return "keys and values"
    return {int: "a whole number", float: "a number", str: "a word", Path: "a path"}.get(
        typing.cast(type, kind), str(kind)
    )
