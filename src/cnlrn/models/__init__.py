"""The models that users choose by name: each is an ONNX file in this folder and a card, `NAME.json`, with its training
data, licences, recipe, measured figures and limits. `cnlrn.engine.onnx` runs a model. The folder `estimators` holds
what restores nothing: see `cnlrn.restoration.blur`.
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
    """What a user should know about a model before trusting it. The fields are those of the JSON file.

    Attributes:
        name: what users call it.
        description: one line on what it does.
        file: the ONNX file beside the card.
        sha256: the checksum of that file, in hexadecimal.
        scales: the scales that it offers.
        data: its training data; each entry has a `name` and a `licence`.
        recipe: the training recipe.
        figures: what was measured, name to value.
        limits: what it does badly, one sentence each.
        int8: if not empty, the `file` and `sha256` of its eight-bit version.
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
    """The cards of all models in the package, sorted by name."""
    return [_card(path) for path in sorted(FOLDER.glob("*.json"))]


def find(model: str | os.PathLike[str], precision: Precision = "float32") -> tuple[Path, str | None]:
    """The ONNX file of a model, and its checksum from the card.

    `model` is a model's name, or the path of a file ending in `.onnx`. Such a file has no card and so no checksum.
    `precision` is float32, int8, or auto: int8 for a model that has it.

    Raises:
        NoSuchModel: no model has this name. The message suggests the nearest.
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
