from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from published import digest
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from cnlrn.errors import CnlrnError
from cnlrn.networks import build
from cnlrn.networks.base import RestorationNetwork, restore
from cnlrn.networks.cnlrn import CNLRN, CNLRNPreset, DeblurringPretraining, PatchAttention, from_tokens, to_tokens

SMALL = CNLRNPreset(
    n_deblur_blocks=1, n_nlrgs_body=1, n_nlrgs_up1=1, n_nlrgs_up2=1, n_subgroups=2, n_rcabs=1, n_feats=16
)
GOLDEN = Path(__file__).parents[1] / "golden" / "cnlrn_small.safetensors"


@pytest.fixture
def small(set_rule_weights: Callable[[nn.Module], None]) -> CNLRN:
    net = CNLRN(SMALL).eval()
    set_rule_weights(net)
    return net


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("cnlrn", 83_063_491, "62eb65572eaeeba347939d18b68909ed9d69d64674072ea7b492197192f95c89"),
        ("cnlrn-deblur", 73_095_427, "1d5d79af37d9f83f0b4769c87608d77c2b9cdc900af4135666e4caee01057522"),
    ],
)
def test_full_presets_have_the_names_and_shapes_of_the_published_checkpoints(
    name: str, parameters: int, expected: str
) -> None:
    with torch.device("meta"):
        net = build(name)
    assert digest(net)[1:] == (parameters, expected)


@torch.no_grad()
def test_small_configuration_reproduces_the_reference(
    small: CNLRN, set_rule_weights: Callable[[nn.Module], None], rule_picture: Callable[..., Tensor]
) -> None:
    pretraining = DeblurringPretraining(SMALL)
    set_rule_weights(pretraining)
    golden, lr = load_file(GOLDEN), rule_picture(2, 3, 24, 32)
    produced = {
        "features": small.DeblurNet(lr)[:, ::4],
        "output": small(lr)[:, :, ::3, ::3],
        "deblurred": pretraining(lr),
    }
    assert produced.keys() == golden.keys()
    for name, tensor in produced.items():
        torch.testing.assert_close(tensor, golden[name], atol=1e-4, rtol=0)


@torch.no_grad()
def test_fused_attention_equals_naive_softmax_attention(rule_picture: Callable[..., Tensor]) -> None:
    torch.manual_seed(0)
    attention = PatchAttention(64)
    x = rule_picture(2, 64, 12, 20) * 4
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # an error where only the kernel that holds the scores would do
        fused = attention(x)
    query, key, value = (
        to_tokens(embed(x)) for embed in (attention.query_embedding, attention.key_embedding, attention.value_embedding)
    )
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    naive = attention.output_linear(from_tokens(scores.softmax(dim=-1) @ value, 12, 20))
    torch.testing.assert_close(fused, naive, atol=1e-5, rtol=0)


def test_a_token_is_a_patch_of_one_head(rule_picture: Callable[..., Tensor]) -> None:
    x = rule_picture(2, 16, 8, 12)
    tokens = to_tokens(x)
    assert tokens.shape == (2, 4, 6, 64)
    assert torch.equal(tokens[1, 2, 4], x[1, 8:12, 4:8, 4:8].flatten())
    assert torch.equal(from_tokens(tokens, 8, 12), x)


@pytest.mark.parametrize("size", [(1, 1), (3, 18), (13, 7)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_is_restored_in_colour_and_gray(
    small: CNLRN, rule_picture: Callable[..., Tensor], size: tuple[int, int], channels: int
) -> None:
    restored = restore(small, rule_picture(1, channels, *size))
    assert restored.shape == (1, channels, 4 * size[0], 4 * size[1])
    assert restored.isfinite().all()


def test_a_batch_gives_what_its_pictures_give_alone(small: CNLRN, rule_picture: Callable[..., Tensor]) -> None:
    lr = rule_picture(3, 3, 8, 12)
    alone = torch.cat([restore(small, picture[None]) for picture in lr])
    torch.testing.assert_close(restore(small, lr), alone, atol=1e-5, rtol=0)


def test_pretraining_model_looks_no_further_than_its_context() -> None:
    net = DeblurringPretraining(SMALL)
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.01)  # nothing is cut off by a ReLU, so every pixel within reach counts
    lr = torch.rand(1, 3, 4, 256, requires_grad=True)
    reach: int = net.context or 0
    for column in (126, 127, 128, 129):
        (gradient,) = torch.autograd.grad(net(lr)[..., column].sum(), lr)
        reached = gradient.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
        assert column - reach <= reached.min() <= reached.max() <= column + reach
        assert reached.max() - reached.min() > 2 * reach - 8


@pytest.mark.parametrize("network", [CNLRN, DeblurringPretraining])
def test_every_weight_is_trained(network: type[CNLRN | DeblurringPretraining]) -> None:
    torch.manual_seed(0)
    net: RestorationNetwork = network(SMALL)
    (restored,) = net.outputs(torch.rand(1, 3, 16, 16)).values()
    loss = F.l1_loss(restored, torch.ones_like(restored))
    gradients = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


def test_a_scale_without_an_exit_is_refused(small: CNLRN) -> None:
    with pytest.raises(CnlrnError, match="CNLRN has no exit for x2: choose from x4"):
        small(torch.zeros(1, 3, 4, 4), scale=2)
