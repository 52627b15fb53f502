import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from cnlrn.data.pictures import Byte, read
from cnlrn.errors import CnlrnError
from cnlrn.evaluation import report
from cnlrn.evaluation.benchmark import Contents, Gain, Results, Row, Shown, Suite
from cnlrn.evaluation.metrics import metric
from cnlrn.evaluation.systems import Bicubic, Costs, Model

SYSTEMS = ("model <b>", "cubic", "broken|")


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Of three systems, one of which failed, on two sets, with a picture of one of them."""
    rng = np.random.default_rng(0)
    sharp = rng.integers(100, 110, (160, 240, 3), np.uint8)
    sharp[16:112, 120:216] = rng.integers(0, 256, (12, 12, 1), np.uint8).repeat(8, 0).repeat(8, 1)  # the texture
    other = sharp.copy()
    other[48:144, 8:104] ^= 31  # the difference
    files = {}
    for name, picture in (("sharp", sharp), ("blurry", sharp[::4, ::4]), ("model", other), ("cubic", sharp)):
        files[name] = tmp_path / f"{name}.png"
        cv2.imwrite(str(files[name]), picture[..., ::-1])
    rows = [
        Row(SYSTEMS[0], "first", Costs(741378, 215600.0), {"psnr": 22.5, "niqe": 5.0}, {}, 0.25, 200 * 2**20),
        Row(SYSTEMS[1], "first", Costs(0, 240), {"psnr": 21.0, "niqe": 6.0}, {}, 0.01, 60 * 2**20),
        Row(SYSTEMS[2], "first", Costs(None, None), failed="out of luck"),
    ]
    restored = {
        SYSTEMS[0]: (files["model"], {"psnr": 22.6, "niqe": 5.0}),
        SYSTEMS[1]: (files["cubic"], {"psnr": 21.1, "niqe": 6.0}),
    }
    psnr, niqe = metric("psnr"), replace(metric("ssim"), name="niqe", title="NIQE", higher_is_better=False, digits=2)
    return Results(
        suite=Suite({"first": "a", "second": "b"}, {SYSTEMS[0]: Model("cnlrn-s"), SYSTEMS[1]: Bicubic()}),
        metrics=(psnr, niqe),
        machine={"processor": "Abacus 3000", "threads": "2 of 4 CPUs"},
        sets={"first": Contents(7, 4, []), "second": Contents(1, 4, [])},
        rows=[*rows, *(replace(row, set="second") for row in rows)],
        shown=[Shown("first", "street", files["blurry"], files["sharp"], restored)],
    )


class Page(HTMLParser):
    """The report's tables, pictures, ids and links; a tag that is not closed in its place is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.images: list[dict[str, str | None]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.text[tag] = self.text.get(tag, "") + data
        if {"td", "th"} & set(self._open):
            self.tables[-1][-1][-1] += data.strip()


def page(results: Results, out: Path) -> Page:
    return Page(report.write(results, out).read_text(encoding="utf-8"))


def decoded(image: dict[str, str | None]) -> Byte:
    data = np.frombuffer(base64.b64decode((image["src"] or "").partition("base64,")[2]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def test_the_report_has_a_table_of_each_set_with_every_system(results: Results, tmp_path: Path) -> None:
    heads, *rows = page(results, tmp_path).tables[0]
    assert heads == ["system", "PSNR (dB)", "NIQE", "seconds", "memory, MB", "parameters", "kMAC"]
    assert rows == [
        ["model <b>", "22.500", "5.00", "0.250", "200", "741,378", "215.6"],
        ["cubic", "21.000", "6.00", "0.010", "60", "0", "0.2"],
        ["broken|", "failed: out of luck"],
    ]
    assert len(page(results, tmp_path).tables) == 2


def test_the_report_needs_nothing_outside_itself(results: Results, tmp_path: Path) -> None:
    parsed = page(results, tmp_path)
    for tag, name, value in parsed.attributes:
        if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            assert (value or "").startswith("data:" if tag == "img" else "#"), (tag, name)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|fetch\(", text)
    assert "default-src 'none'" in text


def test_pictures_show_blurry_every_system_and_sharp_whole_and_in_two_parts(results: Results, tmp_path: Path) -> None:
    images = page(results, tmp_path).images
    names = [(image["alt"] or "").partition(": ")[2] for image in images]
    part = ["blurry input", "model <b>", "cubic", "sharp original"]
    assert names == ["blurry input", "model <b>", "sharp original", *part, *part]
    assert [decoded(image).shape[:2] for image in images[:3]] == [(40, 60), (160, 240), (160, 240)]
    assert [decoded(image).shape[:2] for image in images[3:]] == 2 * [(24, 24), (96, 96), (96, 96), (96, 96)]


def test_parts_are_where_systems_differ_and_where_there_is_texture(results: Results, tmp_path: Path) -> None:
    images = [decoded(image) for image in page(results, tmp_path).images[3:]]
    sharp, blurry = read(results.shown[0].sharp), read(results.shown[0].blurry)
    np.testing.assert_array_equal(images[0], blurry[12:36, 2:26])
    np.testing.assert_array_equal(images[4], blurry[4:28, 30:54])
    for got, expected in ((images[3], sharp[48:144, 8:104]), (images[7], sharp[16:112, 120:216])):
        assert np.abs(got.astype(int) - expected).mean() < 5


def test_a_picture_too_small_for_two_parts_has_one(results: Results, tmp_path: Path) -> None:
    for file in (results.shown[0].sharp, *(file for file, _ in results.shown[0].restored.values())):
        cv2.imwrite(str(file), np.zeros((32, 44, 3), np.uint8))
    cv2.imwrite(str(results.shown[0].blurry), np.zeros((8, 11, 3), np.uint8))
    images = page(results, tmp_path).images
    assert [decoded(image).shape[:2] for image in images[3:]] == [(8, 8), (32, 32), (32, 32), (32, 32)]


def test_what_failed_is_neither_drawn_nor_best_and_the_best_is_marked(results: Results, tmp_path: Path) -> None:
    text = report.write(results, tmp_path).read_text(encoding="utf-8")
    assert text.count("<circle") == 2 * 2 * 2
    assert re.findall(r'class="best">([\d.]+)<', text) == ["22.500", "5.00"] * 2
    everything_failed = replace(results, rows=[replace(row, failed="no luck") for row in results.rows], shown=[])
    assert "<svg" not in report.write(everything_failed, tmp_path).read_text(encoding="utf-8")


def test_bars_are_gains_over_bicubic_whichever_way_is_better(results: Results, tmp_path: Path) -> None:
    report.write(results, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    bars = re.findall(r'class="name">(.*?)<.*?left:([\d.]+)%;width:([\d.]+)%.*?class="figure">(.*?)<', text, re.DOTALL)
    assert bars[:4] == [
        ("model &lt;b&gt;", "0.0", "100.0", "+1.500"),
        ("cubic", "0.0", "0.0", "+0.000"),
        ("model &lt;b&gt;", "0.0", "100.0", "+1.00"),
        ("cubic", "0.0", "0.0", "+0.00"),
    ]


def test_the_report_says_how_it_was_measured(results: Results, tmp_path: Path) -> None:
    parsed = page(results, tmp_path)
    assert "Abacus 3000" in parsed.text["dl"]
    assert "2 of 4 CPUs" in parsed.text["dl"]
    assert "model: cnlrn-s" in parsed.text["pre"]
    assert re.search(r"\d{4}-\d\d-\d\d", parsed.text["p"])


def test_pictures_are_compressed_more_when_the_report_becomes_too_large(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = report.write(results, tmp_path).stat().st_size
    monkeypatch.setattr(report, "_LARGEST", size - 1)
    assert report.write(results, tmp_path).stat().st_size < size


def test_markdown_has_the_same_tables(results: Results, tmp_path: Path) -> None:
    report.write(results, tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text == report.markdown(results)
    first, second = text.split("### ")[1:]
    assert first.startswith(
        "first (7 pictures)\n\n| system | PSNR (dB) | NIQE | seconds | memory, MB | parameters | kMAC |"
    )
    assert "| cubic | 21.000 | 6.00 | 0.010 | 60 | 0 | 0.2 |\n" in first
    assert "| **22.500** | **5.00** |" in first
    assert "| broken&#124; | failed: out of luck |\n" in first
    assert "Abacus 3000" in second


HOSTILE = (
    "<script>alert(1)</script> a|b `c` *d* _e_ [f](javascript:g) ![h](http://i) \\ ~j~ &lt;\nk\x1b[31m \u202e \udcff"
)


def test_whatever_names_and_reasons_say_is_text_in_both_reports(results: Results, tmp_path: Path) -> None:
    rows = [*results.rows, Row("mean_while", "first", Costs(None, None), failed=HOSTILE)]
    rows = [replace(row, system=HOSTILE) if row.system == SYSTEMS[2] else row for row in rows]
    shown = [replace(results.shown[0], picture=HOSTILE)]
    hostile = replace(results, rows=rows, shown=shown, sets={**results.sets, HOSTILE: Contents(3, 4, [HOSTILE])})

    parsed = page(hostile, tmp_path)  # every tag closed in its place
    assert [row[0] for row in parsed.tables[0]].count("mean_while") == 1
    assert sum(tag == "script" for tag in re.findall(r"<(\w+)", (tmp_path / "report.html").read_text("utf-8"))) == 1
    assert {image["src"][:5] for image in parsed.images if image["src"]} == {"data:"}

    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| mean_while | failed: &#60;script&#62;" in text
    assert text.replace("\n", "").isprintable()
    tables = [line for line in text.splitlines() if line.startswith("| ")]
    for line in tables:
        rest = line.replace("**22.500**", "").replace("**5.00**", "").replace("---:", "")
        assert not re.search(r"[<>`*\[\]\\~]|://|(?<!\w)_|_(?!\w)", rest), line
    assert {len(line.split("|")) for line in tables} == {9, 4}


def test_a_set_of_photos_at_their_own_size_tells_gains_and_what_is_left_out(results: Results, tmp_path: Path) -> None:
    gains = [{"psnr": Gain(1.25, -0.5, "dusk"), "niqe": Gain(0.5, 0.1, "dawn")}, {}, {}]
    gains[1] = {"psnr": Gain(-0.75, -2.0, "dawn"), "niqe": Gain(1.0, 0.0, "dusk")}
    rows = [*results.rows[:3], *(replace(row, gains=g) for row, g in zip(results.rows[3:], gains, strict=True))]
    sharp = read(results.shown[0].sharp)
    cv2.imwrite(str(tmp_path / "same.png"), sharp[..., ::-1])
    shown = [replace(results.shown[0], set="second", blurry=tmp_path / "same.png")]
    sets = {"first": results.sets["first"], "second": Contents(1, 1, ["rcan_s", "edsr"])}
    own = replace(results, rows=rows, sets=sets, shown=shown)

    parsed = page(own, tmp_path)
    heads, model, cubic, broken = parsed.tables[1]
    assert heads[:7] == ["system", "PSNR (dB)", "gain", "least gain", "NIQE", "gain", "least gain"]
    assert model[:7] == ["model <b>", "22.500", "+1.250", "-0.500, dusk", "5.00", "+0.50", "+0.10, dawn"]
    assert cubic[2:4] == ["-0.750", "-2.000, dawn"]
    assert broken == ["broken|", "failed: out of luck"]
    assert parsed.tables[0][0] == ["system", "PSNR (dB)", "NIQE", *heads[7:]]
    assert "Left out, because they only enlarge: rcan_s, edsr." in parsed.text["p"]
    assert "four times as wide and high or at its own size" in parsed.text["p"]
    assert "is better than the blurry pictures, on second" in parsed.text["figcaption"]
    blurry, *_, original = parsed.images[3:7]
    np.testing.assert_array_equal(decoded(blurry), sharp[48:144, 8:104])
    assert decoded(original).shape == decoded(blurry).shape

    second = report.markdown(own).split("### ")[2]
    assert "| PSNR (dB) | gain | least gain | NIQE | gain | least gain |" in second
    assert "| **22.500** | **+1.250** | **-0.500, dusk** | **5.00** | +0.50 | **+0.10, dawn** |" in second
    assert "\n\nLeft out, because they only enlarge: rcan_s, edsr.\n" in second


def test_a_report_that_cannot_be_written_is_one_sentence(results: Results, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CnlrnError, match=r"folder .*file cannot be made \(File exists\)"):
        report.write(results, tmp_path / "file")
