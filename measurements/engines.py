"""Inference engines compared on the same networks: `python measurements/engines.py`, with nothing else running.

Needs the extra `train` and, for the rows that are to be measured, `pip install openvino ncnn pnnx`. Every figure comes
from a process of its own that imports the engine, loads the network and restores one 320x192 picture (320x180 padded
to the network's multiple) to x4 again and again; the survey of the picture, made once for all its tiles, is given. The
rate of an engine is set beside what it reaches on one bare 3x3 convolution of 64 channels at the same size, its own
speed of light. Prints Markdown tables.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 192, 320
SURVEY = 129
ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "ncnn": "ncnn", "torch": "torch"}
NETWORKS = {
    "cnlrn-s": ("cnlrn-s", {}),
    "cnlrn-xs": ("cnlrn-xs", {}),
    "cnlrn-s without attention": ("cnlrn-s", {"attention_width": 0}),
}
BARE = "bare convolution"
CALLS = 15

Run = Callable[..., Any]


def make(folder: Path) -> dict[str, float]:
    """Write every network as .onnx, .pt (TorchScript) and, where ncnn can hold it, .param; returns GFLOP of each."""
    import torch
    from torch import nn

    from cnlrn import networks
    from cnlrn.engine.onnxfile import keep_output
    from cnlrn.networks.base import RestorationNetwork
    from cnlrn.networks.macs import macs_per_pixel
    from cnlrn.training.export import export

    class Largest(nn.Module):
        def __init__(self, network: RestorationNetwork) -> None:
            super().__init__()
            self.network = network

        def forward(self, lr: torch.Tensor, survey: torch.Tensor) -> torch.Tensor:
            largest: torch.Tensor = self.network(lr, 4, survey)
            return largest

    torch.manual_seed(0)
    bare = nn.Conv2d(64, 64, 3, padding=1)
    modules: dict[str, tuple[nn.Module, float]] = {BARE: (bare, 9 * 64 * 64)}
    for title, (name, changes) in NETWORKS.items():
        network = networks.build(name, changes)
        modules[title] = (Largest(network), macs_per_pixel(network, {4: 1.0}))
    gflop = {}
    for title, (module, macs) in modules.items():
        module.eval()
        given = tuple(map(torch.from_numpy, inputs(title)))
        file = folder / f"{title}.onnx"
        if isinstance(module, Largest):
            export(module.network, file, title)
            file.write_bytes(keep_output(file.read_bytes(), "x4"))
        else:
            torch.onnx.export(module, given, file, dynamo=True, verbose=False, input_names=["lr"], external_data=False)
        script = folder / f"{plain(title)}.pt"
        torch.jit.trace(module, given, check_trace=False).save(script)  # type: ignore[no-untyped-call]
        converted = subprocess.run(
            ["pnnx", script.name, "inputshape=" + ",".join(str(list(one.shape)).replace(" ", "") for one in given)],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if "exceeds ncnn physical rank" in converted.stdout + converted.stderr:
            script.with_suffix(".ncnn.param").unlink()
        gflop[title] = 2 * macs * HEIGHT * WIDTH / 1e9
    return gflop


def plain(title: str) -> str:
    """A title as pnnx likes to have its files named."""
    return "".join(letter if letter.isalnum() else "_" for letter in title)


def inputs(title: str) -> list[np.ndarray]:
    """What a network reads: a picture and a survey, or as many channels as the bare convolution has."""
    shapes = [(1, 64, HEIGHT, WIDTH)] if title == BARE else [(1, 3, HEIGHT, WIDTH), (1, SURVEY)]
    return [np.random.default_rng(0).random(shape, np.float32) for shape in shapes]


def load(engine: str, folder: Path, title: str, threads: int) -> Run:
    """The network in the engine, ready to run."""
    onnx, script = folder / f"{title}.onnx", folder / f"{plain(title)}.pt"
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        return lambda *given: session.run(None, dict(zip(("lr", "survey"), given, strict=False)))[0]
    if engine == "openvino":
        import openvino

        hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = openvino.Core().compile_model(onnx, "CPU", hints).create_infer_request()
        return lambda *given: request.infer(list(given))[0]
    if engine == "ncnn":
        import ncnn

        net = ncnn.Net()
        net.opt.num_threads = threads
        if net.load_param(str(script.with_suffix(".ncnn.param"))) or net.load_model(
            str(script.with_suffix(".ncnn.bin"))
        ):
            raise SystemExit(f"ncnn cannot load {title}")

        def run(*given: np.ndarray) -> np.ndarray:
            with net.create_extractor() as extractor:
                for number, one in enumerate(given):
                    extractor.input(f"in{number}", ncnn.Mat(one[0]))
                return np.array(extractor.extract("out0")[1])[None]

        return run
    import torch

    torch.set_num_threads(threads)
    module = torch.jit.load(script).eval()  # type: ignore[no-untyped-call]

    def infer(*given: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(module(*map(torch.from_numpy, given)).numpy())

    return infer


def measure(engine: str, folder: Path, title: str, threads: int) -> dict[str, float]:
    """In this process: seconds of the first result, counted from before the import, and of a call when warm."""
    given = inputs(title)
    start = time.perf_counter()
    run = load(engine, folder, title, threads)
    run(*given)
    first = time.perf_counter() - start
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        run(*given)
        times.append(time.perf_counter() - start)
    return {"first": first, "warm": statistics.median(times)}


def installed_size(package: str) -> float:
    """Megabytes of a package and of what it requires, without numpy, which every engine needs."""
    todo, seen, total = [package], {"numpy"}, 0
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:  # of another platform or an extra
            continue
        files = (Path(str(file.locate())) for file in distribution.files or ())
        total += sum(file.stat().st_size for file in files if file.is_file())
        for line in distribution.requires or ():
            if "extra ==" not in line:
                todo.append("".join(c if c.isalnum() or c in "-_." else " " for c in line).split()[0])
    return total / 1e6


def compare() -> None:
    """Measure everything and print the tables."""
    engines = [engine for engine in ENGINES if importlib.util.find_spec(engine)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gflop = make(folder)
        found: dict[tuple[str, str, int], dict[str, float]] = {}
        for title in gflop:
            for engine in engines:
                for threads in (1, 2):
                    command = [sys.executable, __file__, "--one", engine, name, title, str(threads)]
                    run = subprocess.run(command, capture_output=True, text=True)
                    if run.returncode == 0:
                        found[title, engine, threads] = json.loads(run.stdout.splitlines()[-1])
    print("| network | engine | threads | warm call | import to first result | GFLOP/s | of bare |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for title, total in gflop.items():
        for engine in engines:
            for threads in (1, 2):
                figures = found.get((title, engine, threads))
                if figures is None:
                    if threads == 1:
                        print(f"| {title} | {ENGINES[engine]} | – | cannot hold it | | | |")
                    continue
                rate = total / figures["warm"]
                share = rate / (gflop[BARE] / found[BARE, engine, threads]["warm"])
                print(
                    f"| {title} | {ENGINES[engine]} | {threads} | {figures['warm']:.3f} s | {figures['first']:.2f} s "
                    f"| {rate:.0f} | {share:.0%} |"
                )
    print("\n| engine | version | installed, without numpy |\n| --- | --- | --- |")
    for engine in engines:
        print(f"| {ENGINES[engine]} | {importlib.metadata.version(engine)} | {installed_size(engine):.0f} MB |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=4, metavar=("ENGINE", "FOLDER", "NETWORK", "THREADS"))
    given = parser.parse_args().one
    if given:
        os.environ["OMP_NUM_THREADS"] = given[3]
        print(json.dumps(measure(given[0], Path(given[1]), given[2], int(given[3]))))
    else:
        compare()
