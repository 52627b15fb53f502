import csv
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from full_disk import room_for
from safetensors.torch import load_file, save_file
from torch import Tensor

from cnlrn.data.pictures import read
from cnlrn.data.sets import open_set
from cnlrn.data.shards import pack_pairs
from cnlrn.data.sources import generator
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import score
from cnlrn.networks.base import restore
from cnlrn.networks.checkpoints import save_weights
from cnlrn.networks.cnlrn import CNLRN, CNLRNPreset, DeblurringPretraining
from cnlrn.networks.compact import CompactCNLRN
from cnlrn.networks.macs import macs_per_pixel
from cnlrn.training.loop import Training
from cnlrn.training.profiling import profile
from cnlrn.training.recipe import PackedData, Recipe, SetData, load
from cnlrn.training.run import fit, initialise, prepare, source, train
from cnlrn.training.schedule import rates_at
from cnlrn.training.states import States
from cnlrn.training.step import Learned, TrainingStep
from cnlrn.training.targets import reduced

SMOKE = Path(__file__).parents[2] / "configs" / "smoke.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sharp pictures with edges of all directions, and a validation pair."""
    rng = np.random.default_rng(0)
    for name in ("sharp/a.png", "sharp/b.png", "val/sharp/c.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = cv2.resize(rng.integers(0, 256, (12, 12, 3), np.uint8), (160, 160), interpolation=cv2.INTER_NEAREST)
        assert cv2.imwrite(str(path), picture)
    (tmp_path / "val" / "blurry_x4").mkdir()
    cv2.imwrite(str(tmp_path / "val" / "blurry_x4" / "c.png"), cv2.resize(picture, (40, 40)))
    return tmp_path


def overrides(folder: Path, *more: str) -> list[str]:
    return [f"data.folder={folder / 'sharp'}", f"data.cache={folder / 'cache'}", *more]


def smoke(folder: Path, *more: str) -> Recipe:
    return load(SMOKE, overrides(folder, "workers=0", *more))


def against(kind: str, **settings: float) -> tuple[str, ...]:
    """What makes of the smoke recipe a tiny DeblurGAN; it drops values at random, and its critic may draw points."""
    adversarial = {"kind": kind, "discriminator": "patch", "weight": 0.01, "width": 4, **settings}
    return (
        "network=deblurgan",
        "preset={width: 4, blocks: 1}",
        "data.patch=96",
        "loss={l1: 1, gradient: 0}",
        f"adversarial={json.dumps(adversarial)}",
    )


def losses(out: Path) -> list[dict[str, str]]:
    with (out / "losses.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_weights_figures_and_logs(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = folder / "run"
    with caplog.at_level(logging.INFO):
        module = train(smoke(folder, "steps=10", f"validation={{mine: {folder / 'val'}}}"), out)
    weights = load_file(out / "weights.safetensors")
    assert weights.keys() == module.network.state_dict().keys()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    summary = json.loads((out / "run.json").read_text())
    assert (summary["steps"], summary["samples"], summary["recipe"]["network"]) == (10, 20, "cnlrn-xs")
    assert summary["scores"]["mine"]["psnr"] > 5
    assert len(losses(out)) == 10
    assert load(out / "recipe.yaml") == module.recipe
    assert "mine" in (out / "validation.csv").read_text()
    assert list((out / "tensorboard").glob("events*"))
    assert re.search(r"step 10 of 10, 0 min left  loss 0\.\d+  lr \S+  data \S+ %", caplog.text)


def test_training_lowers_the_loss(folder: Path) -> None:
    out = folder / "run"
    train(smoke(folder, "steps=60", "optimiser.lr=4e-3", "data.kind=prepared", "data.count=1", "data.slack=0"), out)
    curve = [float(row["loss"]) for row in losses(out)]
    assert np.mean(curve[-10:]) < 0.95 * np.mean(curve[:10])


@pytest.mark.parametrize(
    "plan",
    [(), ("optimiser.method=muon",), against("wgan-gp", steps=2)],
    ids=["on pixels", "with Muon", "against a discriminator"],
)
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(folder: Path, plan: tuple[str, ...]) -> None:
    endless, killed, whole = ("optimiser.periods=[100000]", "checkpoint_every=5"), folder / "killed", folder / "whole"
    endless += plan
    settings = [word for value in overrides(folder, *endless, "steps=100000") for word in ("--set", value)]
    command = [sys.executable, "-m", "cnlrn", "train", str(SMOKE), "--out", str(killed), *settings]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, **quiet)
    while not ((killed / "losses.csv").exists() and len(losses(killed)) > 6):
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    reached = int(torch.load(killed / "last.ckpt", weights_only=True)["step"])
    steps = f"steps={reached + 8}"
    train(smoke(folder, *endless, steps), killed)
    train(smoke(folder, *endless, steps), whole)

    assert reached >= 5
    assert losses(killed) == losses(whole)
    first, second = (torch.load(out / "last.ckpt", weights_only=True) for out in (killed, whole))
    parts = [(first[part], second[part]) for part in ("network", "ema")]
    if "adversary" in first:
        parts += [tuple(state["adversary"]["discriminators"] for state in (first, second))]
    for one, other in parts:
        assert all(torch.equal(one[name], other[name]) for name in one)


ONE_EXIT = "loss.exits={4: 1}"
LSGAN = "adversarial={kind: lsgan, discriminator: patch, weight: 0.1, width: 2, lr: 0.03, steps: 3}"


@pytest.mark.parametrize("plan", [(ONE_EXIT,), (ONE_EXIT, LSGAN)], ids=["on pixels", "against a discriminator"])
def test_two_processes_train_one_exit_of_three_as_one_on_the_same_samples(folder: Path, plan: tuple[str, ...]) -> None:
    single = ("precision=float32", "steps=4", "workers=0", *plan)
    settings = [word for value in overrides(folder, *single, "devices=2") for word in ("--set", value)]
    command = [sys.executable, "-m", "cnlrn", "train", str(SMOKE), "--out", str(folder / "two"), *settings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("4 steps") == 1
    train(smoke(folder, *single), folder / "one")
    for column in ("loss", "discriminator", "adversarial") if LSGAN in plan else ("loss",):
        curves = [[float(row[column]) for row in losses(folder / name)] for name in ("one", "two")]
        assert curves[0] == pytest.approx(curves[1], rel=1e-3)
    one, two = (torch.load(folder / name / "last.ckpt", weights_only=True)["network"] for name in ("one", "two"))
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-5) for name in one)


def test_what_the_loss_does_not_reach_is_fixed_and_the_rest_learns(folder: Path) -> None:
    for network, exits, fixed in (
        ("cnlrn-xs", "{}", {"exit1", "exit2"}),
        ("cnlrn-xs", "{1: 1, 2: 1, 4: 1}", set()),
        ("gfn-s", "{}", {"deblurMoudle"}),
        ("ed-dsrn-s", "{}", {"picture"}),
    ):
        recipe = smoke(folder, f"network={network}", f"loss={{exits: {exits}}}")
        parameters = list(prepare(recipe, folder).network.named_parameters())
        assert {name.partition(".")[0] for name, value in parameters if not value.requires_grad} == fixed


def test_network_and_discriminator_both_learn_and_neither_wins_at_once(folder: Path) -> None:
    train(smoke(folder, *against("vanilla", lr=1e-3), "steps=100", "optimiser.lr=4e-3"), folder / "run")
    rows = losses(folder / "run")
    columns = {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
    assert all(np.isfinite(values).all() for values in columns.values())
    assert columns["loss"][-20:].mean() < 0.9 * columns["loss"][:20].mean()
    assert columns["told_apart"][:30].mean() > 0.6
    assert 0.1 < columns["discriminator"][-20:].mean() < 2 * np.log(2)  # 2 ln 2 is that of a coin
    assert columns["adversarial"].max() < 5


def test_what_the_discriminator_says_changes_the_network(folder: Path) -> None:
    plan = ("steps=3", "data.degradation=reds")
    plain, fooling = (
        train(smoke(folder, *plan, *against("vanilla", weight=weight)), folder / f"{weight}") for weight in (0, 1)
    )
    pairs = zip(plain.network.parameters(), fooling.network.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)
    assert losses(folder / "0")[0]["loss"] == losses(folder / "1")[0]["loss"]


def test_an_explosion_takes_the_discriminator_back_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = train(smoke(folder, *against("vanilla"), "steps=10"), folder / "run")
    assert module.learner.adversary is not None
    discriminators = module.learner.adversary.module
    saved = {name: tensor.clone() for name, tensor in discriminators.state_dict().items()}
    for parameter in discriminators.parameters():
        parameter.data.fill_(torch.nan)
    module._go_back()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in discriminators.state_dict().items())


def test_a_run_goes_on_against_its_own_discriminator_only(folder: Path) -> None:
    train(smoke(folder, *against("vanilla"), "steps=1"), folder / "run")
    for other, found in (
        ("adversarial=null", "discriminator patch, not unset"),
        ("adversarial.width=3", "width 4, not 3"),
    ):
        with pytest.raises(CnlrnError, match=rf"a run with adversarial\.{found}; choose another folder"):
            train(smoke(folder, *against("vanilla"), other, "steps=2"), folder / "run")
    train(smoke(folder, *against("vanilla"), "adversarial=null", "steps=1"), folder / "pixels")
    with pytest.raises(CnlrnError, match=r"adversarial\.discriminator unset, not patch; choose another folder"):
        train(smoke(folder, *against("vanilla"), "steps=2"), folder / "pixels")


def test_features_count_in_the_loss(folder: Path) -> None:
    weights = {"features.0.weight": torch.ones(1, 3, 3, 3), "features.0.bias": torch.zeros(1)}
    save_file(weights, folder / "vgg.safetensors")
    layers = f"perceptual={{weights: {folder / 'vgg.safetensors'}, layers: {{conv1_1: 1.0}}, difference: l1}}"
    for name, more in (("pixels", ()), ("features", (layers,))):
        train(smoke(folder, "steps=1", *more), folder / name)
    pixels, features = (float(losses(folder / name)[0]["loss"]) for name in ("pixels", "features"))
    assert features > 2 * pixels  # a sum of 27 differences


def test_minutes_end_a_run_at_a_checkpoint(folder: Path) -> None:
    assert train(smoke(folder, "checkpoint_every=4"), folder / "run", minutes=0).step == 4


def test_a_sample_that_is_not_finite_is_skipped_and_named(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cv2.imwrite(str(folder / "sharp" / "black.png"), np.zeros((160, 160, 3), np.uint8))
    outputs = CompactCNLRN.outputs

    def fail_on_black(self: CompactCNLRN, lr: Tensor) -> dict[int, Tensor]:
        black = lr.amax((1, 2, 3), keepdim=True) == 0
        return {scale: out.masked_fill(black, torch.nan) for scale, out in outputs(self, lr).items()}

    monkeypatch.setattr(CompactCNLRN, "outputs", fail_on_black)
    with caplog.at_level(logging.WARNING):
        module = train(smoke(folder, "data.degradation=reds"), folder / "run")
    skipped = [record.getMessage() for record in caplog.records if "skipped step" in record.getMessage()]
    assert skipped
    assert all("black.png" in line and "a.png" not in line for line in skipped)
    assert module.step == 20
    assert module.position >= 20 + len(skipped)
    assert all(torch.isfinite(value).all() for value in module.network.state_dict().values())


def accidents(module: Training, at: list[int], factor: float) -> Callable[[], None]:
    """Weights that are made `factor` times as large after the steps `at`, as often as they are listed."""

    @torch.no_grad()
    def after_step() -> None:
        if module.step in at:
            at.remove(module.step)
            for parameter in module.network.parameters():
                parameter.mul_(factor)

    return after_step


def with_accidents(recipe: Recipe, out: Path, *at: int, factor: float = 20.0) -> Training:
    out.mkdir(exist_ok=True)
    module = prepare(recipe, out)
    module.guard.losses.extend([0.3] * 20)  # what it has to compare with at the start
    fit(module, accidents(module, list(at), factor))
    return module


def test_an_exploding_loss_goes_back_to_the_last_checkpoint(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        module = with_accidents(smoke(folder, "steps=8", "checkpoint_every=4"), folder, 6)
    assert "back to the checkpoint of step 4" in caplog.text
    assert (module.step, module.position) == (8, 15)  # two steps in vain, and five that show it
    assert module.latest < 1


def test_a_run_whose_last_checkpoint_is_exploding_goes_on_from_the_one_before(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        module = with_accidents(smoke(folder, "steps=6", "checkpoint_every=2"), folder, 4)
    assert [line for line in caplog.messages if "back to" in line] == [
        *["the loss exploded: back to the checkpoint of step 4, with other samples"] * 3,
        "the loss exploded: back to the checkpoint of step 2, with other samples",
    ]
    assert (module.step, module.latest < 1) == (6, True)


def test_weights_that_are_not_finite_are_never_a_checkpoint(folder: Path) -> None:
    module = with_accidents(smoke(folder, "steps=4", "checkpoint_every=2"), folder, 4, factor=math.inf)
    assert module.step == 4
    for file in (folder / "last.ckpt", *(folder / "checkpoints").iterdir()):
        state = torch.load(file, weights_only=True)
        assert all(tensor.isfinite().all() for part in ("network", "ema") for tensor in state[part].values())


def test_a_run_that_explodes_however_far_it_goes_back_can_go_on_at_a_lower_rate(folder: Path) -> None:
    recipe = smoke(folder, "steps=6", "checkpoint_every=2", "keep.best=false")
    with pytest.raises(
        CnlrnError, match=r"^the loss exploded again .* lower optimiser\.lr, and it resumes from step 0$"
    ):
        with_accidents(recipe, folder / "run", *[1, 2, 3, 4, 5] * 20)
    module = train(smoke(folder, "steps=6", "checkpoint_every=2", "optimiser.lr=1e-4"), folder / "run")
    assert (module.step, module.latest < 1) == (6, True)


@pytest.mark.parametrize(
    ("keep", "left"),
    [
        ("{best: false}", [3, 4]),
        ("{newest: 1, best: false}", []),
        ("{newest: 1, best: false, every: 2}", [0, 2, 4]),
        ("{newest: 2, best: true}", [1, 4]),
        ("{newest: 9}", [0, 1, 2, 3, 4]),
    ],
)
def test_the_newest_states_the_best_and_those_of_every_so_many_steps_are_kept(
    tmp_path: Path, keep: str, left: list[int]
) -> None:
    states = States(tmp_path, load(SMOKE, [f"keep={keep}"]).keep)
    parts = dict.fromkeys(("recipe", "network", "ema", "optimiser", "position", "losses", "scores", "log_bytes"), 0)
    for step in range(6):
        states.save({**parts, "seconds": 0, "step": step}, [1] if "best: true" in keep else [])
    assert sorted(int(file.stem[5:]) for file in tmp_path.glob("checkpoints/*")) == left
    assert states.newest()["step"] == 5
    if left:
        (tmp_path / "last.ckpt").unlink()
        assert States(tmp_path, load(SMOKE).keep).newest()["step"] == max(left)


def test_the_weights_of_the_best_validation_are_kept_beside_the_last(folder: Path) -> None:
    settings = (f"validation={{mine: {folder / 'val'}}}", "checkpoint_every=2", "validate_every=2", "keep.newest=1")
    with_validation = prepare(smoke(folder, *settings, "steps=4"), folder)
    with_validation.validation = {"mine": open_set(folder / "val")}
    fit(with_validation, accidents(with_validation, [3], 1.05))
    scores = list(csv.DictReader((folder / "validation.csv").open()))
    best = max(scores, key=lambda row: float(row["psnr"]))
    assert with_validation.folder.best["step"] == int(best["step"])
    weights = load_file(folder / "best.safetensors")
    same = [torch.equal(tensor, load_file(folder / "weights.safetensors")[name]) for name, tensor in weights.items()]
    assert all(same) == (best["step"] == "4")
    assert len(list(folder.glob("checkpoints/*"))) == (best["step"] != "4")


def test_a_full_disk_ends_a_run_in_one_sentence_and_leaves_the_last_checkpoint(folder: Path) -> None:
    train(smoke(folder, "steps=1"), folder / "run")
    content = (folder / "run" / "last.ckpt").read_bytes()
    with room_for(len(content) // 2), pytest.raises(CnlrnError, match=r"^\S+/last\.ckpt cannot be written"):
        train(smoke(folder, "steps=2"), folder / "run")
    assert (folder / "run" / "last.ckpt").read_bytes() == content
    assert not list((folder / "run").glob("*.partial"))
    with room_for(1000), pytest.raises(CnlrnError, match=r"pictures-\w+\.u8 cannot be written"):
        train(smoke(folder, f"data.cache={folder / 'other'}"), folder / "more")


def test_weights_to_begin_with_that_are_not_finite_are_refused(folder: Path) -> None:
    for value in (math.nan, math.inf):
        network = CNLRN(CNLRNPreset(1, 1, 1, 1, 1, 1, 16))
        network.SRNet.state_dict()["tail.0.weight"][0] = value
        torch.save(network.state_dict(), folder / "w.pth")
        with pytest.raises(
            CnlrnError, match=r"w\.pth holds NaN or infinity in 1 tensors, such as SRNet\.tail\.0\.weight"
        ):
            initialise(network, folder / "w.pth")


def test_weights_beyond_float16_are_kept_in_float32(folder: Path) -> None:
    with_accidents(smoke(folder, "steps=1", "optimiser.ema=0"), folder, 1, factor=1e7)
    weights = load_file(folder / "weights.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_what_goes_wrong_in_a_data_worker_is_one_sentence(folder: Path) -> None:
    for side, name in ((16, "lr"), (64, "hr")):
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / "a.png"), np.zeros((side, side, 3), np.uint8))
    pairs = f"data={{kind: pairs, lr: {folder / 'lr'}, hr: {folder / 'hr'}, patch: 64}}"
    module = prepare(load(SMOKE, [pairs]), folder)
    (folder / "lr" / "a.png").write_bytes(b"damaged")
    with pytest.raises(CnlrnError, match=r"^100 pairs in a row"):
        fit(module)


def test_the_deblurring_module_has_its_own_learning_rate(folder: Path) -> None:
    module = prepare(smoke(folder, "optimiser.deblurring_lr=1e-5", "optimiser.lr=1e-3"), folder)
    for parameter in module.network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    module.learner.update(Learned({}, {}, torch.zeros(()), torch.zeros(())), rates_at(0, module.recipe))
    rates = {id(p): group["lr"] for group in module.learner.optimiser.param_groups for p in group["params"]}
    network = module.network
    assert len(rates) == len(list(network.parameters()))
    assert {rates[id(p)] for p in network.get_submodule("deblur").parameters()} == {1e-5}
    assert {rates[id(p)] for p in network.get_submodule("exit4").parameters()} == {1e-3}


def test_targets_of_the_smaller_exits_are_the_protocols_bicubic() -> None:
    hr = np.random.default_rng(0).random((2, 24, 32, 3), np.float32)
    batch = torch.from_numpy(hr).permute(0, 3, 1, 2)
    assert reduced(batch, 32) is batch
    for scale in (1, 2):
        expected = np.stack([bicubic(picture, scale / 4) for picture in hr])
        np.testing.assert_allclose(reduced(batch, scale * 8).permute(0, 2, 3, 1), expected, atol=1e-5)


def test_stage_two_begins_with_the_deblurring_module_of_stage_one(tmp_path: Path) -> None:
    preset = CNLRNPreset(1, 1, 1, 1, 1, 1, 16)
    first, second = DeblurringPretraining(preset), CNLRN(preset)
    save_weights(first, tmp_path / "first.safetensors", half=False)
    before = second.SRNet.state_dict()["tail.0.weight"].clone()
    initialise(second, tmp_path / "first.safetensors")
    deblurring = second.DeblurNet.state_dict()
    assert all(torch.equal(tensor, first.DeblurNet.state_dict()[name]) for name, tensor in deblurring.items())
    assert torch.equal(second.SRNet.state_dict()["tail.0.weight"], before)

    with pytest.raises(CnlrnError, match="deblurring module"):
        initialise(CNLRN(CNLRNPreset(2, 1, 1, 1, 1, 1, 16)), tmp_path / "first.safetensors")
    save_weights(second, tmp_path / "whole.safetensors", half=False)
    third = CNLRN(preset)
    initialise(third, tmp_path / "whole.safetensors")
    assert torch.equal(third.SRNet.state_dict()["tail.0.weight"], before)


def test_a_folder_with_another_run_or_none_is_refused(folder: Path) -> None:
    checkpoint = folder / "run" / "last.ckpt"
    train(smoke(folder, "steps=1"), folder / "run")
    for other in ("network=cnlrn-s", "preset.group_blocks=2", "optimiser.method=muon"):
        key, value = re.split(r"[.=]", other)[0], other.partition("=")[2]
        with pytest.raises(CnlrnError, match=rf"a run with {key}.*, not .*{value}.*; choose another folder"):
            train(smoke(folder, "steps=2", other), folder / "run")
    for content in ({"step": 1}, torch.zeros(2)):
        torch.save(content, checkpoint)
        with pytest.raises(CnlrnError, match=r"last\.ckpt is no checkpoint of a run"):
            train(smoke(folder, "steps=2"), folder / "run")
    checkpoint.write_bytes(b"damaged")
    with pytest.raises(CnlrnError, match=r"last\.ckpt is damaged"):
        train(smoke(folder, "steps=2"), folder / "run")
    with pytest.raises(CnlrnError, match=r"the folder .*last\.ckpt cannot be made"):
        train(smoke(folder), checkpoint)


@pytest.fixture
def photos(folder: Path) -> Path:
    """A validation pair of one size."""
    for place in ("blurry", "sharp"):
        (folder / "photos" / place).mkdir(parents=True)
        (folder / "photos" / place / "c.png").write_bytes((folder / "sharp" / "a.png").read_bytes())
    return folder / "photos"


DEBLURS = ("network=srn-s", "preset={width: 8}", "data.degradation=own", "data.patch=16", "loss=paper", "steps=2")


def test_a_network_that_deblurs_is_trained_and_validated_on_photos_at_their_own_size(
    folder: Path, photos: Path
) -> None:
    module = train(smoke(folder, *DEBLURS, f"validation={{own: {photos}, x4: {folder / 'val'}}}"), folder / "run")
    blurry, sharp = (read(photos / place / "c.png") for place in ("blurry", "sharp"))
    x = torch.from_numpy(blurry).permute(2, 0, 1)[None] / 255
    restored = (255 * restore(module.average, x, 1)[0]).round().clamp(0, 255).permute(1, 2, 0).numpy().astype(np.uint8)
    assert module.scores["own"]["psnr"] == pytest.approx(score(restored, sharp, 16).psnr, abs=0.01)
    assert module.scores["x4"]["psnr"] > 3


def test_a_network_that_enlarges_is_not_validated_or_trained_on_photos_at_their_own_size(
    folder: Path, photos: Path
) -> None:
    with pytest.raises(CnlrnError, match=r"validation\.own is a set of pairs of one size, .* to enlarge x4"):
        train(smoke(folder, f"validation={{own: {photos}}}"), folder / "run")
    pack_pairs(open_set(photos).pairs, folder / "pairs.lmdb")
    for data in (SetData(str(photos), patch=64), PackedData(folder / "pairs.lmdb", patch=64)):
        with pytest.raises(CnlrnError, match="pairs of one size, so there is no target for x4"):
            prepare(replace(smoke(folder), data=data), folder)
        assert prepare(replace(smoke(folder, *DEBLURS), data=data), folder).samples[0][0].shape == (64, 64, 3)


def test_a_validation_that_fails_loses_no_step(folder: Path) -> None:
    cv2.imwrite(str(folder / "val" / "blurry_x4" / "c.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(CnlrnError, match="are no pair"):
        train(smoke(folder, "steps=3", "checkpoint_every=1", f"validation={{val: {folder / 'val'}}}"), folder / "run")
    assert torch.load(folder / "run" / "last.ckpt", weights_only=True)["step"] == 3


def test_batch_normalisation_of_one_value_is_refused(folder: Path) -> None:
    tiny = (
        "network=deblurgan-v2",
        "preset={width: 8, backbone_width: 0.25}",
        "data.patch=128",
        "loss={l1: 1}",
        f"data.folder={folder}",
    )
    cv2.imwrite(str(folder / "large.png"), np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(CnlrnError, match=r"deblurgan-v2 normalises over the batch.*raise batch"):
        train(smoke(folder, *tiny, "batch=1", "steps=1"), folder / "run")


@pytest.mark.parametrize(
    ("raised", "left_by"), [(SystemExit(143), SystemExit), (KeyboardInterrupt(), KeyboardInterrupt)]
)
def test_a_signal_leaves_the_run_as_the_command_line_expects(
    folder: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, left_by: type[BaseException]
) -> None:
    def interrupted(*_: object) -> None:
        raise raised

    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(TrainingStep, "gradients", interrupted)
    with pytest.raises(left_by) as left:
        train(smoke(folder), folder / "run")
    assert signal.getsignal(signal.SIGINT) is handler
    assert getattr(left.value, "code", None) == getattr(raised, "code", None)


def test_pairs_of_a_set_are_the_same_packed_and_loose(folder: Path) -> None:
    pack_pairs(open_set(folder / "val").pairs, folder / "pairs.lmdb")
    loose, packed = (
        source(replace(smoke(folder), data=data))
        for data in (SetData(str(folder / "val"), patch=64), PackedData(folder / "pairs.lmdb", patch=64))
    )
    a, b = loose.sample(generator(0, 0)), packed.sample(generator(0, 0))
    assert a.lr.shape == (16, 16, 3)
    np.testing.assert_array_equal(a.lr, b.lr)
    np.testing.assert_array_equal(a.hr, b.hr)


def test_a_recipe_that_does_not_fit_its_network_is_refused(folder: Path) -> None:
    with pytest.raises(CnlrnError, match="multiple of 64"):
        prepare(smoke(folder, "data.patch=72"), folder)
    with pytest.raises(CnlrnError, match="x3"):
        prepare(smoke(folder, "loss.exits={3: 1}"), folder)
    with pytest.raises(CnlrnError, match=r"adversarial\.discriminator needs at least 96 HR pixels"):
        prepare(smoke(folder, *against("vanilla"), "data.patch=64"), folder)


def test_profile_tells_time_wait_and_arithmetic(folder: Path) -> None:
    recipe = smoke(folder)
    text = profile(recipe)
    assert text is not None
    assert all(word in text for word in ("kMAC per LR pixel", "ms,", "% of the time waited", "GFLOP/s"))
    samples = prepare(recipe, folder).samples
    assert samples[3][2] == 3
    assert np.array_equal(samples[3][0], samples.source.sample(generator(recipe.seed, 3)).lr)


def test_macs_are_counted_per_lr_pixel() -> None:
    class OneConvolution(CNLRN):
        multiple = 4

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.convolution = torch.nn.Conv2d(3, 5, 3, padding=1)

        def forward(self, lr: Tensor, scale: int = 4) -> Tensor:
            return self.convolution(lr)

    assert macs_per_pixel(OneConvolution()) == 3 * 5 * 9
