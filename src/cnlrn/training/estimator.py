"""Train the estimate of a picture's blur: `python -m cnlrn.training.estimator --folder PHOTOS --out FOLDER`.

Photos are degraded into pictures of known blur; what the network's fixed filters and the spectrum tell of them, whole,
of a quarter and at half their size, is kept, and the network's judges learn from that in a minute or two. FOLDER gets
the model and its card. About 15% of the photos, chosen by name, are never trained on: `measurements/blur.py` judges by
them.
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
from dataclasses import dataclass, replace
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

from cnlrn.data.blurs import RECIPE, Photos
from cnlrn.data.pictures import Byte
from cnlrn.data.sources import generator, single_threaded, with_one_thread
from cnlrn.degradation import Facts, captured
from cnlrn.errors import CnlrnError
from cnlrn.files import make_folder
from cnlrn.networks.estimator import KINDS, MULTIPLE, BlurEstimator, Judge
from cnlrn.restoration.spectrum import SIDE, lengths, spectra
from cnlrn.training.export import OPSET, TOLERANCE, forget_source, halve, write

LEAST = 2.0
"""Size from which a picture counts as blurred: the extent of its shake or the diameter of its defocus, in pixels."""
_CLEAN = replace(RECIPE, noise_share=0.0, jpeg_share=0.0)
_LONG = replace(_CLEAN, name="long", extents=((1.0, 64, 128),))
"""Shakes beyond the recipe's, so that these are not all told as its longest."""
_RESIZED = (0.6, 1.3)
_BATCH = 384
_WEIGHT_DECAY = 0.02
_RIDGE = 0.01
_SOFTNESS = 0.2
"""Standard deviation, on a logarithmic axis, of the sizes that are taken for right while training."""
_STREAM = 10_000
"""Of seeds, for noise and compression."""

log = logging.getLogger(__name__)

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Views:
    """What is seen of n views of known blur: `seen` (n, k) and `spectra` (n, LENGTHS, DIRECTIONS) as `BlurEstimator`
    has them, the `facts` (n, FIELDS) of the picture before it was resized by `scale` (n,)."""

    seen: Tensor
    spectra: Tensor
    facts: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Targets:
    """What is to be told of views: the kind's place in KINDS (n,), the logarithm of the size of the blur (n,) in
    pixels, the direction (n, 2), noise and compression (n,) as `networks.estimator.TOLD` has them, whether these two
    are judged (n,), and how much the view counts (n,)."""

    kind: Tensor
    size: Tensor
    direction: Tensor
    noise: Tensor
    compression: Tensor
    at_full_size: Tensor
    weight: Tensor

    def __getitem__(self, chosen: Tensor) -> "Targets":
        """Those of the views `chosen`."""
        return Targets(*(value[chosen] for value in vars(self).values()))


def targets(facts: Tensor, scale: Tensor) -> Targets:
    """Targets from rows of facts (n, FIELDS) of pictures that were then resized by `scale` (n,)."""
    extent, diameter = facts[:, 0] * scale, 2 * facts[:, 3] * scale
    size = torch.maximum(extent, diameter)
    shaken = torch.where(extent >= diameter, KINDS.index("shake"), KINDS.index("defocus"))
    return Targets(
        torch.where(size < LEAST, 0, shaken),
        torch.log(size.clamp_min(1e-3)),
        facts[:, 1:3],
        torch.log1p(facts[:, 4]),
        torch.log1p((100 - facts[:, 5]) / 4),
        scale == 1,
        _evened(size),
    )


def _evened(size: Tensor) -> Tensor:
    """Weights of views by the size of their blur: rare sizes count more, so that all are told equally well."""
    blurred = size >= LEAST
    place = (size.clamp_min(LEAST).log() * 3).long()
    rarity = 1 / (torch.bincount(place[blurred], minlength=int(place.max()) + 1) + 10)[place]
    return torch.where(blurred, rarity / rarity[blurred].mean(), 1.0).clamp(0.4, 3)


def loss(numbers: Tensor, sizes: Tensor, towards: Tensor, true: Targets) -> Tensor:
    """How wrong what a `Judge` says of views is that lie `towards` (n, 2): the cross-entropy of the kinds, that of the
    sizes where there is blur, and the errors of a shake's direction, and of noise and compression at full size."""
    kinds, elongation, noise, compression = torch.split(numbers, [len(KINDS), 1, 1, 1], 1)
    shaken = true.kind == KINDS.index("shake")
    wrong = F.cross_entropy(kinds, true.kind, reduction="none") * true.weight
    known = torch.from_numpy(lengths()).log()
    apart = true.size[:, None].clamp(float(known.min()), float(known.max())) - known
    right = torch.softmax(-0.5 * (apart / _SOFTNESS).square(), 1)
    wrong = wrong - (sizes * right).sum(1) * true.weight * (true.kind > 0)
    wrong = wrong + (elongation * towards - true.direction).square().sum(1) * shaken
    sensed = (noise[:, 0] - true.noise).abs() + (compression[:, 0] - true.compression).abs()
    return (wrong + 0.5 * sensed * true.at_full_size).mean()


def views(photos: Photos, count: int, processes: int) -> Views:
    """All views of the first `count` samples of `photos`, made by so many processes."""
    made: list[_Seen] = []
    for index, sample in enumerate(_made(photos, count, processes)):
        made.append(sample)
        if (index + 1) % 500 == 0:
            log.info("%d of %d samples made", index + 1, count)
    return Views(*(torch.from_numpy(np.concatenate(parts)) for parts in zip(*made, strict=True)))


_Seen = tuple[Float, Float, Float, Float]
"""As the fields of `Views`."""


def _made(photos: Photos, count: int, processes: int) -> Iterator[_Seen]:
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


def _sample_seen(photos: Photos, index: int) -> _Seen:
    picture, facts = photos[index]
    rng = generator(1000 * photos.seed + _STREAM, index)
    values = picture.astype(np.float32) / np.float32(255)
    picture, sensed = captured(values, Facts(), RECIPE, rng, "gamma" if rng.random() < 0.5 else "srgb")
    return seen_of(picture, (*facts[:4], sensed.noise, sensed.jpeg_quality), rng)


@torch.no_grad()
def seen_of(picture: Byte, facts: Sequence[float], rng: np.random.Generator) -> _Seen:
    """What is seen of three views of a sample, uint8 (side, side, 3): the whole, one of its quarters, and the whole at
    half its size."""
    network = BlurEstimator()
    whole = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    side = len(picture) // 2
    quarters = torch.cat([whole[:, :, top : top + side, left : left + side] for top in (0, side) for left in (0, side)])
    half = F.avg_pool2d(whole, 2)
    seen = network.see(torch.cat([quarters, half]))
    one = int(rng.integers(4))
    waves = [spectra(view.mean(1).numpy()) for view in (whole, quarters[one : one + 1], half)]
    return (
        torch.stack([seen[:4].mean(0), seen[one], seen[4]]).numpy(),
        np.concatenate(waves),
        np.repeat(np.array([facts], np.float32), 3, 0),
        np.array([1, 1, 0.5], np.float32),
    )


def fit(views: Views, steps: int, seed: int, judges: int = 4) -> BlurEstimator:
    """A network whose `judges` learned from `views`, each for `steps` batches and by another seed."""
    network = BlurEstimator(judges)
    true = targets(views.facts, views.scale)
    with torch.no_grad():
        _set_compass(network, views, true)
        features, waves, towards = network.features(views.seen, views.spectra)
        network.centre.copy_(features.mean(0))
        network.spread.copy_(features.std(0) + 1e-3)
        network.wave_centre.copy_(waves.mean(0))
        network.wave_spread.copy_(waves.std((0, 2))[:, None] + 1e-3)
        features, waves = network.standard(features), network.standard_waves(waves)
    for number in range(judges):
        network.judges[number] = taught(features, waves, towards, true, steps, 1000 * seed + number)
    return network.eval()


def taught(
    features: Tensor, waves: Tensor, towards: Tensor, true: Targets, steps: int, seed: int, rate: float = 2e-3
) -> Judge:
    """A judge that learned for `steps` batches, by AdamW with a rate that falls as a cosine from `rate`."""
    torch.manual_seed(seed)
    judge = Judge(features.shape[1])
    optimiser = torch.optim.AdamW(judge.parameters(), rate, weight_decay=_WEIGHT_DECAY)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = torch.randint(len(features), (_BATCH,))
        numbers, sizes = judge(features[chosen], waves[chosen])
        wrong = loss(numbers, sizes, towards[chosen], true[chosen])
        optimiser.zero_grad()
        wrong.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if (step + 1) % 500 == 0:
            log.info("step %d of %d: loss %.3f", step + 1, steps, float(wrong.detach()))
    return judge.eval()


def _set_compass(network: BlurEstimator, views: Views, true: Targets) -> None:
    """Have the network find the direction of shakes by the linear combination that fits best (ridge regression)."""
    shaken = true.kind == KINDS.index("shake")
    across, down = network.first_harmonics(views.seen[shaken], views.spectra[shaken])
    parts = torch.cat([across, down]).double()
    wanted = torch.cat([true.direction[shaken, 0], true.direction[shaken, 1]]).double()
    square = parts.T @ parts
    square += _RIDGE * square.diagonal().mean() * torch.eye(len(square), dtype=torch.double)
    network.compass.copy_(torch.linalg.solve(square, parts.T @ wanted)[None])


def ship(network: BlurEstimator, folder: Path) -> None:
    """Write `blur.onnx` and its card `blur.json` into `folder`, the weights rounded to float16; what people wrote in a
    card that is there is kept.

    CnlrnError where ONNX Runtime's outputs differ from torch's, or the files cannot be written.
    """
    with torch.no_grad():
        learned = (network.compass, network.centre, network.spread, network.wave_centre, network.wave_spread)
        for value in (*network.parameters(), *learned):
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
    `means` (m, k) and `spectra` (m, LENGTHS, DIRECTIONS), proved equal to torch at sizes that the export has not seen;
    CnlrnError where it is not."""
    both = _SeeAndTell(network).eval()
    windows, means, waves = _examples(network, 2, (6 * MULTIPLE, 7 * MULTIPLE))
    several = Dim("m")
    sizes = {0: Dim("n"), 2: MULTIPLE * Dim("rows", min=4), 3: MULTIPLE * Dim("columns", min=4)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            both,
            (windows, means.repeat(2, 1), waves.repeat(2, 1, 1)),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["windows", "means", "spectra"],
            output_names=["seen", "told"],
            dynamic_shapes=(sizes, {0: several}, {0: several}),
        )
    if program is None:
        raise CnlrnError("the estimator cannot be exported to ONNX")
    model = program.model_proto
    onnx.helper.set_model_props(model, {"name": "blur", "version": version("cnlrn")})
    forget_source(model.graph)
    halve(model.graph)
    content: bytes = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for rows, columns in ((64, 64), (128, 80)):
        windows, means, waves = _examples(network, 1, (rows, columns))
        with torch.no_grad():
            expected = network.tell(means, waves).numpy()
        given = {"windows": windows.numpy(), "means": means.numpy(), "spectra": waves.numpy()}
        seen = session.run(["seen"], given)[0]
        got = session.run(["told"], given | {"means": seen})[0]
        if not np.abs(got - expected).max() <= TOLERANCE * 10:
            raise CnlrnError("the exported estimator differs from torch's; it was not written")
    return content


@torch.no_grad()
def _examples(network: BlurEstimator, count: int, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    windows = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(0))
    return windows, network.see(windows), torch.from_numpy(spectra(windows.mean(1).numpy()))


class _SeeAndTell(nn.Module):
    """Both halves of an estimator, as outputs of one graph that do not depend on each other."""

    def __init__(self, network: BlurEstimator) -> None:
        super().__init__()
        self.network = network

    def forward(self, windows: Tensor, means: Tensor, spectra: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.see(windows), self.network.tell(means, spectra)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="sharp photos of at least 800 pixels a side")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model and its card")
    parser.add_argument("--count", type=int, default=4000, help="samples by the recipe `own`")
    parser.add_argument("--long", type=int, default=270, help="samples of longer shakes")
    parser.add_argument("--steps", type=int, default=1200, help="batches that each judge learns from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        made = [
            views(Photos(given.folder, SIDE, seed, False, how, _RESIZED), count, given.processes)
            for how, count, seed in ((_CLEAN, given.count, given.seed), (_LONG, given.long, given.seed + 1))
        ]
        network = fit(joined(made), given.steps, given.seed)
        ship(network, given.out)
    except CnlrnError as error:
        parser.exit(2, f"{error}\n")


def joined(parts: Sequence[Views]) -> Views:
    """Views of several kinds of samples as one."""
    return Views(*(torch.cat(values) for values in zip(*(vars(part).values() for part in parts), strict=True)))


if __name__ == "__main__":
    main()
