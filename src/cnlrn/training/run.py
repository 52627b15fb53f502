"""From a recipe to a finished run folder."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import yaml

from cnlrn import networks
from cnlrn.data.sets import match, open_set
from cnlrn.data.shards import packed_pairs
from cnlrn.data.sources import PairFiles, PreparedPairs, SharpFolder, Source
from cnlrn.data.stream import Samples
from cnlrn.data.text import font_files
from cnlrn.degradation import SCALE
from cnlrn.degradation import recipe as degradation_recipe
from cnlrn.errors import CnlrnError
from cnlrn.files import make_folder
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.checkpoints import load_checkpoint, read_checkpoint
from cnlrn.networks.own import OwnSizeCNLRN
from cnlrn.training.devices import explaining_failures
from cnlrn.training.loop import Training
from cnlrn.training.progress import ProgressBar
from cnlrn.training.recipe import (
    Data,
    PackedData,
    PairsData,
    PreparedData,
    Recipe,
    RedsData,
    SetData,
    SharpData,
    plain,
)
from cnlrn.training.validation import open_sets

log = logging.getLogger(__name__)


def train(recipe: Recipe, out: Path, init: Sequence[Path] = (), minutes: float = math.inf) -> Training:
    """Run `recipe` in the folder `out`, going on from its last checkpoint where it has one.

    `init` are files of weights to begin with, one after the other (a stage-1 file of the deblurring module alone will
    do; not used when going on).
    The run ends after `recipe.steps` steps or at the first checkpoint after `minutes`. It leaves `weights.safetensors`
    (averaged weights, float16), `best.safetensors` (those of the highest mean PSNR in validation), `run.json` (recipe,
    hours, steps, figures), `recipe.yaml`, `losses.csv`, `validation.csv`, TensorBoard's logs, `last.ckpt`, and in
    `checkpoints` states before it. CnlrnError where data, weights or checkpoint do not fit, or `out` is not writable.
    """
    training = prepare(recipe, out, minutes)
    training.validation = open_sets(recipe.validation, training.learner.objective.largest)
    folder, writes = training.folder, training.fabric.is_global_zero
    make_folder(out)
    if folder.states.are_there():
        _resume(training)
    elif init:
        for weights in init:
            initialise(training.network, weights)
        training.average.load_state_dict(training.network.state_dict())
    if writes:
        folder.write("recipe.yaml", yaml.safe_dump(plain(recipe), sort_keys=False))
    if training.step < recipe.steps:
        if writes:
            folder.open_curves(training.step + 1)
        with ProgressBar(training) as bar:
            fit(training, bar.update)
    if writes:
        folder.write("run.json", json.dumps(_summary(training), indent=2) + "\n")
    return training


def prepare(recipe: Recipe, out: Path, minutes: float = math.inf) -> Training:
    """The network with fresh weights and its samples, ready to `fit`; CnlrnError where recipe and data do not fit."""
    torch.manual_seed(recipe.seed)
    network = networks.build(recipe.network, recipe.preset)
    for scale in recipe.loss.exits:
        network.check_scale(scale)
    reduction = _reduction(recipe.data)
    largest = max(recipe.loss.exits or network.scales)
    if largest > reduction:
        raise CnlrnError(
            f"the data are pairs of one size, so there is no target for x{largest}; name smaller loss.exits"
        )
    multiple = reduction * network.multiple
    if recipe.data.patch % multiple:
        raise CnlrnError(
            f"data.patch is {recipe.data.patch}; {recipe.network} needs a multiple of {multiple} HR pixels"
        )
    samples = Samples(source(recipe), recipe.seed)
    samples[0]  # what is wrong with the data shows here, not in a worker
    if not recipe.stage:
        _fix_unreached(network, recipe)
    return Training(network, samples, recipe, out, minutes)


def fit(training: Training, after_step: Callable[[], None] = lambda: None) -> None:
    """Run `training` to its end on whatever devices there are; CnlrnError where the machine fails."""
    try:
        with explaining_failures(training.folder.out):
            training.run(after_step)
    finally:
        training.folder.close()


def _fix_unreached(network: RestorationNetwork, recipe: Recipe) -> None:
    """Let parameters be that the loss does not reach, as of exits that are not trained.

    They would not change anyway, but several processes would wait for their gradients.
    """
    side = network.multiple * math.ceil(48 / network.multiple)
    with torch.device("meta"):  # nothing is computed
        trial = networks.build(recipe.network, recipe.preset)
        outputs = trial.training_outputs(torch.empty(2, 3, side, side), recipe.loss.exits or {max(network.scales): 1.0})
        torch.stack([picture.sum() for pictures in outputs.values() for picture in pictures]).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in trial.named_parameters():
        if parameter.grad is None:
            network.get_parameter(name).requires_grad_(False)


def source(recipe: Recipe) -> Source:
    """The source of samples that `recipe.data` describes; CnlrnError where its folders do not serve."""
    data = recipe.data
    if isinstance(data, PairsData):
        return PairFiles(match(data.lr, data.hr), data.patch)
    if isinstance(data, RedsData):
        return PairFiles(open_set(f"reds:{data.folder}", "train").pairs, data.patch)
    if isinstance(data, SetData):
        return PairFiles(open_set(data.set, "train").pairs, data.patch)
    if isinstance(data, PackedData):
        return PairFiles(packed_pairs(data.file), data.patch)
    degradation = degradation_recipe(data.degradation)
    fonts = font_files(data.fonts)
    patch = data.patch + (data.slack if isinstance(data, PreparedData) else 0)
    sharp = SharpFolder(data.folder, data.cache, degradation, patch, data.texture, data.text, fonts)
    if isinstance(data, PreparedData):
        return PreparedPairs(sharp, data.cache, data.count, data.patch, recipe.seed)
    return sharp


def _reduction(data: Data) -> int:
    """How many times as wide and high the sharp pictures are as the blurry ones."""
    if isinstance(data, SharpData):
        return degradation_recipe(data.degradation).scale
    if isinstance(data, SetData):
        return open_set(data.set, "train").scale
    return packed_pairs(data.file)[0].scale if isinstance(data, PackedData) else SCALE


def initialise(network: RestorationNetwork, weights: Path) -> None:
    """Load weights of the whole network, or, where the file holds only a deblurring module, of that module; into
    `cnlrn-own` also those of a compact cascade.

    CnlrnError where they fit neither, or are not finite.
    """
    state = read_checkpoint(weights)
    if damaged := [name for name, tensor in state.items() if not tensor.isfinite().all()]:
        raise CnlrnError(
            f"{weights} holds NaN or infinity in {len(damaged)} tensors, such as {damaged[0]}; take others"
        )
    own = network.state_dict()
    if isinstance(network, OwnSizeCNLRN) and "exit4.weight" in state:
        network.begin_with(state)
        return
    prefix = f"{network.deblurring}."
    names = [name for name in own if name.startswith(prefix)]
    if len(names) in (0, len(own)) or not all(name.startswith(prefix) for name in state):
        load_checkpoint(network, weights)
        return
    unfit = [name for name in names if name not in state or state[name].shape != own[name].shape]
    if unfit:
        raise CnlrnError(f"{weights} lacks {len(unfit)} tensors of this deblurring module, such as {unfit[0]}")
    network.load_state_dict({name: state[name] for name in names}, strict=False)


def _resume(training: Training) -> None:
    out = training.folder.out
    state = training.folder.states.newest()
    training.load_state(state)
    if state["recipe"] != plain(training.recipe):
        log.warning("%s holds a run of another recipe; it resumes with the current one", out)
    log.info("resuming from step %d of %s", training.step, out)


def _summary(training: Training) -> dict[str, object]:
    return {
        "recipe": plain(training.recipe),
        "steps": training.step,
        "samples": training.position * training.recipe.batch,
        "hours": round(training.elapsed() / 3600, 3),
        "scores": training.scores,
        "torch": torch.__version__,
        "device": str(training.fabric.device),
        "threads": torch.get_num_threads(),
    }
