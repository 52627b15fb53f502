"""Training recipes: a YAML file read into frozen dataclasses, every key checked, before anything heavy is loaded."""

import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cnlrn import yamlfile
from cnlrn.errors import CnlrnError, cut
from cnlrn.training import papers
from cnlrn.yamlfile import Amount, Count, Natural, Number, Schema, Share, Within


@dataclass(frozen=True)
class SharpData:
    """A folder of sharp pictures, degraded on the fly. Lengths are in HR pixels."""

    folder: Path
    degradation: str = "photo"
    patch: Count = 192
    texture: Count = 1
    """Of so many crops, the one with most gradient energy is kept."""
    text: Share = 0.0
    """Share of samples that get lines of text."""
    fonts: Path | None = None
    """Folder of .ttf and .otf files for them; None is Pillow's own font."""
    cache: Path | None = None
    """Where decoded pictures are kept; None is the user's cache folder."""


@dataclass(frozen=True)
class PreparedData(SharpData):
    """A folder of sharp pictures, degraded once into `count` pairs of side `patch` + `slack`, cropped at random."""

    count: Count = 4000
    slack: Natural = 32


@dataclass(frozen=True)
class PairsData:
    """Two folders of pictures, matched by name."""

    lr: Path
    hr: Path
    patch: Count = 192


@dataclass(frozen=True)
class RedsData:
    """The REDS layout below `folder`: train_blur_bicubic/X4 and train_sharp."""

    folder: Path
    patch: Count = 256


@dataclass(frozen=True)
class SetData:
    """The training split of a set, named as `cnlrn.data.sets.open_set` takes it, such as gopro:FOLDER."""

    set: str
    patch: Count = 256


@dataclass(frozen=True)
class PackedData:
    """A database of pairs that `cnlrn.data.shards.pack_pairs` wrote."""

    file: Path
    patch: Count = 256


Stage = Literal["sftmd", "estimators"]
Data = SharpData | PreparedData | PairsData | RedsData | SetData | PackedData
_Beta = Annotated[float, Within(0, below=1)]
_SCHEMA = Schema(
    "recipe",
    {
        "sharp": SharpData,
        "prepared": PreparedData,
        "pairs": PairsData,
        "reds": RedsData,
        "set": SetData,
        "packed": PackedData,
    },
)


@dataclass(frozen=True)
class Loss:
    """What restored and sharp pictures differ in: a sum over exits of weight x the weighted terms below.

    In place of the section a recipe may name a paper, `loss: esrgan`, or say `loss: paper` for that of its network: see
    `cnlrn.training.papers`.
    """

    exits: dict[int, Amount] = field(default_factory=dict)
    """Scale -> weight; empty is the largest scale alone."""
    l1: Amount = 1.0
    """Weight of the mean absolute difference."""
    squared: Amount = 0.0
    """Of the mean square."""
    charbonnier: Amount = 0.0
    """Of the smooth L1 of LapSRN and MPRNet."""
    gradient: Amount = 0.1
    """Of the L1 of Sobel gradients."""
    edge: Amount = 0.0
    """Of the Charbonnier loss of fine detail."""
    psnr: Amount = 0.0
    """Of the missing PSNR in dB, sample by sample."""


@dataclass(frozen=True)
class Perceptual:
    """What features of the largest exit's result and of the sharp picture differ in, added to the loss."""

    weights: Path
    """Of a stack of 3x3 convolutions such as VGG-19, named as by torchvision: a .pth or .safetensors file."""
    layers: dict[str, Amount]
    """Layer -> its weight: convB_I is convolution I of block B before its ReLU, reluB_I after it."""
    difference: Literal["squared", "l1"] = "squared"


AdversarialKind = Literal["vanilla", "lsgan", "wgan-gp", "relativistic", "relativistic-lsgan"]


@dataclass(frozen=True)
class Adversarial:
    """A discriminator, which learns to tell the largest exit's results from sharp ones, and its part in the loss."""

    kind: AdversarialKind
    discriminator: Literal["srgan", "patch", "double-scale"]
    weight: Amount
    """Of the adversarial loss beside the others."""
    lr: Amount = 1e-4
    """The discriminator's learning rate, which falls as the network's does."""
    width: Count = 64
    """Channels of the discriminator's first convolution."""
    steps: Count = 1
    """Of the discriminator for each step of the network."""
    penalty: Amount = 10.0
    """Weight of the gradient penalty of wgan-gp."""
    matching: Amount = 0.0
    """Weight of the mean square difference of the discriminator's own features."""


@dataclass(frozen=True)
class Optimiser:
    """The optimiser, its cosine learning rate with restarts, gradient clipping, and the average of weights kept."""

    method: Literal["adam", "muon"] = "adam"
    """See `cnlrn.training.muon`."""
    lr: Amount = 2e-4
    deblurring_lr: Amount | None = None
    """The deblurring module's own learning rate; None is `lr`."""
    betas: tuple[_Beta, _Beta] = (0.9, 0.99)
    periods: tuple[Count, ...] = ()
    """Steps of each cosine cycle; empty is one cycle over all steps."""
    restart_weights: tuple[Amount, ...] = ()
    """Factor of the learning rate in each cycle; empty is 1."""
    eta_min: Amount = 1e-7
    warmup: Natural = 0
    """Steps at the start in which the learning rate rises linearly."""
    clip: Amount | None = None
    """Largest norm of the gradient; None is no clipping."""
    weight_decay: Amount = 0.0
    """Share of a kernel that a step takes from it, in learning rates (Muon's kernels only)."""
    ema: Share = 0.999
    """Decay of the exponential moving average of weights, which is what is validated and kept."""


@dataclass(frozen=True)
class Keep:
    """Which states of a run are kept, so that it can go on from one before an explosion."""

    newest: Count = 3
    """So many: `last.ckpt`, and those before it in `checkpoints`."""
    best: bool = True
    """The one of the highest mean PSNR in validation; without validation, of the lowest median of the latest losses."""
    every: Natural = 0
    """Those of every so many steps, if they are checkpoints, for good; 0 keeps none."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run."""

    network: str
    steps: Count
    data: Data
    preset: dict[str, Number] = field(default_factory=dict)
    """Hyper-parameters of the network that differ from its preset's, for experiments."""
    batch: Annotated[int, Within(1, 2**16)] = 16
    """Samples a step, over all devices."""
    seed: Annotated[int, Within(0, 2**63 - 1)] = 0
    loss: Loss = field(default_factory=Loss)
    perceptual: Perceptual | None = None
    adversarial: Adversarial | None = None
    optimiser: Optimiser = field(default_factory=Optimiser)
    stage: Stage | None = None
    """Which parts of IKC to train in its paper's turns, see `cnlrn.training.stages`; None is the whole network."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """auto is bf16 where the hardware multiplies it, else float32."""
    cuda_graphs: bool = False
    """Whether a GPU replays the kernels of a step as CUDA graphs: to launch them one by one takes longer than they do
    where networks are small. Done where one GPU trains without `adversarial` and `stage`."""
    devices: Annotated[int, Within(1, 1024)] | None = None
    """GPUs, or processes that share the cores of a CPU; None is all GPUs, or one process."""
    workers: Annotated[int, Within(0, 1024)] = 1
    """Processes that make samples, a device."""
    checkpoint_every: Count = 500
    keep: Keep = field(default_factory=Keep)
    validate_every: Count = 2000
    """Steps; rounded up to a checkpoint."""
    validation: dict[str, Path] = field(default_factory=dict)
    """Name -> folder that holds blurry_x4/ and sharp/, or REDS (then Val300); for networks that do not enlarge also one
    that holds blurry/ and sharp/, pairs of one size."""


def load(file: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe; each override is `key=value` or `section.key=value`, the value in YAML.

    Raises:
        CnlrnError: the file cannot be read, or a key is unknown (the nearest known one is offered), missing, or of
            the wrong type.
    """
    tree = _SCHEMA.tree(file)
    for override in overrides:
        _set(tree, override)
    if isinstance(tree.get("loss"), str):
        tree = papers.expanded(tree)
    recipe = _SCHEMA.parse(Recipe, tree)
    _check(recipe)
    return recipe


def plain(value: object) -> object:
    """A recipe as YAML and JSON can hold it: dictionaries, lists, strings, numbers; `load` reads it back."""
    return _SCHEMA.plain(value)


def _set(tree: dict[str, object], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals:
        raise CnlrnError(f"'{override}' sets nothing; write key=value, such as steps=2000 or data.folder=pictures")
    *sections, key = path.split(".")
    for section in sections:
        tree = typing.cast(dict[str, object], tree.setdefault(section, {}))
        if not isinstance(tree, dict):
            raise CnlrnError(f"'{override}': {section} is a value, not a section")
    tree[key] = yamlfile.load(text, f"'{cut(override)}': the value")


def _check(recipe: Recipe) -> None:
    optimiser = recipe.optimiser
    if optimiser.periods and sum(optimiser.periods) < recipe.steps:
        raise CnlrnError(
            f"optimiser.periods cover {sum(optimiser.periods)} steps of {recipe.steps}; add a period or lower steps"
        )
    if optimiser.restart_weights and len(optimiser.restart_weights) != len(optimiser.periods):
        raise CnlrnError("optimiser.restart_weights and optimiser.periods must have as many entries")
    if optimiser.weight_decay and optimiser.method != "muon":
        raise CnlrnError(f"optimiser.weight_decay is for Muon, not for {optimiser.method}; set it to 0")
    loss, adversarial = recipe.loss, recipe.adversarial
    if recipe.stage and (adversarial or recipe.perceptual):
        raise CnlrnError("stage has a loss of its own; leave out adversarial and perceptual")
    compared = loss.l1 or loss.squared or loss.charbonnier or loss.gradient or loss.edge or loss.psnr
    if loss.exits and not any(loss.exits.values()):
        raise CnlrnError("the loss has no exit; give one of loss.exits a weight above 0")
    if not (recipe.perceptual or compared):
        raise CnlrnError("the loss has no term; give one of loss.l1, loss.squared and so on a weight")
    if recipe.perceptual and not recipe.perceptual.layers:
        raise CnlrnError("perceptual.layers is empty; name layers and their weights, such as {conv5_4: 1.0}")
    if adversarial and adversarial.kind == "wgan-gp" and adversarial.discriminator != "patch":
        raise CnlrnError("adversarial.kind wgan-gp needs the discriminator patch: others normalise over the batch")
