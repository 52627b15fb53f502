"""Models from elsewhere are checked before ONNX Runtime sees them: it would run whatever they say."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper
from tiny_model import write_tiny_model

from cnlrn.engine import onnxfile
from cnlrn.engine.onnx import OnnxEngine
from cnlrn.engine.onnxfile import Level, Metadata
from cnlrn.errors import CnlrnError
from cnlrn.models import find


@pytest.fixture
def model(tmp_path: Path) -> ModelProto:
    return onnx.load(write_tiny_model(tmp_path / "tiny.onnx"))


def refusal(model: ModelProto | bytes, tmp_path: Path) -> str:
    """Why a model is refused, by the check and so by the engine."""
    content = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(ValueError, match=r".") as caught:
        onnxfile.check(content)
    (tmp_path / "hostile.onnx").write_bytes(content)
    with pytest.raises(CnlrnError, match="is damaged or not a model made by `cnlrn export`: ") as said:
        OnnxEngine(tmp_path / "hostile.onnx")
    assert str(said.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("name", ["cnlrn-s", "cnlrn-xs"])
def test_shipped_models_pass(name: str) -> None:
    found = onnxfile.check(find(name)[0].read_bytes())
    assert (found.name, found.scales, found.survey, found.preset) == (name, (1, 2, 4), True, {})


def test_metadata_are_told_as_what_they_are(tmp_path: Path) -> None:
    told = {"context": "0", "survey": "yes", "levels": "4:32:0,2:16:12:2", "preset": '{"group_blocks": 1, "rate": 0.5}'}
    file = write_tiny_model(tmp_path / "tiny.onnx", **told)
    levels = (Level(4, 32, 0, 4), Level(2, 16, 12, 2))
    expected = Metadata("tiny", (1, 2, 4), 4, 0, True, levels, {"group_blocks": 1, "rate": 0.5})
    assert onnxfile.check(file.read_bytes()) == expected


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (
            "scales",
            ["", "0", "-4", "4,0", "1,,4", "4,4", "1000000", "4.0", " 4", "٤", "1_0", "0x4", "9" * 5000, "four"],
        ),
        ("multiple", ["", "0", "-16", "1e3", "99999", "1000000000000", "often"]),
        ("context", ["-1", "-80", "1000000000", "none", "1.5"]),
        (
            "levels",
            [
                "8",
                "8:32",
                "0:32:1",
                "8:0:1",
                "8:32:-1",
                "8:32:",
                "8:99999:1",
                "a:b:c",
                "8:32:1,,4:1:1",
                "8:32:1:9",
                "8:32:1",
                "2:32:1:3",
                "2:32:1:2:2",
            ],
        ),
        ("name", ["", "  ", "a\nb", "\x1b[31m", "x" * 101]),
        (
            "preset",
            [
                "",
                "[]",
                "3",
                '{"a": "b"}',
                '{"a": [1]}',
                '{"a": true}',
                '{"blocks": 1000000000}',
                '{"a": NaN}',
                "{",
                "[" * 100_000,
            ],
        ),
    ],
)
def test_metadata_that_make_no_sense_are_refused(key: str, values: list[str], tmp_path: Path) -> None:
    for value in values:
        file = write_tiny_model(tmp_path / "tiny.onnx", **{key: value})
        refusal(file.read_bytes(), tmp_path)


@pytest.mark.parametrize("key", ["name", "scales", "multiple", "context"])
def test_missing_metadata_are_named(key: str, model: ModelProto, tmp_path: Path) -> None:
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != key}
    del model.metadata_props[:]
    helper.set_model_props(model, kept)
    assert refusal(model, tmp_path) == f"its metadata lack {key}"
    model.metadata_props.add()  # an entry without key and value
    assert refusal(model, tmp_path) == f"its metadata lack {key}"


def forever() -> onnx.NodeProto:
    """A loop of 2^63 - 1 rounds."""
    true = helper.make_node("Constant", [], ["on"], value=helper.make_tensor("", TensorProto.BOOL, [], [True]))
    body = helper.make_graph(
        [true, helper.make_node("Identity", ["before"], ["after"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["", "", "lr"], ["looped"], body=body)


def branch(operator: str = "If", domain: str = "") -> onnx.NodeProto:
    graph = helper.make_graph([], "empty", [], [])
    return helper.make_node(operator, ["lr"], ["taken"], domain=domain, then_branch=graph, else_branch=graph)


def several_graphs() -> onnx.NodeProto:
    graph = helper.make_graph([], "empty", [], [])
    return helper.make_node("Relu", ["lr"], ["taken"], bodies=[graph, graph])


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (forever, "it has branches or loops (Loop)"),
        (branch, "it has branches or loops (If)"),
        (lambda: branch("Scan"), "it has branches or loops (Scan)"),
        (lambda: branch("Scan", "ai.onnx"), "it has branches or loops (Scan)"),
        (lambda: helper.make_node("Loop", ["lr"], ["taken"]), "it has branches or loops (Loop)"),
        (lambda: branch("SequenceMap"), "it has branches or loops (SequenceMap)"),
        (lambda: branch("Relu"), "it has branches or loops ('Relu')"),
        (several_graphs, "it has branches or loops ('Relu')"),
        (
            lambda: helper.make_node("FusedConv", ["lr"], ["taken"], domain="com.microsoft"),
            "it has operators of the domain 'com.microsoft'",
        ),
        (
            lambda: helper.make_node("Relu", ["lr"], ["taken"], domain="mine\n"),
            "it has operators of the domain 'mine\\n'",
        ),
    ],
)
def test_nodes_that_export_never_writes_are_refused(
    node: Callable[[], onnx.NodeProto], message: str, model: ModelProto, tmp_path: Path
) -> None:
    model.graph.node.insert(0, node())
    assert refusal(model, tmp_path) == message


def test_functions_and_training_parts_are_refused(model: ModelProto, tmp_path: Path) -> None:
    changed = ModelProto.FromString(model.SerializeToString())
    changed.functions.append(helper.make_function("", "Relu", ["x"], ["y"], [forever()], model.opset_import))
    assert refusal(changed, tmp_path) == "it has functions or a training part"
    model.training_info.add()
    assert refusal(model, tmp_path) == "it has functions or a training part"


def external(file: str, *, located: bool = True) -> TensorProto:
    tensor = TensorProto(name="secret", data_type=TensorProto.FLOAT, dims=[4])
    if located:
        tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=file)
    return tensor


def test_data_in_other_files_is_refused_wherever_a_tensor_may_be(model: ModelProto, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(np.ones(4, np.float32).tobytes())
    for file in ("secret", "/etc/hostname", "../secret"):
        for located in (True, False):
            changed = ModelProto.FromString(model.SerializeToString())
            changed.graph.initializer.append(external(file, located=located))
            assert refusal(changed, tmp_path) == "some of its data lie in other files"
    for value in ({"value": external("secret")}, {"values": [external("secret")]}):
        changed = ModelProto.FromString(model.SerializeToString())
        changed.graph.node.append(helper.make_node("Constant", [], ["read"], **value))
        assert refusal(changed, tmp_path) == "some of its data lie in other files"
    changed = ModelProto.FromString(model.SerializeToString())
    changed.graph.sparse_initializer.add()
    assert refusal(changed, tmp_path) == "it has sparse tensors"


def field(number: int, content: bytes) -> bytes:
    """A field of a message, of less than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def test_a_location_written_in_an_unusual_way_is_seen_too(model: ModelProto, tmp_path: Path) -> None:
    in_the_file, elsewhere, elsewhere_in_two_bytes = b"\x70\x00", b"\x70\x01", b"\x70\x81\x00"
    content = model.SerializeToString()
    onnxfile.check(content + field(7, field(5, in_the_file)))
    for location in (elsewhere, elsewhere_in_two_bytes):
        with pytest.raises(ValueError, match="some of its data lie in other files"):
            onnxfile.check(content + field(7, field(5, location)))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 10,
        b"\xff" * 100_000,
        b"\x08" + b"\xff" * 9 + b"\x7f",  # a number of 70 bits
        b"\x08" + b"\x80" * 20,
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a graph of 2^63 bytes
        b"\x3a\xff\xff\xff\xff\x07",  # of 2^31
        b"\x3a\x05abc",
        b"\x3b\x3c",  # a group
        b"\x02\x00",  # the field 0
        b"\x09\x00",
        b"\x0d\x00",
        b"ORTM" * 10,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    refusal(content, tmp_path)


def test_a_model_cut_anywhere_or_with_any_byte_changed_is_refused_or_read(model: ModelProto) -> None:
    content = model.SerializeToString()
    damaged = [content[:length] for length in range(len(content))]
    damaged += [content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :] for at in range(len(content))]
    refused = 0
    for each in damaged:
        try:
            onnxfile.check(each)
            onnxfile.keep_output(each, "x4")
        except ValueError:
            refused += 1
    assert refused > len(content)
