"""A trained network as an ONNX file that `cnlrn.engine.onnx` runs, checked against torch before anyone uses it."""

import hashlib
import json
import logging
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.export import Dim

from cnlrn import networks
from cnlrn.errors import CnlrnError, writing
from cnlrn.files import check_place, discard, make_folder, replacing
from cnlrn.models import Card
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.checkpoints import load_checkpoint

OPSET = 18
TOLERANCE = 1e-4


class _Exits(nn.Module):
    """All exits as a tuple, in the order of `scales`, and behind them what is made of the whole picture beforehand: the
    levels, coarse to fine, and the survey, if the network makes one."""

    def __init__(self, network: RestorationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor, *told: Tensor) -> tuple[Tensor, ...]:
        outputs = self.network.outputs(lr, *told[:1], *told[-1:] if self.network.coarse_to_fine else ())
        befores = (None, *told[1:-1])[: len(self.network.coarse_to_fine)]
        made = (self.network.level(index, lr, told[0], before) for index, before in enumerate(befores))
        return (*(outputs[scale] for scale in self.network.scales), *made, *_survey(self.network, lr))


def export(network: RestorationNetwork, path: Path, name: str, preset: Mapping[str, float] | None = None) -> None:
    """Write `network` as one ONNX file, opset 18, and prove it equal to torch.

    Input `lr` (n, 3, h, w), float32 in [0, 1], h and w multiples of `network.multiple`; outputs `x1`, `x2`, `x4` (those
    of `network.scales`), float32, not clipped. A network that surveys a picture has the output `surveyed` (n, k), made
    of `lr` alone, and needs the same of the whole picture as its second input, `survey`, for the others. A network that
    works coarse to fine has the outputs `made0`, `made1`, ... (n, channels, h/reduction, w/reduction), each made of the
    one before, `level0`, ..., and needs the last level for its exits. The metadata hold `name`, `preset` (a JSON object
    of the hyper-parameters in which the network differs from the preset of that name), `multiple`, `context` (empty:
    whole picture), `scales`, `survey` ("yes" if there is one), `levels` ("REDUCTION:CHANNELS:CONTEXT:MULTIPLE" each, by
    commas) and `version` (of this package). The file appears whole or not at all.

    Raises:
        CnlrnError: ONNX Runtime's outputs differ from torch's by more than 1e-4 (of the largest value, if
            that is above 1), or `path` cannot be written.
    """
    write({path: _serialised(network, name, preset or {})})


def _serialised(network: RestorationNetwork, name: str, preset: Mapping[str, float]) -> bytes:
    """The content of the ONNX file, proven equal to torch."""
    outputs = _Exits(network).eval().cpu()
    shapes = {0: Dim("n"), 2: network.multiple * Dim("rows"), 3: network.multiple * Dim("columns")}
    example = torch.rand(2, 3, 2 * network.multiple, 3 * network.multiple)
    told = _told(network, example)
    levels = range(len(network.coarse_to_fine))
    told_shapes = [{0: shapes[0]} for _ in told[:1]]
    for level in network.coarse_to_fine:
        grid = network.multiple // level.reduction
        told_shapes.append({0: shapes[0], 2: grid * Dim("rows"), 3: grid * Dim("columns")})
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            outputs,
            (example, *told),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["lr", *("survey" for _ in told[:1]), *(f"level{index}" for index in levels)],
            output_names=[
                *(f"x{scale}" for scale in network.scales),
                *(f"made{index}" for index in levels),
                *("surveyed" for _ in told[:1]),
            ],
            dynamic_shapes=(shapes, tuple(told_shapes)) if told else (shapes,),
        )
    if program is None:
        raise CnlrnError(f"{name} cannot be exported to ONNX")
    model = program.model_proto
    facts = {
        "name": name,
        "preset": json.dumps(dict(preset)),
        "multiple": str(network.multiple),
        "context": "" if network.context is None else str(network.context),
        "scales": ",".join(map(str, network.scales)),
        "survey": "yes" if told else "",
        "levels": ",".join(
            f"{one.reduction}:{one.channels}:{one.context}:{one.multiple}" for one in network.coarse_to_fine
        ),
        "version": version("cnlrn"),
    }
    onnx.helper.set_model_props(model, facts)
    forget_source(model.graph)
    _shuffle_by_convolution(model.graph)
    halve(model.graph)
    content: bytes = model.SerializeToString()
    _prove(outputs, content, network.multiple)
    return content


def export_model(name: str, weights: Path, folder: Path, changes: Mapping[str, float] | None = None) -> Card:
    """Write NAME.onnx, NAME.safetensors (float16) and the card NAME.json into `folder`, from a file of weights.

    `changes` are the hyper-parameters that differ from the network's preset. The weights are rounded to float16 first,
    so that both files hold the same. A card that is there keeps what people wrote in it; only its checksum and scales
    follow the file, and an eight-bit version of another file is removed. When anything fails, files that are there
    stay as they are.

    CnlrnError as `build`, `load_checkpoint` and `export`, where a weight is not finite or beyond float16, and where a
    file is there that is no card.
    """
    card_file, rounded, file = (folder / f"{name}{suffix}" for suffix in (".json", ".safetensors", ".onnx"))
    known = _known(card_file)
    network = networks.build(name, changes)
    load_checkpoint(network, weights)
    halves = _rounded(network, weights)
    network.load_state_dict(halves)
    content = _serialised(network, name, changes or {})
    facts = {"name": name, "file": file.name, "sha256": hashlib.sha256(content).hexdigest()}
    empty = {"description": "", "data": [], "recipe": "", "figures": {}, "limits": []}
    stale = known.get("int8") if known.get("sha256") != facts["sha256"] else None
    changed: dict[str, Any] = {**facts, "scales": list(network.scales)} | ({"int8": {}} if stale else {})
    card = Card(**{**empty, **known, **changed})
    text = json.dumps(asdict(card), indent=2) + "\n"
    make_folder(folder)
    write({rounded: save(halves), file: content, card_file: text.encode()})
    if stale:
        discard(folder / f"{name}.int8.onnx")
    return card


def _rounded(network: RestorationNetwork, weights: Path) -> dict[str, Tensor]:
    """The network's weights in float16; CnlrnError where that cannot hold one."""
    halves = {}
    for name, tensor in network.state_dict().items():
        halves[name] = (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        if not tensor.isfinite().all():
            raise CnlrnError(f"{weights} holds NaN or infinity in {name}; such a network restores nothing")
        if not halves[name].isfinite().all():
            raise CnlrnError(
                f"{weights} holds {float(tensor.abs().max()):.6g} in {name}, beyond the range of float16 (65504), in "
                "which models are written; train it on, with weight decay or a lower learning rate"
            )
    return halves


def _known(card_file: Path) -> dict[str, Any]:
    """What a card holds, nothing where there is none; CnlrnError where the file is no card."""
    if not card_file.exists():
        return {}
    try:
        known = json.loads(card_file.read_bytes())
    except ValueError as error:
        raise CnlrnError(f"{card_file} is not JSON ({error}); repair or remove it") from error
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
def _told(network: RestorationNetwork, lr: Tensor) -> tuple[Tensor, ...]:
    """The survey of `lr`, if the network makes one, and its levels, which only a network with a survey has."""
    survey = _survey(network, lr)
    levels: list[Tensor] = []
    for index in range(len(network.coarse_to_fine)):
        levels.append(network.level(index, lr, survey[0], levels[-1] if levels else None))
    return (*survey, *levels)


@torch.no_grad()
def _prove(outputs: _Exits, content: bytes, multiple: int) -> None:
    """Compare with torch at sizes that the export has not seen."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for n, rows, columns in ((1, 1, 1), (1, 4, 3), (3, 2, 1)):
        lr = torch.rand(n, 3, rows * multiple, columns * multiple, generator=torch.Generator().manual_seed(rows))
        told = _told(outputs.network, lr)
        given = {one.name: tensor.numpy() for one, tensor in zip(session.get_inputs(), (lr, *told), strict=True)}
        for expected, got in zip(outputs(lr, *told), session.run(None, given), strict=True):
            scale = max(1.0, float(expected.abs().max()))  # features of levels may be large
            difference = float(np.abs(expected.numpy() - got).max()) / scale
            if not difference <= TOLERANCE:
                raise CnlrnError(f"the exported network differs from torch's by {difference:.2g}; it was not written")


def write(contents: Mapping[Path, bytes]) -> None:
    """Write files, all or none of them; CnlrnError where one cannot be written."""
    for path in contents:
        check_place(path)
    with ExitStack() as stack:
        for path, content in contents.items():
            stack.enter_context(writing(path))
            stack.enter_context(replacing(path)).write_bytes(content)
