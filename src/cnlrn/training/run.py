"""From a recipe to a finished run folder."""

import contextlib
import ctypes
import json
import logging
import math
import os
import warnings
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger

from cnlrn import networks
from cnlrn.data.sets import match, open_set
from cnlrn.data.shards import packed_pairs
from cnlrn.data.sources import PairFiles, PreparedPairs, SharpFolder, Source
from cnlrn.data.stream import Samples
from cnlrn.data.text import font_files
from cnlrn.degradation import SCALE
from cnlrn.degradation import recipe as degradation_recipe
from cnlrn.errors import CnlrnError, writing
from cnlrn.files import make_folder, replacing
from cnlrn.networks import memory
from cnlrn.networks.base import RestorationNetwork
from cnlrn.networks.checkpoints import load_checkpoint, read_checkpoint
from cnlrn.networks.own import OwnSizeCNLRN
from cnlrn.training.module import Training
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


def train(recipe: Recipe, out: Path, init: Path | None = None, minutes: float = math.inf) -> Training:
    """Run `recipe` in the folder `out`, going on from its last checkpoint where it has one.

    `init` holds weights to begin with (a stage-1 file of the deblurring module alone will do; not used when going on).
    The run ends after `recipe.steps` steps or at the first checkpoint after `minutes`. It leaves `weights.safetensors`
    (averaged weights, float16), `best.safetensors` (those of the highest mean PSNR in validation), `run.json` (recipe,
    hours, steps, figures), `recipe.yaml`, `losses.csv`, `validation.csv`, TensorBoard's logs, `last.ckpt`, and in
    `checkpoints` states before it. CnlrnError where data, weights or checkpoint do not fit, or `out` is not writable.
    """
    module = prepare(recipe, out, minutes)
    module.validation = open_sets(recipe.validation, module.largest)
    make_folder(out)
    if module.states.are_there():
        _go_on(module, out)
    elif init is not None:
        initialise(module.network, init)
        module.ema.load_state_dict(module.network.state_dict())
    _write_text(out / "recipe.yaml", yaml.safe_dump(plain(recipe), sort_keys=False))
    if module.step < recipe.steps:
        logger = TensorBoardLogger(out, name="", version="tensorboard", purge_step=module.step + 1)
        fit(module, logger, ProgressBar(module))
    if module.global_rank == 0:
        _write_summary(module, out)
    return module


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


def fit(module: Training, logger: TensorBoardLogger | None = None, progress: ProgressBar | None = None) -> None:
    """Let Lightning train `module`, on whatever devices there are."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    devices = module.recipe.devices
    if not torch.cuda.is_available():
        _keep_memory()
        if devices:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // devices))
    trainer = pl.Trainer(
        devices=devices or "auto",
        precision=precision(module.recipe.precision),
        logger=logger or False,
        callbacks=[progress] if progress else [],
        max_epochs=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")  # advice on workers and eval mode that does not apply
        try:
            trainer.fit(module)
        except SystemExit as error:
            if error.code == 1:  # what Lightning makes of Ctrl-C
                raise KeyboardInterrupt from error
            raise
        except RuntimeError as error:
            if sentence := _sentence(error):
                raise CnlrnError(sentence) from error
            raise
        except OSError as error:  # of a full disk, which seldom says of which file it is
            raise CnlrnError(f"{error.filename or module.out}: {error.strerror or error}") from error
        except CnlrnError as error:  # out of a data worker it comes with a traceback before its message
            raise CnlrnError(str(error).strip().rpartition("CnlrnError: ")[2]) from error


def _sentence(error: RuntimeError) -> str | None:
    """What to tell of an error that the machine is at fault for; None of any other."""
    text = str(error)
    if memory.ran_out(error):
        return "memory ran out; lower batch, or train smaller patches (data.patch) or a smaller network"
    if "DataLoader worker" in text:
        return (
            "a process that makes samples was killed, most often for want of memory, or of room in /dev/shm "
            "(docker run --shm-size=...); lower workers, 0 is none, and run the same command: it goes on"
        )
    if "onnection closed by peer" in text or "onnection reset by peer" in text:
        return "another process of this run ended; what it wrote says why, and the same command goes on"
    return None


def _keep_memory() -> None:
    """Have glibc keep what is freed: every step takes the same arrays again, and it takes an eighth of a step to give
    them back to the system and have them cleared anew. Nothing happens where there is no glibc."""
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3  # malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_top_pad, 2**28)
        mallopt(m_mmap_threshold, 2**30)


def _fix_unreached(network: RestorationNetwork, recipe: Recipe) -> None:
    """Let parameters be that the loss does not reach, as of exits that are not trained.

    They would not change anyway, but several processes would wait for their gradients.
    """
    side = network.multiple * math.ceil(48 / network.multiple)
    with torch.device("meta"):  # nothing is computed
        trial = networks.build(recipe.network, recipe.preset)
        exits = trial.supervised(torch.empty(2, 3, side, side), recipe.loss.exits or {max(network.scales): 1.0})
        torch.stack([picture.sum() for pictures in exits.values() for picture in pictures]).sum().backward()  # type: ignore[no-untyped-call]
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


def precision(choice: Literal["auto", "bf16", "float32"]) -> Literal["bf16-mixed", "32-true"]:
    """Lightning's name of the precision; auto is bf16 where CUDA, or AVX512-BF16 or AMX of the CPU, multiply it."""
    if choice == "auto":
        on_cpu = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        native = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else on_cpu
    else:
        native = choice == "bf16"
    return "bf16-mixed" if native else "32-true"


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


def _go_on(module: Training, out: Path) -> None:
    state = module.states.newest()
    module.restore(state)
    if state["recipe"] != plain(module.recipe):
        log.warning("%s holds a run of another recipe; it goes on with the present one", out)
    log.info("going on from step %d of %s", module.step, out)


def _write_summary(module: Training, out: Path) -> None:
    summary = {
        "recipe": plain(module.recipe),
        "steps": module.step,
        "samples": module.position * module.recipe.batch,
        "hours": round(module.elapsed() / 3600, 3),
        "scores": module.scores,
        "torch": torch.__version__,
        "device": str(module.trained_on),
        "threads": torch.get_num_threads(),
    }
    _write_text(out / "run.json", json.dumps(summary, indent=2) + "\n")


def _write_text(file: Path, text: str) -> None:
    with writing(file), replacing(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
