"""A trained network as an ONNX file that `cnlrn.engines` runs, checked against torch before anyone uses it."""

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.export import Dim

from cnlrn import networks
from cnlrn.errors import CnlrnError
from cnlrn.files import replacing
from cnlrn.models import Card
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.checkpoints import load_checkpoint, save_weights

OPSET = 18
TOLERANCE = 1e-4


class _Exits(nn.Module):
    """All exits as a tuple, in the order of `scales`, and the survey, if the network makes one, behind them."""

    def __init__(self, network: RestorationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor, *survey: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network.exits(lr, *survey)
        return (*(outputs[scale] for scale in self.network.scales), *_survey(self.network, lr))


def export(network: RestorationNetwork, path: Path, name: str) -> None:
    """Write `network` as one ONNX file, opset 18, and prove it equal to torch.

    Input `lr` (n, 3, h, w), float32 in [0, 1], h and w multiples of `network.multiple`; outputs `x1`, `x2`, `x4` (those
    of `network.scales`), float32, not clipped. A network that surveys a picture has the output `surveyed` (n, k), made
    of `lr` alone, and needs the same of the whole picture as its second input, `survey`, for the others. The metadata
    hold `name`, `multiple`, `context` (empty: whole picture), `scales`, `survey` ("yes" if there is one) and `version`
    (of this package). The file appears whole or not at all.

    Raises:
        CnlrnError: ONNX Runtime's outputs differ from torch's by more than 1e-4, or `path` cannot be written.
    """
    outputs = _Exits(network).eval().cpu()
    shapes = {0: Dim("n"), 2: network.multiple * Dim("rows"), 3: network.multiple * Dim("columns")}
    example = torch.rand(2, 3, 2 * network.multiple, 3 * network.multiple)
    survey = _survey(network, example)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            outputs,
            (example, *survey),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["lr", *("survey" for _ in survey)],
            output_names=[*(f"x{scale}" for scale in network.scales), *("surveyed" for _ in survey)],
            dynamic_shapes=(shapes, ({0: shapes[0]},)) if survey else (shapes,),
        )
    if program is None:
        raise CnlrnError(f"{name} cannot be exported to ONNX")
    model = program.model_proto
    facts = {
        "name": name,
        "multiple": str(network.multiple),
        "context": "" if network.context is None else str(network.context),
        "scales": ",".join(map(str, network.scales)),
        "survey": "yes" if survey else "",
        "version": version("cnlrn"),
    }
    onnx.helper.set_model_props(model, facts)
    forget_source(model.graph)
    _shuffle_by_convolution(model.graph)
    halve(model.graph)
    content = model.SerializeToString()
    _prove(outputs, content, network.multiple)
    write(path, content)


def export_model(name: str, weights: Path, folder: Path, changes: Mapping[str, float] | None = None) -> Card:
    """Write NAME.onnx, NAME.safetensors (float16) and the card NAME.json into `folder`, from a file of weights.

    `changes` are the hyper-parameters that differ from the network's preset. The weights are rounded to float16 first,
    so that both files hold the same. A card that is there keeps what people wrote in it; only its checksum and scales
    follow the file. CnlrnError as `build`, `load_checkpoint` and `export`, and where a file is there that is no card.
    """
    card_file = folder / f"{name}.json"
    known = _known(card_file)
    network = networks.build(name, changes)
    load_checkpoint(network, weights)
    rounded = folder / f"{name}.safetensors"
    save_weights(network, rounded)
    load_checkpoint(network, rounded)
    file = folder / f"{name}.onnx"
    export(network, file, name)
    facts = {"name": name, "file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    empty = {"description": "", "data": [], "recipe": "", "figures": {}, "limits": []}
    card = Card(**{**empty, **known, **facts, "scales": list(network.scales)})
    write(card_file, (json.dumps(asdict(card), indent=2) + "\n").encode())
    return card


def _known(card_file: Path) -> dict[str, Any]:
    """What a card holds, nothing where there is none; CnlrnError where the file is no card."""
    if not card_file.exists():
        return {}
    try:
        known = json.loads(card_file.read_bytes())
    except ValueError as error:
        raise CnlrnError(f"{card_file} is not JSON ({error}); mend or remove it") from error
    if not isinstance(known, dict) or not known.keys() <= {field.name for field in fields(Card)}:
        raise CnlrnError(f"{card_file} is no card of a model; move it away, or choose another folder")
    return known


def _shuffle_by_convolution(graph: onnx.GraphProto) -> None:
    """Make each pixel shuffle a transposed convolution of ones and zeros, which gives the same numbers.

    ONNX Runtime copies single numbers on one thread to shuffle pixels, and takes up to four times as long.
    """
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    for node in graph.node:
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        if node.op_type != "DepthToSpace" or attributes["mode"] != b"CRD":
            continue
        size = attributes["blocksize"]
        groups = shapes[node.input[0]][1].dim_value // size**2
        ones = np.tile(np.eye(size**2, dtype=np.float32).reshape(size**2, 1, size, size), (groups, 1, 1, 1))
        graph.initializer.append(onnx.numpy_helper.from_array(ones, f"{node.output[0]}_places"))
        places = [node.input[0], f"{node.output[0]}_places"]
        node.CopyFrom(onnx.helper.make_node("ConvTranspose", places, node.output, strides=[size, size], group=groups))


def forget_source(graph: onnx.GraphProto) -> None:
    """Remove where in the source, on which machine, each node was traced."""
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")


def halve(graph: onnx.GraphProto) -> None:
    """Store float32 weights that float16 holds exactly as float16, cast back in the graph: half the file.

    Engines fold the casts when they load the file, so nothing is computed in float16.
    """
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < 64 or not np.array_equal(values.astype(np.float16), values):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


@torch.no_grad()
def _survey(network: RestorationNetwork, lr: Tensor) -> tuple[Tensor, ...]:
    """The survey of `lr`, if the network makes one."""
    survey = network.survey(lr)
    return () if survey is None else (survey,)


@torch.no_grad()
def _prove(outputs: _Exits, content: bytes, multiple: int) -> None:
    """Compare with torch at sizes that the export has not seen."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for n, rows, columns in ((1, 1, 1), (1, 4, 3), (3, 2, 1)):
        lr = torch.rand(n, 3, rows * multiple, columns * multiple, generator=torch.Generator().manual_seed(rows))
        survey = _survey(outputs.network, lr)
        given = dict(zip(("lr", "survey"), (lr.numpy(), *map(Tensor.numpy, survey)), strict=False))
        for expected, got in zip(outputs(lr, *survey), session.run(None, given), strict=True):
            difference = float(np.abs(expected.numpy() - got).max())
            if not difference <= TOLERANCE:
                raise CnlrnError(f"the exported network differs from torch's by {difference:.2g}; it was not written")


def write(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; CnlrnError where that cannot be."""
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise CnlrnError(f"{path} cannot be written: {error.strerror}") from error
