from pathlib import Path

import pytest
import yaml

from cnlrn import networks
from cnlrn.data.sets import open_set
from cnlrn.degradation import pipeline
from cnlrn.errors import CnlrnError
from cnlrn.training.recipe import PreparedData, RedsData, SetData, SharpData, load, plain

CONFIGS = Path(__file__).parents[2] / "configs"
MINIMAL = "network: cnlrn-xs\nsteps: 10\ndata: {kind: sharp, folder: photos}\n"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    return file


RECIPES = ["paper-stage1", "paper-stage2", "cnlrn-s", "cnlrn-xs", "smoke", "compare", "srgan", "esrgan"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_is_valid(name: str) -> None:
    assert load(CONFIGS / f"{name}.yaml").steps > 0


def test_the_paper_recipes_hold_the_papers_figures() -> None:
    first, second = load(CONFIGS / "paper-stage1.yaml"), load(CONFIGS / "paper-stage2.yaml")
    assert isinstance(first.data, RedsData)
    assert (first.steps, first.batch, first.data.patch, first.loss.gradient) == (600_000, 32, 4 * 128, 0)
    assert (first.optimiser.lr, first.optimiser.periods) == (1e-4, (150_000,) * 4)
    assert (second.steps, second.batch, second.data.patch, second.loss.gradient) == (1_000_000, 32, 256, 0.1)
    assert (second.optimiser.lr, second.optimiser.deblurring_lr) == (2e-4, 1e-5)
    assert second.optimiser.restart_weights == (1, 0.5, 0.5, 0.5)
    assert second.optimiser.betas == (0.9, 0.99)


def test_overrides_change_single_values(tmp_path: Path) -> None:
    recipe = load(
        written(tmp_path, MINIMAL),
        [
            *("steps=7", "data.kind=prepared", "data.count=9", "optimiser.lr=5e-4", "loss.exits={4: 1, 2: 0.5}"),
            "preset={width: 48, residual_scale: 1e-1}",
        ],
    )
    assert recipe.steps == 7
    assert recipe.data == PreparedData(Path("photos"), count=9)
    assert recipe.optimiser.lr == 5e-4
    assert recipe.loss.exits == {4: 1.0, 2: 0.5}
    assert repr(recipe.preset) == "{'width': 48, 'residual_scale': 0.1}"


def test_a_recipe_written_out_reads_back_equal(tmp_path: Path) -> None:
    recipe = load(CONFIGS / "paper-stage2.yaml")
    assert load(written(tmp_path, yaml.safe_dump(plain(recipe)))) == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stepz=3", "unknown key stepz.*did you mean steps"),
        ("optimiser.learning=3", "unknown key optimiser.learning"),
        ("data.path=photos", "unknown key data.path"),
        ("steps=many", "steps is 'many'; expected a whole number"),
        ("steps=1.5", "expected a whole number"),
        ("steps=true", "expected a whole number"),
        ("cuda_graphs=1", "expected true or false"),
        ("steps=0", "at least 1"),
        ("optimiser.lr=fast", "optimiser.lr is 'fast'; expected a number"),
        ("optimiser.betas=[0.9]", "optimiser.betas"),
        ("optimiser.weight_decay=0.1", "weight_decay is for Muon, not for adam"),
        ("precision=half", "one of auto, bf16, float32"),
        ("data.kind=video", "data.kind must be one of sharp"),
        ("optimiser.periods=[5]", "periods cover 5 steps of 10"),
        ("loss=3", "loss is 3; expected keys and values"),
        ("loss={l1: 0, gradient: 0}", "the loss has no term"),
        ("perceptual={weights: w.pth, layers: {}}", "perceptual.layers is empty"),
        (
            "adversarial={kind: vanilla, discriminator: patch, weight: 1, steps: 0}",
            "adversarial.steps is 0; it must be at least 1",
        ),
        ("data.patch=-64", "data.patch is -64; it must be at least 1"),
        ("data.text=5", "data.text is 5.0; it must be at least 0 and at most 1"),
        ("optimiser.clip=-1", "optimiser.clip is -1.0; it must be at least 0"),
        ("optimiser.lr=nan", "optimiser.lr is 'nan'; expected a number"),
        ("optimiser.betas=[0.9, 1]", "optimiser.betas is 1.0; it must be at least 0 and below 1"),
        ("loss.exits={4: -1}", "loss.exits.4 is -1.0; it must be at least 0"),
        ("loss.exits={4: 0}", "the loss has no exit"),
        ("workers=-1", "workers is -1; it must be at least 0"),
        ("preset.width=wide", "preset.width is 'wide'; expected a number"),
        ("steps=[", r"'steps=\[': the value is not YAML"),
        ("adversarial={kind: wgan-gp, discriminator: srgan, weight: 1}", "wgan-gp needs the discriminator patch"),
        (
            "adversarial={kind: gan, discriminator: srgan, weight: 1}",
            "adversarial.kind is 'gan'; expected one of vanilla",
        ),
        ("steps", "key=value"),
        ("steps.more=3", "steps is a value"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(CnlrnError, match=message):
        load(written(tmp_path, MINIMAL), [override])


def test_a_missing_key_or_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match=r"lacks data\.folder"):
        load(written(tmp_path, "network: cnlrn-s\nsteps: 3\ndata: {kind: sharp}"))
    with pytest.raises(CnlrnError, match=r"nowhere\.yaml"):
        load(tmp_path / "nowhere.yaml")
    with pytest.raises(CnlrnError, match="not YAML"):
        load(written(tmp_path, "a: [1"))


@pytest.mark.parametrize(
    "override",
    [
        "network=" + 4000 * "n",
        "network=[" + 500 * "n," + "]",
        "network=" + 5000 * "[",
        "network=&a [*a]",
        "network=!!python/name:os.system",
        "steps=2020-13-45",
        "steps=99999999999999999999",
        "batch=9223372036854775807",
        "workers=100000",
        "devices=100000",
        "loss=" + 4000 * "p",
        "data.degradation=" + 4000 * "d",
        "data.folder=~nosuchuser/x",
        "data.folder=" + 4000 * "x",
        'data.folder="a\\0b"',
        "data={set: " + 4000 * "s" + "}",
        "data={set: gopro:~nosuchuser/x}",
        "preset={group_blocks: 1000000000}",
        "validation={a: ~nosuchuser/x}",
    ],
    ids=lambda override: ascii(override)[:40],
)
def test_whatever_a_recipe_says_is_refused_in_one_readable_line(tmp_path: Path, override: str) -> None:
    def use() -> None:
        recipe = load(written(tmp_path, MINIMAL), [override])
        networks.build(recipe.network, recipe.preset)
        if isinstance(recipe.data, SetData):
            open_set(recipe.data.set)
        if isinstance(recipe.data, SharpData):
            pipeline.recipe(recipe.data.degradation)

    with pytest.raises(CnlrnError) as caught:
        use()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 700
