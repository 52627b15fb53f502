"""An exported model in eight bits: static quantisation by ONNX Runtime's own tools.

The wide convolutions get eight-bit inputs and seven-bit weights, one scale a channel (Jacob et al., Quantization and
training of neural networks for efficient integer-arithmetic-only inference, CVPR 2018); all else stays float32. Seven
bits, since processors without VNNI add pairs of products in 16 bits, which two of eight bits would overflow: 2 x 255 x
64 does not, so that every processor computes the same sums. Ranges of activations are the smallest and largest values
seen in photos that are degraded as for training.
"""

import hashlib
import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader

from cnlrn import degradation
from cnlrn.data import pictures
from cnlrn.engine.onnx import OnnxEngine
from cnlrn.errors import CnlrnError
from cnlrn.files import make_folder
from cnlrn.models import Card, find, models
from cnlrn.training.export import halve, write

_NARROWEST = 16
"""Channels in and out from which eight bits save time."""
_PHOTOS = 60
_LARGEST_SIDE = 256
_ERRORS_ALONE = 3


def quantise_model(name: str, photos: Path, folder: Path) -> Card:
    """Write NAME.int8.onnx, made of the shipped model `name`, and the card NAME.json that names it into `folder`.

    `photos` is a folder of sharp photos. The same photos give the same file.

    Raises:
        CnlrnError: no such model, no photos that are large enough, or a file cannot be written.
    """
    source, sha256 = find(name)
    card = next((card for card in models() if card.name == name), None)
    if card is None:
        raise CnlrnError(f"{name} is a file; give the name of a model that `cnlrn models` lists")
    engine = OnnxEngine(source, sha256=sha256, threads=1)
    content = quantised(source, list(_calibration(engine, photos)))
    file = f"{name}.int8.onnx"
    card = replace(card, int8={"file": file, "sha256": hashlib.sha256(content).hexdigest()})
    make_folder(folder)
    write({folder / file: content, folder / f"{name}.json": (json.dumps(asdict(card), indent=2) + "\n").encode()})
    return card


def quantised(source: Path, samples: list[dict[str, NDArray[np.float32]]]) -> bytes:
    """The content of the ONNX file `source` in eight bits; `samples` are inputs of the whole graph."""
    model = onnx.load(source)
    _widen(model.graph)
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"node{number}"
    onnxruntime.set_default_logger_severity(_ERRORS_ALONE)
    logging.getLogger().addFilter(_silent)  # advice to optimise the graph first, which sessions do by themselves
    try:
        with tempfile.TemporaryDirectory() as name:
            before, after = Path(name) / "float32.onnx", Path(name) / "int8.onnx"
            onnx.save(model, before)
            quantize_static(
                before,
                after,
                _Samples(samples),
                quant_format=QuantFormat.QDQ,
                calibrate_method=CalibrationMethod.MinMax,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                reduce_range=True,
                per_channel=True,
                op_types_to_quantize=["Conv"],
                nodes_to_quantize=_wide_convolutions(model.graph),
            )
            result = onnx.load(after)
    finally:
        logging.getLogger().removeFilter(_silent)
    halve(result.graph)
    content: bytes = result.SerializeToString(deterministic=True)
    return content


def _silent(_: logging.LogRecord) -> bool:
    return False


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Inputs, one after the other, as ONNX Runtime's tools ask for them."""

    def __init__(self, samples: list[dict[str, NDArray[np.float32]]]) -> None:
        self._left = iter(samples)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """The next inputs, None at the end."""
        return next(self._left, None)


def _calibration(engine: OnnxEngine, photos: Path) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Inputs of the whole graph, of at most 60 photos spread over the folder, degraded with fixed seeds."""
    recipe = degradation.recipe("own" if max(engine.scales) == 1 else "photo")
    files = pictures.find(photos)
    least, found = recipe.scale * engine.multiple, False
    for seed, place in enumerate(np.linspace(0, len(files) - 1, min(_PHOTOS, len(files))).astype(int)):
        photo = pictures.read(files[place])
        if photo is None or min(photo.shape[:2]) < least:
            continue
        lr = degradation.degrade(photo, recipe, seed).lr
        height, width = (min(side, _LARGEST_SIDE) // engine.multiple * engine.multiple for side in lr.shape[:2])
        found = True
        yield _told(
            engine, np.ascontiguousarray(lr[:height, :width].transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        )
    if not found:
        raise CnlrnError(f"no picture in {photos} has {least} pixels a side or more; give larger photos")


def _told(engine: OnnxEngine, lr: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """`lr` with the survey and the levels that the graph reads beside it."""
    survey = engine.survey(lr)
    if survey is None:
        return {"lr": lr}
    told, features = {"lr": lr, "survey": survey}, None
    for index in range(len(engine.levels)):
        features = told[f"level{index}"] = engine.level(index, lr, survey, features)
    return told


def _widen(graph: onnx.GraphProto) -> None:
    """Make float16 weights float32 again, which ONNX Runtime's tools see through no cast."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        tensor = constants.get(node.input[0]) if node.op_type == "Cast" else None
        if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT16:
            nodes.append(node)
            continue
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, node.output[0]))
    del graph.node[:]
    graph.node.extend(nodes)


def _wide_convolutions(graph: onnx.GraphProto) -> list[str]:
    """The names of the convolutions with 16 channels and more in and out, but those of the survey, whose mean over a
    picture everything hangs on and which costs little."""
    shapes = {tensor.name: tensor.dims for tensor in graph.initializer}
    surveying = _leading_to(graph, "surveyed")
    return [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and min(shapes[node.input[1]][:2]) >= _NARROWEST and node.name not in surveying
    ]


def _leading_to(graph: onnx.GraphProto, output: str) -> set[str]:
    """The names of the nodes that an output is made of."""
    needed, names = {output}, set()
    for node in reversed(graph.node):  # a node comes after those that it reads
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            names.add(node.name)
    return names
