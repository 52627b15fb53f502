import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cnlrn.errors import CnlrnError
from cnlrn.yamlfile import Schema, load


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


def refusal(tmp_path: Path, content: str | bytes) -> str:
    """What is said of a file with this content, which takes little memory and is one readable line."""
    file = tmp_path / "drawing.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    tracemalloc.start()
    with pytest.raises(CnlrnError) as caught:
        SCHEMA.parse(Drawing, SCHEMA.tree(file))
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert memory < 20 * 2**20
    message = str(caught.value).replace(str(file), "drawing.yaml")
    assert message.isprintable()
    assert len(message) < 500
    return message


LAUGHS = "[l,l,l,l,l,l,l,l]" + "".join(f",&b{i} [{','.join(9 * [f'*b{i - 1}'])}]" for i in range(1, 9))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"shapes: [&b0 {LAUGHS}]", "an alias (*) stands for a value; write the value itself (line 1, column "),
        ("shapes: &a {b: *a}", "an alias (*)"),
        ("base: &a {side: 1}\nshapes: {b: {<<: *a}}", "an alias (*)"),
        ("? &a a\n: 1\n*a : 2", "an alias (*)"),
        ("shapes: {a: {<<: {side: 1}}}", "shapes.a.kind must be one of"),
        ("shapes: " + 20_000 * "[", "values are nested more than 20 deep (line 1, column "),
        ("shapes: " + 20_000 * "{a: ", "values are nested more than 20 deep"),
        (500 * "- ", "values are nested more than 20 deep"),
        (500 * "? ", "values are nested more than 20 deep"),
        ("shapes: [" + 10_500 * "1," + "]", "there are more than 10,000 values"),
        ("a: 1\n" * 100_000, "drawing.yaml is no drawing: it has more than 256 kB"),
        ("shapes: !!python/object:os.system {}", "a tag (!) stands before a value; leave it out (line 1, column 9)"),
        ("shapes: !!set {a, b}", "a tag (!)"),
        ("shapes: !!binary aGVsbG8=", "a tag (!)"),
        ("shapes: !!omap [a: 1]", "a tag (!)"),
        ("shapes: {}\nsizes: {a: !!timestamp 2020-01-01}", "a tag (!)"),
        ("shapes: {[a, b]: 1}", "['a', 'b'] is no key; write a word, in quotes if need be (line 1, column 10)"),
        ("shapes: {{a: 1}: 1}", "{'a': 1} is no key"),
        ("shapes: {~: 1}", "None is no key"),
        ("shapes: {no: 1}", "False is no key"),
        ("shapes: {1.5: 1}", "1.5 is no key"),
        ("shapes: {2020: {side: 1}}", "a key of shapes is 2020; expected a word"),
        ("shapes: {a: 1, a: 2}", "the key a is there twice (line 1, column 16)"),
        ("shapes: {}\nshapes: {}", "the key shapes is there twice"),
        ("shapes: {}\nsizes: {a: 2020-13-45}", "sizes.a is '2020-13-45'; expected a whole number"),
        ("shapes: {}\nsizes: {a: 2020-02-30T25:61:61}", "sizes.a is '2020-02-30T25:61:61'; expected a whole number"),
        ("shapes: {}\nsizes: {a: 1:30}", "sizes.a is '1:30'; expected a whole number"),
        ("shapes: {}\nsizes: {a: 0x1F}", "sizes.a is '0x1F'; expected a whole number"),
        ("shapes: {}\nsizes: {a: 010}", "sizes.a is 10.0; expected a whole number"),
        ("shapes: {}\nsizes: {a: 1_000}", "sizes.a is '1_000'; expected a whole number"),
        ("shapes: {}\nsizes: {a: =}", "sizes.a is '='; expected a whole number"),
        ("shapes: {}\nsizes: {a: 9223372036854775808}", "sizes.a is 9223372036854775808; that is too large a number"),
        ("shapes: {}\nsizes: {a: " + 5000 * "9" + "}", "more than 4,096"),
        ("shapes: {a: {circle: 1e999}}", "shapes.a.circle is inf; expected a number"),
        ("shapes: {a: {circle: .nan}}", "shapes.a.circle is nan; expected a number"),
        ("shapes: {a: {circle: " + 400 * "9" + "}}", "shapes.a.circle is inf; expected a number"),
        ('shapes: {}\nfile: "a\\0b"', "'a\\x00b' has letters that no text has"),
        ('shapes: {}\nfile: "\\e[31m"', "has letters that no text has"),
        ('shapes: {}\nfile: "\\ud800"', "has letters that no text has"),
        ('"\\ud800": 1', "has letters that no text has"),
        (b"shapes: {}\nfile: a\0b", "special characters are not allowed"),
        (b"shapes: \xff", "'utf-8' codec can't decode byte 0xff"),
        ("shapes: {}".encode("utf-16"), "codec can't decode"),
        ("shapes: {}\nfile: ~nosuchuser/x", "file is '~nosuchuser/x'; there is no such user"),
        ("shapes: {}\nfile: " + 300 * "x", "xxx'; no file can have so long a name"),
        ("shapes: {}\nfile: " + 5000 * "x", "a text has 5,000 letters, more than 4,096"),
        ("shapes: " + 4000 * "x", "shapes is 'xxx"),
        ("? " + 4000 * "k" + "\n: 1", "unknown key kkk"),
        ('"a\\n\\nb": 1', "unknown key a\ufffd\ufffdb in the drawing"),
        ("shapes: {" + 1000 * "k" + ": {sid: 1}}", "kkk....kind must be one of circle, square"),
        ("shapes: {}\n---\nshapes: {}", "but found another document"),
        ("shapes: [1, 2", "expected ',' or ']'"),
        ("shapes:\n\t- 1", "cannot start any token"),
        ("", "drawing.yaml is no drawing; expected keys and values"),
        ("# nothing", "drawing.yaml is no drawing; expected keys and values"),
        ("2020-01-01", "drawing.yaml is no drawing; expected keys and values"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_whatever_is_in_a_file_is_refused_in_one_readable_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    assert message in refusal(tmp_path, content)


def test_decimal_numbers_are_numbers_and_dates_are_words() -> None:
    values = load(
        "{a: [0, -3, +7, 9223372036854775807], b: [1e-4, 1.0e-05, .5, 1., -0.5], c: [2020-01-01, 1.2.3], d: no}", ""
    )
    assert values == {
        "a": [0, -3, 7, 2**63 - 1],
        "b": [1e-4, 1e-5, 0.5, 1.0, -0.5],
        "c": ["2020-01-01", "1.2.3"],
        "d": False,
    }


def test_a_file_as_windows_writes_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "drawing.yaml").write_bytes("\ufeffshapes: {ä: {kind: square, side: 2}}\r\n".encode())
    assert SCHEMA.parse(Drawing, SCHEMA.tree(tmp_path / "drawing.yaml")) == Drawing({"ä": Square(2)})
