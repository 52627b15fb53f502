import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from cnlrn.errors import CnlrnError
from cnlrn.networks.checkpoints import load_checkpoint, read_checkpoint, save_weights


def network(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.Conv2d(width, 3, 1))


def prefixed(state: dict[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def assert_same_weights(a: nn.Module, b: nn.Module) -> None:
    torch.testing.assert_close(dict(a.state_dict()), dict(b.state_dict()), atol=0, rtol=0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        prefixed,
        lambda state: {"state_dict": prefixed(state), "epoch": 3},
        lambda state: {"params": {}, "params_ema": state},
        lambda state: {"model": {"params": state}},
        lambda state: {"generator": state, "discriminator": network(5).state_dict()},
        lambda state: {"net_d": network(5).state_dict(), "net_g": prefixed(state)},
        lambda state: {"optimizer": {"state": {0: {"step": torch.zeros(1)}}}, "model_state_dict": state},
        lambda state: {"weights of": {"the best": {"epoch": 3, "generator": state}}},
    ],
    ids=[
        *("bare", "module prefix", "state_dict", "params_ema", "nested"),
        *("generator", "net_g", "beside an optimiser", "unknown names"),
    ],
)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_pytorch_files_load_with_their_usual_wrappers(
    wrap: Callable[[dict[str, Tensor]], object], legacy: bool, suffix: str, tmp_path: Path
) -> None:
    saved, loaded, path = network(), network(), tmp_path / f"weights{suffix}"
    torch.save(wrap(dict(saved.state_dict())), path, _use_new_zipfile_serialization=not legacy)
    load_checkpoint(loaded, path)
    assert_same_weights(loaded, saved)


def test_saved_halves_come_back_as_float32_within_their_precision(tmp_path: Path) -> None:
    saved, loaded, path = network(), network(), tmp_path / "new folder" / "weights.safetensors"
    save_weights(saved, path)
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}
    load_checkpoint(loaded, path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(dict(loaded.state_dict()), dict(saved.state_dict()), atol=2**-25, rtol=2**-10)


def test_saved_in_full_nothing_is_lost(tmp_path: Path) -> None:
    saved, loaded, path = network(), network(), tmp_path / "weights.safetensors"
    state = {
        name: tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor for name, tensor in saved.state_dict().items()
    }
    save_weights(state, path, half=False)  # neither values nor the order in memory matter
    load_checkpoint(loaded, path)
    assert_same_weights(loaded, saved)


def test_integers_are_not_halved(tmp_path: Path) -> None:
    save_weights({"steps": torch.tensor([70_001])}, tmp_path / "weights.safetensors")
    assert read_checkpoint(tmp_path / "weights.safetensors")["steps"].item() == 70_001


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(network(), path)
    before = path.read_bytes()

    def fail(_: Path, target: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(CnlrnError, match=r"cannot be written to .*weights\.safetensors: No space left on device"):
        save_weights(network(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_saved_weights_are_as_readable_as_any_new_file(tmp_path: Path) -> None:
    save_weights(network(), tmp_path / "weights.safetensors")
    (tmp_path / "new").touch()
    assert (tmp_path / "weights.safetensors").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_weights_are_written_as_safetensors_only(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match=r"written to \.safetensors files, not to .*weights\.pth"):
        save_weights(network(), tmp_path / "weights.pth")


def test_a_mismatch_names_every_kind_of_difference_and_changes_nothing(tmp_path: Path) -> None:
    net, path = network(), tmp_path / "weights.safetensors"
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state = dict(network().state_dict())
    del state["0.bias"]
    save_file({**state, "1.bias": torch.zeros(5), "2.bias": torch.zeros(1)}, path)
    with pytest.raises(CnlrnError) as caught:
        load_checkpoint(net, path)
    assert str(caught.value) == (
        f"The weights in {path} are not those of Sequential: 1 missing: 0.bias; 1 unexpected: 2.bias; "
        "1 of another shape: 1.bias (5,) instead of (3,)."
    )
    torch.testing.assert_close(dict(net.state_dict()), before, atol=0, rtol=0)


def test_long_lists_of_differences_are_shortened(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({**network().state_dict(), **{f"extra{i:02}": torch.zeros(1) for i in range(25)}}, path)
    with pytest.raises(CnlrnError, match=r"25 unexpected: extra00, .*extra09 and 15 more") as caught:
        load_checkpoint(network(), path)
    assert "extra10" not in str(caught.value)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights.pt"])
@pytest.mark.parametrize("keep", [0, 0.5, 0.98])
def test_damaged_files_are_named_in_one_sentence(name: str, keep: float, tmp_path: Path) -> None:
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(dict(network().state_dict()), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(CnlrnError, match=f"{name} cannot be read as") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


class Code:
    ran = False

    def __reduce__(self) -> tuple[object, ...]:
        return setattr, (Code, "ran", True)


def test_code_in_a_pytorch_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": Code()}, path)
    with pytest.raises(CnlrnError, match="holds more than tensors"):
        read_checkpoint(path)
    assert not Code.ran


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"epoch": 3}, {0: torch.zeros(3)}, {"state_dict": None}, torch.zeros(3)]
)
def test_a_file_without_weights_is_refused(content: object, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(CnlrnError, match="holds no weights"):
        read_checkpoint(path)


def test_missing_files_and_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CnlrnError, match=r"no file of weights at .*weights\.pth"):
        read_checkpoint(tmp_path / "weights.pth")
    (tmp_path / "weights.onnx").touch()
    with pytest.raises(CnlrnError, match=r"not from .*weights\.onnx"):
        read_checkpoint(tmp_path / "weights.onnx")


def test_reading_warns_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(network().state_dict(), path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_checkpoint(path)


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "_orig_mod.", "network.", "generator.", "generator_ema.", "net_g.", "netG.", "model.", "ema."),
        *(7 * "module.", "module._orig_mod.", "_orig_mod.module.", "network._orig_mod.", "module.generator.module."),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_prefixes_of_wrappers_and_of_networks_within_networks_are_taken_off(
    prefix: str, suffix: str, tmp_path: Path
) -> None:
    saved, loaded, path = network(), network(), tmp_path / f"weights{suffix}"
    others = {"discriminator.0.bias": torch.zeros(2), "step_counter": torch.zeros(1)}
    state = prefixed(dict(saved.state_dict()), prefix) | others
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    load_checkpoint(loaded, path)
    assert_same_weights(loaded, saved)


def test_a_prefix_that_belongs_to_the_network_stays(tmp_path: Path) -> None:
    saved, loaded = (nn.ModuleDict({"model": network()}) for _ in range(2))
    torch.save({"model": prefixed(dict(saved.state_dict()))}, tmp_path / "weights.pth")
    load_checkpoint(loaded, tmp_path / "weights.pth")
    assert_same_weights(loaded, saved)


@pytest.mark.parametrize("prefixes", [("generator.", "generator_ema."), ("generator_ema.", "generator.")])
def test_averages_of_weights_are_preferred(prefixes: tuple[str, str], tmp_path: Path) -> None:
    plain, average, loaded = network(), network(), network()
    by_prefix = {"generator.": plain, "generator_ema.": average}
    state = {
        name: tensor for prefix in prefixes for name, tensor in prefixed(by_prefix[prefix].state_dict(), prefix).items()
    }
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    load_checkpoint(loaded, tmp_path / "weights.pth")
    assert_same_weights(loaded, average)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_files_without_counters_of_batches_load_as_in_torch(suffix: str, tmp_path: Path) -> None:
    def normalised() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.InstanceNorm2d(4, track_running_stats=True))

    saved, loaded, path = normalised(), normalised(), tmp_path / f"weights{suffix}"
    saved(torch.rand(2, 3, 8, 8))  # so that running statistics are not the initial ones
    old = {name: tensor for name, tensor in saved.state_dict().items() if "num_batches" not in name}
    (save_file if suffix == ".safetensors" else torch.save)(old, path)
    load_checkpoint(loaded, path)
    for name, tensor in old.items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    torch.save({name: tensor for name, tensor in old.items() if "running_mean" not in name}, tmp_path / "less.pth")
    with pytest.raises(CnlrnError, match=r"2 missing: 1\.running_mean, 2\.running_mean\.$"):
        load_checkpoint(loaded, tmp_path / "less.pth")


class Whole(nn.Module):
    """A network that is pickled with its class."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = network()


@pytest.mark.parametrize("name", ["GFN_epoch_55.pkl", "whole.pth"])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_network_pickled_whole_is_refused_with_the_lines_that_convert_it(
    name: str, legacy: bool, tmp_path: Path
) -> None:
    net, path = Whole(), tmp_path / name
    torch.save(net, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CnlrnError, match=r"Python objects \(.*Whole\)") as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    lines = message.partition("import torch; ")[2].partition(" - ")[0]
    place: dict[str, object] = {"torch": torch}
    exec(lines.replace("'weights.pth'", repr(str(tmp_path / "weights.pth"))), place)
    converted = Whole()
    load_checkpoint(converted, tmp_path / "weights.pth")
    assert_same_weights(converted, net)


def test_torchscript_is_refused_with_the_lines_that_convert_it(tmp_path: Path) -> None:
    torch.jit.script(network()).save(str(tmp_path / "script.pt"))
    with pytest.raises(CnlrnError, match=r"whole = torch\.jit\.load\("):
        read_checkpoint(tmp_path / "script.pt")


def test_a_checkpoint_that_holds_itself_ends_and_is_refused(tmp_path: Path) -> None:
    itself: dict[str, object] = {"epoch": 3}
    itself["state_dict"] = itself["model"] = itself
    ring: dict[str, object] = {"params": {"model": {}}}
    ring["params"]["model"]["state_dict"] = ring  # type: ignore[index]
    deep: dict[str, object] = {"state_dict": dict(network().state_dict())}
    for _ in range(200):
        deep = {"state_dict": deep}
    for name, content in (("self", itself), ("ring", ring), ("deep", deep)):
        torch.save(content, tmp_path / f"{name}.pth")
        for read in (read_checkpoint, lambda path: load_checkpoint(network(), path)):
            with pytest.raises(CnlrnError, match="holds no weights"):
                read(tmp_path / f"{name}.pth")


@pytest.mark.parametrize(
    "tensor", [torch.zeros(4).to_sparse(), torch.empty(4, device="meta")], ids=["sparse", "without values"]
)
def test_tensors_that_are_not_plain_are_no_weights(tensor: Tensor, tmp_path: Path) -> None:
    torch.save({**network().state_dict(), "0.bias": tensor}, tmp_path / "weights.pth")
    with pytest.raises(CnlrnError, match="holds no weights"):
        load_checkpoint(network(), tmp_path / "weights.pth")
