"""The models that users choose by name: each is an ONNX file in this folder and a card, `NAME.json`, that tells its
data, licences, recipe, measured figures and limits. Running a model is not here: see `cnlrn.engine.onnx`. What
restores nothing lies in the folder `estimators`: see `cnlrn.restoration.blur`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from cnlrn.errors import CnlrnError, NoSuchModel, nearest

DEFAULT = "cnlrn-s"
"""What enlarges pictures, if no model is named."""
OWN_SIZE = "cnlrn-own"
"""What makes pictures sharper at their own size, if no model is named."""
FOLDER = Path(__file__).parent

Precision = Literal["float32", "int8", "auto"]


@dataclass(frozen=True)
class Card:
    """What a user should know of a model before trusting it; the fields are those of the JSON file.

    `file` is the ONNX file beside the card and `sha256` its checksum, in hexadecimal. `scales` are the enlargements it
    offers. `data` lists what it was trained on, each with `name` and `licence`. `recipe` is the training recipe,
    `figures` what was measured (name to value), and `limits` what it does badly, a sentence each. `int8`, if not empty,
    holds the `file` and `sha256` of its eight-bit version.
    """

    name: str
    description: str
    file: str
    sha256: str
    scales: list[int]
    data: list[dict[str, str]]
    recipe: str
    figures: dict[str, float]
    limits: list[str]
    int8: dict[str, str] = field(default_factory=dict)


def models() -> list[Card]:
    """The cards of all models that come with the package, sorted by name."""
    return [_card(path) for path in sorted(FOLDER.glob("*.json"))]


def find(model: str | os.PathLike[str], precision: Precision = "float32") -> tuple[Path, str | None]:
    """The ONNX file of a model and the checksum that its card names.

    `model` is a model's name, or the path of a file ending in `.onnx`, which has no card and so no checksum.
    `precision` is float32, int8, or auto: int8 for a model that has it.

    Raises:
        NoSuchModel: no model has this name; the message suggests the nearest.
        CnlrnError: int8 for a model that has no eight-bit version.
    """
    if not isinstance(model, str) or model.lower().endswith(".onnx"):
        if precision == "int8":
            raise CnlrnError(f"the file {model} is run as it is; leave out the precision, or name a shipped model")
        return Path(model), None
    cards = {card.name: card for card in models()}
    if model in cards:
        card = cards[model]
        if precision == "float32" or (precision == "auto" and not card.int8):
            return FOLDER / card.file, card.sha256
        if not card.int8:
            raise CnlrnError(f"{model} has no eight-bit version; choose the precision auto or float32")
        return FOLDER / card.int8["file"], card.int8["sha256"]
    raise NoSuchModel(f"there is no model {model!r}, and it is no .onnx file; {nearest(model, cards)}")


def fitting(name: str, precision: Precision) -> Precision:
    """`precision`, but "float32" instead of "int8" for a shipped model that has no eight-bit version."""
    lacking = any(card.name == name and not card.int8 for card in models())
    return "float32" if precision == "int8" and lacking else precision


def _card(path: Path) -> Card:
    return Card(**json.loads(path.read_text(encoding="utf-8")))
