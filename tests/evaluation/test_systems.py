import os
import shlex
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from tiny_model import write_tiny_model

from cnlrn import networks
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError
from cnlrn.evaluation.benchmark import Suite
from cnlrn.evaluation.systems import (
    KINDS,
    Bicubic,
    Chain,
    Classical,
    Command,
    Costs,
    KernelGAN,
    Model,
    Network,
    Opened,
    Part,
    Spec,
    System,
    costs,
    fingerprint,
    left_out,
    plan,
)
from cnlrn.evaluation.systems.contract import InProcess
from cnlrn.evaluation.worker import Failure, started
from cnlrn.networks import kernelgan
from cnlrn.networks.base import restore
from cnlrn.networks.checkpoints import load_checkpoint, save_weights
from cnlrn.networks.macs import macs_per_pixel
from cnlrn.yamlfile import Schema

LR = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
REPEAT = """
import sys
from PIL import Image
scale, source, target = int(sys.argv[1]), *sys.argv[2:]
picture = Image.open(source)
picture.resize((scale * picture.width, scale * picture.height), Image.Resampling.NEAREST).save(target)
"""


def repeated(picture: np.ndarray, scale: int) -> np.ndarray:
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def enlarged(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(bicubic(picture, 4)), 0, 255).astype(np.uint8)


def restored(specs: dict[str, Spec], name: str) -> np.ndarray:
    return System(plan(specs)[name], threads=1).restore(LR)


def weights(folder: Path, name: str) -> Path:
    torch.manual_seed(0)
    save_weights(networks.build(name), folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


@pytest.fixture
def tiny(tmp_path: Path) -> Model:
    return Model(str(write_tiny_model(tmp_path / "tiny.onnx")))


@pytest.fixture
def repeat(tmp_path: Path) -> str:
    """A command that repeats pixels, but for how often and its files."""
    script = tmp_path / "repeat it.py"
    script.write_text(REPEAT)
    return shlex.join([sys.executable, str(script)])


def test_every_kind_of_system_enlarges_four_times(tmp_path: Path, tiny: Model, repeat: str) -> None:
    file = weights(tmp_path, "srcnn-s")
    specs: dict[str, Spec] = {
        "cubic": Bicubic(),
        "tiny": tiny,
        "srcnn": Network("srcnn-s", file),
        "tool": Command(f"{repeat} 4 {{input}} {{output}}"),
        "chain": Chain("deblur:tiny + sr:cubic"),
    }
    assert list(plan(specs)) == list(specs)
    np.testing.assert_array_equal(restored(specs, "cubic"), enlarged(LR))
    np.testing.assert_array_equal(restored(specs, "tiny"), repeated(LR, 4))
    np.testing.assert_array_equal(restored(specs, "tool"), repeated(LR, 4))
    np.testing.assert_array_equal(restored(specs, "chain"), enlarged(LR))
    network = networks.build("srcnn-s").eval()
    load_checkpoint(network, file)
    expected = restore(network, torch.from_numpy(LR).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(restored(specs, "srcnn"), np.clip(np.rint(255 * expected), 0, 255))


def test_a_new_kind_of_system_is_a_spec_and_its_name_in_the_table() -> None:
    @dataclass(frozen=True)
    class Brighter(Part):
        by: int

        def scales(self) -> tuple[int, ...]:
            return (1,)

        def costs(self, scale: int) -> Costs:
            return Costs(1, 3.0)

        def open(self, scale: int, threads: int) -> Opened:
            return InProcess(lambda lr: lr + np.uint8(self.by))

    systems = {"by one": {"kind": "brighter", "by": 1}, "both": {"chain": "deblur:by one + sr:bicubic"}}
    schema = Schema("suite", KINDS | {"brighter": Brighter})
    specs = schema.parse(Suite, {"sets": {"one": "folder"}, "systems": systems}).systems
    assert schema.plain(specs["by one"]) == systems["by one"]
    assert list(plan(specs, 1)) == ["by one"]
    steps = plan(specs)["both"]
    assert costs(steps) == Costs(1, 3 + costs(plan({"cubic": Bicubic()})["cubic"]).macs)
    assert fingerprint(steps) != fingerprint(plan(specs | {"by one": Brighter(2)})["both"])
    np.testing.assert_array_equal(System(steps, threads=1).restore(LR), enlarged(LR + np.uint8(1)))


def test_a_network_is_built_with_the_hyper_parameters_it_was_trained_with(tmp_path: Path) -> None:
    save_weights(networks.build("srcnn-s", {"first_width": 8}), tmp_path / "narrow.safetensors")
    with pytest.raises(CnlrnError, match="not those of SRCNN"):
        restored({"srcnn": Network("srcnn-s", tmp_path / "narrow.safetensors")}, "srcnn")
    narrow = Network("srcnn-s", tmp_path / "narrow.safetensors", {"first_width": 8})
    assert restored({"srcnn": narrow}, "srcnn").shape == (96, 128, 3)


def test_kernelgan_trains_on_the_picture_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(kernelgan, "restore", lambda *arguments: asked.append(arguments) or repeated(LR, 4))
    np.testing.assert_array_equal(restored({"blind": KernelGAN(steps=30, sr_steps=10)}, "blind"), repeated(LR, 4))
    assert [arguments[1:] for arguments in asked] == [(4, 30, 10)]
    assert asked[0][0] is LR
    assert costs(plan({"blind": KernelGAN()})["blind"]) == Costs(None, None)


def test_the_parts_of_a_chain_run_in_its_order(tmp_path: Path, repeat: str) -> None:
    invert = tmp_path / "invert.py"
    invert.write_text(
        "import sys; from PIL import Image, ImageOps as o; o.invert(Image.open(sys.argv[1])).save(sys.argv[2])"
    )
    specs: dict[str, Spec] = {
        "invert": Command(shlex.join([sys.executable, str(invert), "{input}", "{output}"]), scale=1),
        "first": Chain("deblur:invert + sr:bicubic"),
        "last": Chain("sr:bicubic + deblur:invert"),
    }
    assert list(plan(specs)) == ["first", "last"]
    np.testing.assert_array_equal(restored(specs, "first"), enlarged(255 - LR))
    np.testing.assert_array_equal(restored(specs, "last"), 255 - enlarged(LR))


def test_at_their_own_size_photos_are_restored_by_what_deblurs_and_the_rest_is_left_out(
    tmp_path: Path, tiny: Model, repeat: str
) -> None:
    specs: dict[str, Spec] = {
        "cubic": Bicubic(),
        "tiny": tiny,
        "srn": Network("srn-s", weights(tmp_path, "srn-s")),
        "srcnn": Network("srcnn-s", tmp_path / "w"),
        "same": Command(f"{repeat} 1 {{input}} {{output}}", scale=1),
        "twice": Chain("deblur:tiny + deblur:same"),
        "enlarged": Chain("deblur:srn + sr:cubic"),
    }
    own = plan(specs, 1)
    assert list(own) == ["tiny", "srn", "same", "twice"]
    assert left_out(specs, own) == ["cubic", "srcnn", "enlarged"]
    assert left_out(specs, plan(specs)) == ["same", "twice"]
    for name in ("tiny", "same", "twice"):
        np.testing.assert_array_equal(System(own[name], threads=1).restore(LR), LR)
    network = networks.build("srn-s").eval()
    load_checkpoint(network, tmp_path / "srn-s.safetensors")
    expected = restore(network, torch.from_numpy(LR).permute(2, 0, 1)[None] / 255, 1)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(System(own["srn"], 1).restore(LR), np.clip(np.rint(255 * expected), 0, 255))
    assert costs(own["srn"]).macs == macs_per_pixel(network)


def test_a_shipped_model_may_play_both_parts_without_being_in_the_suite() -> None:
    steps = plan({"twice": Chain("deblur:cnlrn-s + sr:cnlrn-s")})["twice"]
    assert [(step.spec, step.scale) for step in steps] == [(Model("cnlrn-s"), 1), (Model("cnlrn-s"), 4)]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ({"c": Chain("sr:bicubic + sr:bicubic")}, "enlarges x16; at most one part may be sr:NAME"),
        ({"c": Chain("srn + sr:bicubic")}, '"srn" is no part of a chain; write deblur:NAME or sr:NAME'),
        ({"c": Chain("sharpen:bicubic")}, '"sharpen:bicubic" is no part'),
        (
            {"c": Chain("deblur:bicubic + sr:bicubic")},
            "bicubic cannot be deblur:bicubic, which is x1; it can only do x4",
        ),
        ({"c": Chain("deblur:srn + sr:bicubic")}, "there is no system 'srn'; the suite has c"),
        ({"n": Network("rcan-s", Path("w")), "c": Chain("deblur:n + sr:n")}, "n cannot be deblur:n, .* only do x4"),
        ({"n": Network("srn-s", Path("w")), "c": Chain("sr:n")}, "n cannot be sr:n, which is x4; it can only do x1"),
        ({"c": Chain("sr:d"), "d": Chain("sr:bicubic")}, "d is a chain itself"),
        ({"n": Network("rcam-s", Path("w"))}, "did you mean rcan-s"),
        ({"n": Network("rcan-s", Path("w"), {"bloks": 3})}, 'no hyper-parameter called "bloks"'),
        ({"m": Model("cnlrn-z")}, "did you mean cnlrn-"),
        ({"t": Command("tool {input}")}, r"lacks \{output\}"),
        ({"t": Command("tool '{input} {output}")}, "cannot be split into words"),
        ({"t": Command("tool {input} {output}", scale=2)}, "scale is 2; it must be 4, or 1"),
        ({"t": Command("tool {input} {output}", timeout=0)}, "timeout is 0 seconds"),
    ],
)
def test_what_makes_no_sense_is_named_before_anything_runs(specs: dict[str, Spec], message: str) -> None:
    with pytest.raises(CnlrnError, match=message):
        plan(specs)


def test_a_model_without_the_exit_it_is_used_for_is_named(tmp_path: Path) -> None:
    x4 = Model(str(write_tiny_model(tmp_path / "x4.onnx", scales="4")))
    with pytest.raises(CnlrnError, match="x4 cannot be deblur:x4, which is x1; it can only do x4"):
        plan({"x4": x4, "c": Chain("deblur:x4 + sr:bicubic")})
    absent = plan({"absent": Model(str(tmp_path / "absent.onnx"))})["absent"]
    with pytest.raises(CnlrnError, match=r"absent\.onnx cannot be read"):
        System(absent, threads=1)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit('out of luck')", "ended with code 1: out of luck"),
        ("pass", r"wrote no picture to \{output\}"),
        ("import shutil, sys; shutil.copy(*sys.argv[1:])", "wrote 32x24 pixels where 128x96 were due"),
        ("open(__import__('sys').argv[2], 'w').write('no picture')", r"wrote no picture to \{output\}"),
    ],
)
def test_a_command_that_fails_says_how(program: str, message: str) -> None:
    command = Command(shlex.join([sys.executable, "-c", program, "{input}", "{output}"]))
    with pytest.raises(CnlrnError, match=message):
        restored({"tool": command}, "tool")


def test_a_command_that_is_not_there_or_too_slow_is_named(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match="no-such-tool cannot be started"):
        restored({"tool": Command("no-such-tool {input} {output}")}, "tool")
    started_by_it = tmp_path / "child"
    program = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        f"open({str(started_by_it)!r}, 'w').write(str(child.pid)); child.wait()"
    )
    slow = Command(shlex.join([sys.executable, "-c", program, "{input}", "{output}"]), timeout=3)
    start = time.monotonic()
    with pytest.raises(CnlrnError, match="was not done after 3 s"):
        restored({"tool": slow}, "tool")
    assert time.monotonic() - start < 20
    assert gone(int(started_by_it.read_text()))


def gone(pid: int) -> bool:
    """Whether a process ends soon."""
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_fingerprint_changes_with_the_spec_the_weights_and_the_files_a_command_names(
    tmp_path: Path, repeat: str
) -> None:
    file, script = weights(tmp_path, "srcnn-s"), tmp_path / "repeat it.py"
    specs: dict[str, Spec] = {
        "net": Network("srcnn-s", file),
        "tool": Command(f"{repeat} 4 {{input}} {{output}}"),
        "other": Command(f"{repeat} 5 {{input}} {{output}}"),
    }
    before = {name: fingerprint(steps) for name, steps in plan(specs).items()}
    assert before == {name: fingerprint(steps) for name, steps in plan(specs).items()}
    assert len(set(before.values())) == 3
    file.write_bytes(file.read_bytes() + b" ")
    script.write_text(script.read_text() + "#")
    after = {name: fingerprint(steps) for name, steps in plan(specs).items()}
    assert not set(after.values()) & set(before.values())
    file.unlink()
    with pytest.raises(CnlrnError, match=r"srcnn-s\.safetensors cannot be read"):
        fingerprint(plan(specs)["net"])


def test_costs_add_up_and_count_sixteenfold_behind_an_enlargement(tmp_path: Path) -> None:
    specs: dict[str, Spec] = {
        "srn": Network("srn-s", tmp_path / "srn"),
        "srcnn": Network("srcnn-s", tmp_path / "srcnn"),
        "deblurred first": Chain("deblur:srn + sr:srcnn"),
        "enlarged first": Chain("sr:srcnn + deblur:srn"),
        "twice": Chain("deblur:cnlrn-s + sr:cnlrn-s"),
        "tool": Command("tool {input} {output}"),
        "part unknown": Chain("deblur:srn + sr:tool"),
    }
    srn, srcnn, cnlrn = (networks.build(name) for name in ("srn-s", "srcnn-s", "cnlrn-s"))
    parameters = {net: sum(p.numel() for p in net.parameters()) for net in (srn, srcnn, cnlrn)}
    srn_macs, srcnn_macs = macs_per_pixel(srn), macs_per_pixel(srcnn)
    got = {name: costs(steps) for name, steps in plan(specs).items()}
    assert got["deblurred first"] == Costs(parameters[srn] + parameters[srcnn], srn_macs + srcnn_macs)
    assert got["enlarged first"].macs == srcnn_macs + 16 * srn_macs
    assert got["twice"].parameters == parameters[cnlrn]
    assert got["twice"].macs == macs_per_pixel(cnlrn, {1: 1.0}) + macs_per_pixel(cnlrn)
    assert got["tool"] == got["part unknown"] == Costs(None, None)


def test_a_worker_has_memory_of_its_own_and_its_death_is_a_failure() -> None:
    ballast = np.ones(200 * 2**20, np.uint8)
    with started(plan({"cubic": Bicubic()})["cubic"], threads=1) as worker:
        result = worker.restore(LR)
        np.testing.assert_array_equal(result.picture, enlarged(LR))
        assert 0 < result.seconds < 60
        assert 10 * 2**20 < result.memory < ballast.nbytes
        child = next(c for c in psutil.Process().children() if "cnlrn.evaluation.worker" in " ".join(c.cmdline()))
        os.kill(child.pid, signal.SIGKILL)
        with pytest.raises(Failure, match="ended by SIGKILL"):
            worker.restore(LR)
    assert gone(child.pid)


def test_the_memory_of_a_command_is_that_of_its_processes() -> None:
    program = "import sys; ballast = b'1' * 150 * 2**20; __import__('time').sleep(0.5); from PIL import Image;"
    program += "i = Image.open(sys.argv[1]); i.resize((4 * i.width, 4 * i.height)).save(sys.argv[2])"
    specs: dict[str, Spec] = {"tool": Command(shlex.join([sys.executable, "-c", program, "{input}", "{output}"]))}
    system = System(plan(specs)["tool"], threads=1)
    system.restore(LR)
    assert 150 * 2**20 < system.memory(here=10**12) < 600 * 2**20


def test_a_system_that_cannot_be_loaded_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"damaged")
    steps = plan({"net": Network("srcnn-s", tmp_path / "w.safetensors")})["net"]
    with pytest.raises(Failure, match="cannot be read as safetensors"), started(steps, threads=1):
        pass


def test_systems_without_networks_deblur_and_enlarge_in_a_chain() -> None:
    specs: dict[str, Spec] = {
        "deblurred": Classical("unnatural-l0"),
        "anchored": Classical("a-plus"),
        "both": Chain("deblur:deblurred + sr:anchored"),
    }
    planned = plan(specs)
    assert set(planned) == {"anchored", "both"}
    assert set(plan(specs, 1)) == {"deblurred"}
    assert System(planned["both"], 1).restore(LR).shape == (96, 128, 3)
