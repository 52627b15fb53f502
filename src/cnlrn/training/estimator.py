"""Train the estimate of a picture's blur: `python -m cnlrn.training.estimator --folder PHOTOS --out FOLDER`.

Photos are degraded into pictures of known blur; what the network's fixed filters see of them, at several sizes and
crops, is kept, and the perceptron learns from that in a minute or two. FOLDER gets the model and its card. About 15% of
the photos, chosen by name, are never trained on: `benchmarks/blur.py` judges by them.
"""

import argparse
import hashlib
import json
import logging
import math
import multiprocessing
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from cnlrn.data.blurs import Photos
from cnlrn.data.pictures import Byte
from cnlrn.data.sources import generator, single_threaded, with_one_thread
from cnlrn.errors import CnlrnError
from cnlrn.files import make_folder
from cnlrn.networks.estimator import KINDS, MULTIPLE, BlurEstimator
from cnlrn.training.export import OPSET, TOLERANCE, forget_source, halve, write

LEAST_SHAKE, LEAST_RADIUS = 1.5, 1.0
"""From which a picture counts as blurred, in pixels."""
_VIEWS = {
    320: ((1.0, (320,)), (1.0, (256,)), (1.0, (64, 128, 192)), (0.5, (320,)), (0.5, (128, 256)), (2.0, (128, 160))),
    640: ((1.0, (640,)), (1.0, (512,)), (1.0, (384, 512)), (0.5, (640,)), (0.5, (512,)), (2.0, (320,))),
}
"""Views of a sample of each side: by how much it is resized, and the sides of its crops, one of which is drawn.
Halves are what a look at a reduced picture sees; doubles have shakes beyond the recipe's."""
_BATCH = 256
_DROPPED = 0.2
_WEIGHT_DECAY = 0.01
_RIDGE = 0.01
_FARTHEST = 6.0
"""Standard deviations beyond which features are clipped while training."""
_STREAM = 1_000_003
"""Added to a seed for the choice of views."""

log = logging.getLogger(__name__)

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Views:
    """What is seen of views of known blur: `seen` (n, k) as `BlurEstimator.see` has it, the `facts` (n, FIELDS) of the
    picture before it was resized by `scale` (n,)."""

    seen: Tensor
    facts: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Targets:
    """What is to be told of views, each (n,) but `direction`, (n, 2): the kind's place in KINDS, -1 where it is not
    judged; numbers as `networks.estimator.TOLD` has them; whether noise and compression are judged."""

    kind: Tensor
    extent: Tensor
    direction: Tensor
    radius: Tensor
    noise: Tensor
    compression: Tensor
    at_full_size: Tensor

    def __getitem__(self, chosen: Tensor) -> "Targets":
        """Those of the views `chosen`."""
        return Targets(*(value[chosen] for value in vars(self).values()))


def targets(facts: Tensor, scale: Tensor) -> Targets:
    """Targets from rows of facts (n, FIELDS) of pictures that were then resized by `scale` (n,)."""
    extent, radius = facts[:, 0] * scale, facts[:, 3] * scale
    shaken = (extent >= LEAST_SHAKE) & (extent >= 2 * radius)
    kind = torch.where(shaken, KINDS.index("shake"), torch.where(radius >= LEAST_RADIUS, KINDS.index("defocus"), 0))
    kind = torch.where((scale > 1) & (kind == 0), -1, kind)  # enlarged, a sharp picture is soft: either answer is right
    return Targets(
        kind,
        torch.log(extent.clamp_min(1e-3)),
        facts[:, 1:3],
        torch.log(radius.clamp_min(1e-3)),
        torch.log1p(facts[:, 4]),
        torch.log1p((100 - facts[:, 5]) / 4),
        scale == 1,
    )


def loss(told: Tensor, true: Targets) -> Tensor:
    """How wrong `told` (n, TOLD) is: cross-entropy of the kinds, and the errors of what the kind makes visible: extent
    and direction of a shake, radius of a defocus; noise and compression at full size."""
    shaken, unfocused = true.kind == KINDS.index("shake"), true.kind == KINDS.index("defocus")
    kinds, numbers = torch.split(told, [len(KINDS), told.shape[1] - len(KINDS)], 1)
    extent, direction, radius, noise, compression = torch.split(numbers, [1, 2, 1, 1, 1], 1)
    total = F.cross_entropy(kinds, true.kind, ignore_index=-1, reduction="sum")
    total = total + ((extent[:, 0] - true.extent).abs() * shaken).sum()
    total = total + ((direction - true.direction).square().sum(1) * shaken).sum()
    total = total + ((radius[:, 0] - true.radius).abs() * unfocused).sum()
    total = total + 0.5 * ((noise[:, 0] - true.noise).abs() * true.at_full_size).sum()
    total = total + 0.5 * ((compression[:, 0] - true.compression).abs() * true.at_full_size).sum()
    mean: Tensor = total / len(told)
    return mean


def views(photos: Photos, count: int, processes: int) -> Views:
    """All views of the first `count` samples of `photos`, made by so many processes."""
    seen, facts, scale = [], [], []
    for index, (means, told, resized) in enumerate(_made(photos, count, processes)):
        seen.append(means)
        facts.append(np.repeat(np.array([told], np.float32), len(means), 0))
        scale.append(resized)
        if (index + 1) % 500 == 0:
            log.info("%d of %d samples made", index + 1, count)
    return Views(*(torch.from_numpy(np.concatenate(parts)) for parts in (seen, facts, scale)))


def _made(photos: Photos, count: int, processes: int) -> Iterator[tuple[Float, tuple[float, ...], Float]]:
    seen = partial(_sample_seen, photos)
    if processes <= 1:
        yield from map(seen, range(count))
        return
    with_one_thread()
    context = multiprocessing.get_context("spawn")  # a forked one would wait for threads that OpenCV has here only
    with context.Pool(processes, _one_thread) as pool:
        yield from pool.imap(seen, range(count), chunksize=8)


def _one_thread() -> None:
    single_threaded()
    torch.set_num_threads(1)


def _sample_seen(photos: Photos, index: int) -> tuple[Float, tuple[float, ...], Float]:
    picture, facts = photos[index]
    seen, scale = seen_of(picture, generator(photos.seed + _STREAM, index))
    return seen, facts, scale


@torch.no_grad()
def seen_of(picture: Byte, rng: np.random.Generator) -> tuple[Float, Float]:
    """What the filters see of the views of a sample, uint8 (side, side, 3), and how each was resized."""
    network = BlurEstimator()
    whole = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    seen = []
    for scale, sides in _VIEWS[len(picture)]:
        side = int(rng.choice(sides))
        top, left = 8 * rng.integers((len(picture) - side) // 8 + 1, size=2)  # on JPEG's grid
        view = whole[:, :, top : top + side, left : left + side]
        if scale < 1:
            view = F.avg_pool2d(view, 2)
        elif scale > 1:
            view = F.interpolate(view, scale_factor=scale, mode="bicubic", align_corners=False).clamp(0, 1)
        seen.append(network.see(view).numpy())
    return np.concatenate(seen), np.array([scale for scale, _ in _VIEWS[len(picture)]], np.float32)


def fit(views: Views, steps: int, seed: int, rate: float = 2e-3) -> BlurEstimator:
    """A network whose perceptron learned from `views` for `steps` batches, by AdamW with a rate that falls as a cosine
    from `rate`."""
    torch.manual_seed(seed)
    network = BlurEstimator()
    true = targets(views.facts, views.scale)
    with torch.no_grad():
        _set_compass(network, views.seen[true.kind == KINDS.index("shake")], true[true.kind == KINDS.index("shake")])
        features, towards = network.features(views.seen)
        network.centre.copy_(features.mean(0))
        network.spread.copy_(features.std(0) + 1e-3)
        features = ((features - network.centre) / network.spread).clamp(-_FARTHEST, _FARTHEST)
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=_WEIGHT_DECAY)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = torch.randint(len(features), (_BATCH,))
        hidden = F.dropout(F.relu(network.inner(features[chosen])), _DROPPED)
        hidden = F.dropout(F.relu(network.second(hidden)), _DROPPED)
        wrong = loss(network.directed(network.outer(hidden), towards[chosen]), true[chosen])
        optimiser.zero_grad()
        wrong.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if (step + 1) % 500 == 0:
            log.info("step %d of %d: loss %.3f", step + 1, steps, float(wrong.detach()))
    return network.eval()


def calibrate(network: BlurEstimator, views: Views, steps: int = 300) -> None:
    """Fit a gain and an offset of each number that the network tells to `views` of large pictures: what it learned from
    small ones, which tell less, is drawn towards the mean."""
    true = targets(views.facts, views.scale)
    with torch.no_grad():
        features, towards = network.features(views.seen)
        hidden = F.relu(network.inner((features - network.centre) / network.spread))
        hidden = F.relu(network.second(hidden))
    weight, bias = network.outer.weight.detach(), network.outer.bias.detach()
    gain, offset = torch.ones(len(bias), requires_grad=True), torch.zeros(len(bias), requires_grad=True)
    optimiser = torch.optim.Adam([gain, offset], 0.02)
    for _ in range(steps):
        wrong = loss(network.directed(F.linear(hidden, weight, bias) * gain + offset, towards), true)
        optimiser.zero_grad()
        wrong.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        network.outer.weight.mul_(gain[:, None])
        network.outer.bias.mul_(gain).add_(offset)


def _set_compass(network: BlurEstimator, seen: Tensor, true: Targets) -> None:
    """Have the network find the direction of shakes by the linear combination that fits best (ridge regression)."""
    even, odd, _ = network.harmonics(seen)
    parts = torch.cat([even[..., 1], odd[..., 1]]).double()
    wanted = torch.cat([true.direction[:, 0], true.direction[:, 1]]).double()
    square = parts.T @ parts
    square += _RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=torch.double)
    network.compass.copy_(torch.linalg.solve(square, parts.T @ wanted)[None])


def ship(network: BlurEstimator, folder: Path) -> None:
    """Write `blur.onnx` and its card `blur.json` into `folder`, the weights rounded to float16; what people wrote in a
    card that is there is kept.

    CnlrnError where ONNX Runtime's outputs differ from torch's, or the files cannot be written.
    """
    with torch.no_grad():
        for value in (*network.parameters(), network.compass, network.centre, network.spread):
            value.copy_(value.half().float())
    content = exported(network)
    card_file = folder / "blur.json"
    known = json.loads(card_file.read_bytes()) if card_file.exists() else {}
    card = {"name": "blur", "description": "", "file": "blur.onnx", "sha256": "", "data": [], "recipe": ""}
    card |= {"figures": {}, "limits": []} | known | {"sha256": hashlib.sha256(content).hexdigest()}
    make_folder(folder)
    write({folder / "blur.onnx": content, card_file: (json.dumps(card, indent=2) + "\n").encode()})


def exported(network: BlurEstimator) -> bytes:
    """An ONNX file with the outputs `seen` (n, k), of the input `windows` (n, 3, h, w), and `told` (m, TOLD), of
    `means` (m, k), proved equal to torch at sizes that the export has not seen; CnlrnError where it is not."""
    both = _SeeAndTell(network).eval()
    windows = torch.rand(2, 3, 6 * MULTIPLE, 7 * MULTIPLE, generator=torch.Generator().manual_seed(0))
    means = network.see(windows[:1])
    shapes = ({0: Dim("n"), 2: MULTIPLE * Dim("rows", min=4), 3: MULTIPLE * Dim("columns", min=4)}, {0: Dim("m")})
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            both,
            (windows, means.repeat(3, 1)),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["windows", "means"],
            output_names=["seen", "told"],
            dynamic_shapes=shapes,
        )
    if program is None:
        raise CnlrnError("the estimator cannot be exported to ONNX")
    model = program.model_proto
    onnx.helper.set_model_props(model, {"name": "blur", "version": version("cnlrn")})
    forget_source(model.graph)
    halve(model.graph)
    content: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for sides in ((64, 64), (128, 80)):
        windows = torch.rand(1, 3, *sides, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            seen = network.see(windows)
            expected = network.tell(seen).numpy()
        got = session.run(
            ["told"],
            {
                "windows": windows.numpy(),
                "means": session.run(["seen"], {"windows": windows.numpy(), "means": means.numpy()})[0],
            },
        )[0]
        if not np.abs(got - expected).max() <= TOLERANCE * 10:
            raise CnlrnError("the exported estimator differs from torch's; it was not written")
    return content


class _SeeAndTell(nn.Module):
    """Both halves of an estimator, as outputs of one graph that do not depend on each other."""

    def __init__(self, network: BlurEstimator) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.see(windows), self.network.tell(means)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="sharp photos of at least 800 pixels a side")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model and its card")
    parser.add_argument("--small", type=int, default=4300, help="samples of 320 pixels a side")
    parser.add_argument("--large", type=int, default=220, help="samples of 640 pixels a side")
    parser.add_argument("--steps", type=int, default=1500, help="batches to learn from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        small, large = (
            views(Photos(given.folder, side, given.seed + offset, False, resized=resized), count, given.processes)
            for side, count, offset, resized in (
                (320, given.small, 0, (0.6, 1.6)),
                (640, given.large, 10, (0.6, 1.2)),
            )
        )
        network = fit(joined([small, large, large]), given.steps, given.seed)
        calibrate(network, large)
        ship(network, given.out)
    except CnlrnError as error:
        parser.exit(2, f"{error}\n")


def joined(parts: Sequence[Views]) -> Views:
    """Views of several kinds of samples as one."""
    return Views(*(torch.cat(values) for values in zip(*(vars(part).values() for part in parts), strict=True)))


if __name__ == "__main__":
    main()
