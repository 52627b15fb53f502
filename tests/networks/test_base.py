import dataclasses

import pytest
import torch
from torch import Tensor

from cnlrn.errors import CnlrnError
from cnlrn.networks import build, memory, presets
from cnlrn.networks.base import RestorationNetwork, restore


class Repeater(RestorationNetwork):
    """Repeats pixels, and remembers the picture that it was given."""

    scales = (1, 2)
    multiple = 8
    context = 0

    def forward(self, lr: Tensor, scale: int = 2) -> Tensor:
        self.seen = lr
        return lr.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (8, 16), (9, 23)])
@pytest.mark.parametrize("scale", [1, 2])
def test_pictures_of_any_size_are_padded_and_cropped_back(size: tuple[int, int], scale: int) -> None:
    net, lr = Repeater(), torch.rand(2, 3, *size)
    restored = restore(net, lr, scale)
    assert net.seen.shape[2] % 8 == net.seen.shape[3] % 8 == 0
    assert torch.equal(restored, net(lr, scale))


def test_padding_mirrors_and_repeats_the_edge_of_what_is_too_small() -> None:
    net = Repeater()
    restore(net, torch.arange(6.0).expand(1, 3, 2, 6), 1)
    assert net.seen[0, 0, -1].tolist() == [0, 1, 2, 3, 4, 5, 4, 3]
    restore(net, torch.arange(3.0).expand(1, 3, 2, 3), 1)
    assert net.seen[0, 0, -1].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]


def test_gray_is_repeated_and_the_three_results_averaged() -> None:
    class Tinter(Repeater):
        def forward(self, lr: Tensor, scale: int = 2) -> Tensor:
            return super().forward(lr, scale) + torch.tensor([0.0, 0.3, 0.6]).reshape(1, 3, 1, 1)

    gray = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(restore(Tinter(), gray, 1), gray + 0.3)


def test_restoring_keeps_no_gradients() -> None:
    assert not restore(Repeater(), torch.rand(1, 3, 8, 8, requires_grad=True), 1).requires_grad


@pytest.mark.parametrize("name", ["cnlrn-xs", "srcnn-s", "scgan-s"])
def test_tiles_give_the_whole_pictures_result_where_the_context_is_known(name: str) -> None:
    net = build(name).eval()
    assert net.context is not None
    if hasattr(net, "tuning"):
        torch.nn.init.normal_(net.get_parameter("tuning.outer.weight"), std=0.1)  # new ones heed no survey
    lr = torch.rand(1, 3, net.multiple + 3, 4 * net.context + 8 * net.multiple + 5)
    area = 2 * net.multiple * (lr.shape[3] - net.multiple)  # not quite all of it
    seen = []
    net.register_forward_hook(lambda module, given, made: seen.append(given[0].shape[3]))
    for scale in net.scales:
        whole, tiled = (restore(net, lr, scale, most) for most in (None, area))
        torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    assert min(seen) < lr.shape[3]


def test_tiles_of_a_network_that_looks_at_the_whole_picture_are_blended() -> None:
    net = Repeater()
    net.context = None
    seen = []
    net.register_forward_hook(lambda module, given, made: seen.append(given[0].shape))
    lr = torch.rand(1, 3, 100, 130)
    torch.testing.assert_close(restore(net, lr, 2, area=64**2), net(lr, 2))
    assert len(seen) > 4


class Hungry(Repeater):
    """Has memory for so many LR pixels."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, lr: Tensor, scale: int = 2) -> Tensor:
        if lr.shape[2] * lr.shape[3] > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return super().forward(lr, scale)


def test_where_memory_runs_out_tiles_are_smaller_or_the_error_one_sentence() -> None:
    lr = torch.rand(1, 3, 64, 64)
    assert torch.equal(restore(Hungry(300), lr, 2), Repeater()(lr, 2))
    with pytest.raises(CnlrnError, match=r"^there is not enough memory for Hungry on 64x64 pixels; "):
        restore(Hungry(63), lr, 2)


def test_a_picture_is_restored_in_tiles_that_fit_into_half_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    net, lr = build("srcnn-s").eval(), torch.rand(1, 3, 160, 200)
    whole = restore(net, lr)
    seen = []

    def see(module: torch.nn.Module, given: tuple[Tensor], made: Tensor) -> None:
        if made.device.type != "meta":  # where memory is only counted
            seen.append(given[0].shape[2] * given[0].shape[3])

    net.register_forward_hook(see)
    for part in (2.0, 0.5):
        free = int(part * memory.needed(net, 160, 200, 4))
        monkeypatch.setattr(memory, "free", lambda device, free=free: free)
        seen.clear()
        torch.testing.assert_close(restore(net, lr), whole, rtol=0, atol=1e-5)
        assert (len(seen) > 1, max(seen) <= part / 2 * 160 * 200) == (part < 2, True)


def test_memory_is_counted_as_tensors_are_made_and_freed() -> None:
    net = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(9)))

    class Nine(Repeater):
        def forward(self, lr: Tensor, scale: int = 2) -> Tensor:
            return net(lr)

    tensors = memory.needed(Nine(), 64, 128, 1) / 2 / (3 * 64 * 128 * 4)
    assert 3 <= tensors < 5  # the picture, a layer's input and its output; never those of all layers
    for name in ("cnlrn-s", "rcan-s", "mprnet-s", "ikc-s"):
        with torch.device("meta"):
            built = build(name).eval()
        side = built.multiple * -(-64 // built.multiple)
        assert memory.needed(built, side, side, built.scales[-1]) > 10 * 4 * 3 * side**2


def test_what_a_network_makes_that_is_not_finite_is_an_error() -> None:
    class Broken(Repeater):
        value = 0.0

        def forward(self, lr: Tensor, scale: int = 2) -> Tensor:
            made = super().forward(lr, scale)
            made[0, 1, 2, 3] = self.value
            return made

    net = Broken()
    restore(net, torch.rand(1, 3, 8, 8), 2)
    for net.value in (torch.nan, torch.inf, -torch.inf):
        for area in (None, 64):
            with pytest.raises(CnlrnError, match=r"^Broken gives NaN or infinity"):
                restore(net, torch.rand(1, 3, 8, 24), 2, area)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8), (0, 3, 8, 8)])
def test_what_is_no_batch_of_pictures_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CnlrnError, match=r"Pictures must be \(n, 1 or 3, height, width\)"):
        restore(Repeater(), torch.zeros(shape), 1)


def test_a_scale_that_the_network_lacks_is_refused() -> None:
    with pytest.raises(CnlrnError, match="Repeater has no exit for x4: choose from x1, x2"):
        restore(Repeater(), torch.zeros(1, 3, 8, 8), 4)


def test_exits_give_every_scale() -> None:
    net, lr = Repeater(), torch.rand(1, 3, 8, 8)
    outputs = net.outputs(lr)
    assert list(outputs) == [1, 2]
    assert all(torch.equal(out, net(lr, scale)) for scale, out in outputs.items())


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_frozen_builds_and_declares_what_it_needs(name: str) -> None:
    preset = presets()[name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(preset, dataclasses.fields(preset)[0].name, 0)
    with torch.device("meta"):
        net = build(name)
    assert list(net.scales) == sorted(net.scales)
    assert net.multiple >= 1
    assert net.context is None or net.context >= 0


def test_an_unknown_name_is_answered_by_the_nearest() -> None:
    with pytest.raises(CnlrnError, match='no network called "CNLRN-deblurr": did you mean cnlrn-deblur'):
        build("CNLRN-deblurr")
    with pytest.raises(CnlrnError, match='no network called "vgg": choose from cnlrn, cnlrn-deblur'):
        build("vgg")


def test_a_changed_hyper_parameter_changes_the_network():
    plain, changed = build("cnlrn-xs"), build("cnlrn-xs", {"group_blocks": 2, "attention_width": 0})
    assert len(changed.body[0].body) == 2
    assert len(plain.body[0].body) == 4  # attention and three blocks
    with pytest.raises(CnlrnError, match='no hyper-parameter called "group_block": did you mean group_blocks'):
        build("cnlrn-xs", {"group_block": 2})


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("cnlrn-xs", {"width": 2.5}, "cnlrn-xs's width is 2.5; it must be a whole number"),
        ("cnlrn-xs", {"width": -3}, r"cnlrn-xs does not work with width=-3 \("),
        ("cnlrn-s", {"attention_width": 30}, r"does not work with attention_width=30 \("),
        ("cnlrn-s", {"patch": 3, "window": 3}, r"does not work with patch=3, window=3 \("),
    ],
)
def test_hyper_parameters_that_make_no_network_are_refused(name: str, changes: dict[str, float], message: str) -> None:
    with pytest.raises(CnlrnError, match=message):
        build(name, changes)
