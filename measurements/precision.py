"""float32 and int8 in one run: the shipped models that have both, each exit, and the bare convolutions beside them.

Every number is the median of 15 calls, taken in turn, on a picture of 320x192 pixels: noise, whose values do not change
the time. Two threads also with `session.intra_op.allow_spinning=0`. Prints a Markdown table.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cnlrn.engine.onnxfile import keep_output
from cnlrn.models import FOLDER, models

HEIGHT, WIDTH, CALLS = 192, 320, 15
FLOAT, INT8 = "float32", "int8"


def bare(channels: int, precision: str) -> bytes:
    """One 3x3 convolution; in eight bits also what it reads and writes."""
    kind = TensorProto.UINT8 if precision == INT8 else TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, [1, channels, HEIGHT, WIDTH]) for name in ("lr", "x1")]
    weights = np.random.default_rng(0).integers(-64, 65, (channels, channels, 3, 3))
    constants: dict[str, Any]
    if precision == FLOAT:
        constants = {"weights": weights.astype(np.float32) / 1000}
        node = helper.make_node("Conv", ["lr", "weights"], ["x1"], pads=[1] * 4)
    else:
        constants = {"weights": weights.astype(np.int8), "scale": np.float32(0.01), "zero": np.uint8(128)}
        constants |= {"scales": np.full(channels, 0.01, np.float32), "zeros": np.zeros(channels, np.int8)}
        inputs = ["lr", "scale", "zero", "weights", "scales", "zeros", "scale", "zero"]
        node = helper.make_node("QLinearConv", inputs, ["x1"], pads=[1] * 4)
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph([node], "bare", ends[:1], ends[1:], tensors)
    content: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()
    return content


def session(content: bytes, threads: int, spinning: bool) -> onnxruntime.InferenceSession:
    """As `cnlrn` makes one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def given(one: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
    """Noise of the shapes and types that a session reads."""
    noise = np.random.default_rng(0)
    result = {}
    for value in one.get_inputs():
        sizes = (1, 3, HEIGHT, WIDTH) if value.name == "lr" else (1, 129)
        shape = [side if isinstance(side, int) else size for side, size in zip(value.shape, sizes, strict=True)]
        array = noise.random(shape, np.float32)
        result[value.name] = (array * 255).astype(np.uint8) if value.type == "tensor(uint8)" else array
    return result


def times(contents: dict[str, bytes], threads: int, spinning: bool) -> dict[str, float]:
    """Seconds of a call of each, taken in turn."""
    sessions = {name: session(content, threads, spinning) for name, content in contents.items()}
    inputs = {name: given(one) for name, one in sessions.items()}
    found: dict[str, list[float]] = {name: [] for name in contents}
    for _ in range(CALLS + 1):
        for name, one in sessions.items():
            start = time.perf_counter()
            one.run(None, inputs[name])
            found[name].append(time.perf_counter() - start)
    return {name: statistics.median(all_[1:]) for name, all_ in found.items()}


def compare(threads: list[int]) -> None:
    """Measure everything and print the table."""
    rows: list[tuple[str, dict[str, bytes], float]] = []
    for channels in (32, 64, 96):
        contents = {precision: bare(channels, precision) for precision in (FLOAT, INT8)}
        rows.append((f"bare convolution, {channels} channels", contents, 18 * channels**2 * HEIGHT * WIDTH / 1e9))
    for card in models():
        if not card.int8:
            continue
        for scale in card.scales:
            files = {FLOAT: FOLDER / card.file, INT8: FOLDER / card.int8["file"]}
            contents = {name: keep_output(Path(file).read_bytes(), f"x{scale}") for name, file in files.items()}
            rows.append((f"{card.name} to x{scale}", contents, 0))
    print("| | threads | float32 | int8 | ratio | GFLOP/s |\n| --- | --- | --- | --- | --- | --- |")
    for title, contents, gflop in rows:
        for count, spinning in [(one, spins) for one in threads for spins in (True, False)[: min(one, 2)]]:
            found = times(contents, count, spinning)
            rate = f"{gflop / found[FLOAT]:.0f}, {gflop / found[INT8]:.0f}" if gflop else ""
            print(
                f"| {title} | {count}{'' if spinning else ', not spinning'} | {found[FLOAT]:.4f} s "
                f"| {found[INT8]:.4f} s | {found[INT8] / found[FLOAT]:.2f} | {rate} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    compare(parser.parse_args().threads)
