from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cnlrn.errors import CnlrnError
from cnlrn.yamlfile import Schema


@dataclass(frozen=True)
class Circle:
    circle: float


@dataclass(frozen=True)
class Square:
    side: int = 1


@dataclass(frozen=True)
class Drawing:
    shapes: dict[str, Circle | Square]
    file: Path | None = None
    colours: tuple[str, ...] = ("black",)
    sizes: dict[str, int] = field(default_factory=dict)


SCHEMA = Schema("drawing", {"circle": Circle, "square": Square})


def test_a_kind_is_told_by_its_key_or_left_out_where_another_key_is_its_name() -> None:
    tree = {"shapes": {"a": {"circle": 2}, "b": {"kind": "circle", "circle": 3}, "c": {"kind": "square"}}}
    assert SCHEMA.parse(Drawing, tree).shapes == {"a": Circle(2.0), "b": Circle(3.0), "c": Square(1)}


def test_what_is_made_plain_reads_back_equal() -> None:
    drawing = Drawing({"a": Circle(2.5), "b": Square(3)}, Path("here.png"), ("red", "blue"), {"a": 4})
    assert SCHEMA.parse(Drawing, SCHEMA.plain(drawing)) == drawing


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"shapes": {"a": {"side": 3}}}, "shapes.a.kind must be one of circle, square; choose from circle, square"),
        ({"shapes": {"a": {"cirle": 3}}}, r"shapes.a.kind must be one of .*; did you mean shapes.a.circle\?"),
        ({"shapes": {"a": {"kind": ["circle"]}}}, "shapes.a.kind must be one of circle, square$"),
        ({"shapes": {"a": 3}}, "shapes.a is 3; expected keys and values, and kind one of circle, square"),
        (
            {"shapes": {"a": {"circle": 3, "side": 1}}},
            r"unknown key shapes.a.side in the drawing; choose from circle",
        ),
        ({"shapes": []}, r"shapes is \[\]; expected keys and values"),
        ({"shapes": {}, "colours": "red"}, "colours is 'red'; expected a list of words"),
        ({"shapes": {}, "sizes": {"a": 1.5}}, "sizes.a is 1.5; expected a whole number"),
        ({"file": "x.png"}, "the drawing lacks shapes"),
    ],
)
def test_what_does_not_fit_is_named(tree: dict[str, object], message: str) -> None:
    with pytest.raises(CnlrnError, match=message):
        SCHEMA.parse(Drawing, tree)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "drawing.yaml"
    with pytest.raises(CnlrnError, match=r"cannot read the drawing .*drawing\.yaml"):
        SCHEMA.tree(file)
    file.write_text("- 1")
    with pytest.raises(CnlrnError, match=r"drawing\.yaml is no drawing"):
        SCHEMA.tree(file)
    file.write_text("a: [1")
    with pytest.raises(CnlrnError, match="is not YAML"):
        SCHEMA.tree(file)
