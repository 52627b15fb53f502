import hashlib
import json
import sys
from pathlib import Path

import pytest

import cnlrn
from cnlrn import CnlrnError
from cnlrn.models import DEFAULT, FOLDER, Card, find, fitting

CARD = {
    "name": "cnlrn-s",
    "description": "The default.",
    "file": "cnlrn-s.onnx",
    "sha256": "ab" * 32,
    "scales": [1, 2, 4],
    "data": [{"name": "Photographs", "licence": "CC0-1.0"}],
    "recipe": "configs/cnlrn-s.yaml",
    "figures": {"PSNR, dB": 21.7},
    "limits": ["Faces smaller than 20 pixels are guessed."],
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys.modules[find.__module__], "FOLDER", tmp_path)
    for name in ("cnlrn-xs", "cnlrn-s"):
        (tmp_path / f"{name}.json").write_text(json.dumps(CARD | {"name": name, "file": f"{name}.onnx"}))
    return tmp_path


def test_models_are_listed_by_name_with_their_cards(folder: Path) -> None:
    cards = cnlrn.models()
    assert [card.name for card in cards] == ["cnlrn-s", "cnlrn-xs"]
    assert cards[0] == Card(**CARD)  # type: ignore[arg-type]


def test_a_name_finds_its_file_and_checksum(folder: Path) -> None:
    assert find("cnlrn-xs") == (folder / "cnlrn-xs.onnx", "ab" * 32)


@pytest.mark.parametrize("model", ["mine.onnx", Path("mine.onnx"), "folder/MINE.ONNX"])
def test_an_onnx_file_is_a_model_too(model: str | Path) -> None:
    assert find(model) == (Path(model), None)


def test_an_unknown_name_suggests_the_nearest(folder: Path) -> None:
    with pytest.raises(CnlrnError, match=r"no model 'cnlrn_xs', and it is no \.onnx file; did you mean cnlrn-xs\?"):
        find("cnlrn_xs")
    with pytest.raises(CnlrnError, match=r"choose from cnlrn-s, cnlrn-xs$"):
        find("esrgan")


def test_every_model_that_is_shipped_is_what_its_card_says() -> None:
    for card in cnlrn.models():
        assert (FOLDER / f"{card.name}.json").is_file()
        assert hashlib.sha256((FOLDER / card.file).read_bytes()).hexdigest() == card.sha256
        assert all(source["name"] and source["licence"] for source in card.data)
        assert card.description
        assert card.figures
        assert card.limits


def test_the_default_is_the_compact_model() -> None:
    assert DEFAULT == "cnlrn-s"


def test_every_eight_bit_version_that_is_shipped_is_what_its_card_says() -> None:
    cards = [card for card in cnlrn.models() if card.int8]
    assert {"cnlrn-s", "cnlrn-xs"} <= {card.name for card in cards}
    for card in cards:
        assert hashlib.sha256((FOLDER / card.int8["file"]).read_bytes()).hexdigest() == card.int8["sha256"]
        assert find(card.name, "int8")[0] == FOLDER / card.int8["file"]


def test_a_file_is_run_as_it_is_and_a_model_without_eight_bits_says_so(folder: Path) -> None:
    assert find("mine.onnx", "auto") == (Path("mine.onnx"), None)
    with pytest.raises(CnlrnError, match=r"the file mine\.onnx is run as it is"):
        find("mine.onnx", "int8")
    with pytest.raises(CnlrnError, match="cnlrn-xs has no eight-bit version; choose the precision auto or float32"):
        find("cnlrn-xs", "int8")
    assert (fitting("cnlrn-xs", "int8"), fitting("cnlrn-xs", "auto")) == ("float32", "auto")


def test_the_page_on_the_models_names_every_source_of_every_card():
    page = (Path(__file__).parents[1] / "docs" / "model-card.md").read_text(encoding="utf-8")
    sources = [f"| {data['name']} | {data['licence']} |" for card in cnlrn.models() for data in card.data]
    shown = [source for source in sources if "the weights of" not in source]
    assert shown
    assert [source for source in shown if source not in page] == []
