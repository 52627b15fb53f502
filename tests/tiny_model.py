"""A model of a few bytes for tests: every exit repeats pixels, so every result is known exactly."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper


def write_tiny_model(
    path: Path, *, broken_exit: int | None = None, times: float | None = None, **metadata: str
) -> Path:
    """An ONNX file with the exits x1, x2 and x4, each the input repeated.

    `broken_exit` fails when it is computed; `times`, NaN say, is what the input is multiplied by at x4.
    """
    nodes, constants, outputs = [], [], []
    for scale in (1, 2, 4):
        constants.append(helper.make_tensor(f"by{scale}", TensorProto.FLOAT, [4], [1, 1, scale, scale]))
        source = "lr"
        if scale == broken_exit:
            constants.append(helper.make_tensor("impossible", TensorProto.INT64, [4], [1, 7, 11, 1_000_003]))
            nodes.append(helper.make_node("Reshape", ["lr", "impossible"], ["broken"]))
            source = "broken"
        if scale == 4 and times is not None:
            constants.append(helper.make_tensor("times", TensorProto.FLOAT, [1], [times]))
            nodes.append(helper.make_node("Mul", ["lr", "times"], ["multiplied"]))
            source = "multiplied"
        nodes.append(
            helper.make_node(
                "Resize",
                [source, "", f"by{scale}"],
                [f"x{scale}"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        )
        shape: list[str | int | None] = ["n", 3, f"h{scale}", f"w{scale}"]
        outputs.append(helper.make_tensor_value_info(f"x{scale}", TensorProto.FLOAT, shape))
    lr = helper.make_tensor_value_info("lr", TensorProto.FLOAT, ["n", 3, "h", "w"])
    graph = helper.make_graph(nodes, "tiny", [lr], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    declared = {"name": "tiny", "multiple": "4", "context": "4", "scales": "1,2,4", "version": "0.1.0"} | metadata
    helper.set_model_props(model, declared)
    onnx.save(model, path)
    return path
