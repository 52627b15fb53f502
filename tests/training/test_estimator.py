from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from cnlrn.data.blurs import FIELDS, Photos, is_held_out
from cnlrn.errors import CnlrnError
from cnlrn.networks.estimator import KINDS, TOLD, BlurEstimator
from cnlrn.training.estimator import Targets, Views, exported, fit, loss, seen_of, targets


def network() -> BlurEstimator:
    torch.manual_seed(0)
    return BlurEstimator(inner=8).eval()


def pictures(count: int = 3, side: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_the_export_equals_torch() -> None:
    estimator, windows = network(), pictures(side=96)
    session = onnxruntime.InferenceSession(exported(estimator), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        seen = estimator.see(windows)
        told = estimator.tell(seen)
    got = session.run(["seen", "told"], {"windows": windows.numpy(), "means": seen.numpy()})
    np.testing.assert_allclose(got[0], seen.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got[1], told.numpy(), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_turned_picture_is_told_alike_with_its_direction_turned() -> None:
    estimator, picture = network(), pictures(1)
    told = estimator(picture)[0]
    turned, mirrored = estimator(picture.rot90(1, (2, 3)))[0], estimator(picture.flip(3))[0]
    direction = slice(len(KINDS) + 1, len(KINDS) + 3)
    torch.testing.assert_close(turned[direction], -told[direction], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mirrored[direction], told[direction] * torch.tensor([1, -1]), rtol=1e-3, atol=1e-4)
    rest = [number for number in range(TOLD) if number not in (len(KINDS) + 1, len(KINDS) + 2)]
    torch.testing.assert_close(turned[rest], told[rest], rtol=1e-3, atol=1e-3)


def test_what_counts_as_blurred_are_the_facts() -> None:
    #                       sharp           shaken          out of focus    hardly shaken   shaken more than unfocused
    facts = torch.tensor([[0.0, 0], [20, 0], [0, 6], [1, 0], [30, 5]])
    rows = torch.zeros(5, FIELDS)
    rows[:, 0], rows[:, 3], rows[:, 5] = facts[:, 0], facts[:, 1], 100
    assert targets(rows, torch.ones(5)).kind.tolist() == [0, 1, 2, 0, 1]
    assert targets(rows, torch.full((5,), 2.0)).kind.tolist() == [-1, 1, 2, 1, 1]


def test_the_loss_is_least_where_all_is_told_right() -> None:
    rows = torch.tensor([[20.0, 0.5, 0.5, 0, 3, 80], [0, 0, 0, 6, 0, 100]])
    true = targets(rows, torch.ones(2))
    right = torch.cat(
        [
            20.0 * torch.eye(3)[true.kind],
            torch.stack([true.extent, *true.direction.T, true.radius, true.noise, true.compression], 1),
        ],
        1,
    )
    assert float(loss(right, true)) < 1e-6
    for number in range(TOLD):
        wrong = right.clone()
        wrong[:, number] += 30
        assert float(loss(wrong, true)) > 0.1
    assert isinstance(true[torch.tensor([0])], Targets)


def test_fitting_learns_from_few_views() -> None:
    rng = np.random.default_rng(0)
    seen, facts = [], []
    for index in range(16):
        picture = rng.integers(0, 256, (320, 320, 3), dtype=np.uint8)
        if index % 2:
            picture = cv2.blur(picture, (9, 1))
        means, scale = seen_of(picture, rng)
        seen.append(means[scale == 1])
        facts += [[9.0 * (index % 2), index % 2, 0, 0, 0, 100]] * len(seen[-1])
    data = Views(torch.from_numpy(np.concatenate(seen)), torch.tensor(facts), torch.ones(len(facts)))
    estimator = fit(data, 60, 0)
    with torch.no_grad():
        told = estimator.tell(data.seen)
    true = targets(data.facts, data.scale)
    assert bool((told[:, :3].argmax(1) == true.kind).all())


def test_a_sample_is_a_function_of_seed_and_index_and_photos_are_held_out_by_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = [f"photo{number}.png" for number in range(40)]
    kept = [next(name for name in names if is_held_out(name) is held) for held in (True, False)]
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate(kept):
        noise = np.random.default_rng(number).integers(0, 256, (240, 240, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / name), noise)
    held, trained = (Photos(folder, 64, 5, held_out) for held_out in (True, False))
    assert (len(held.usable), len(trained.usable)) == (1, 1)
    assert held.usable != trained.usable
    (first, facts), (again, same) = held[3], held[3]
    np.testing.assert_array_equal(first, again)
    assert facts == same
    assert len(facts) == FIELDS
    with pytest.raises(CnlrnError, match="at least"):
        Photos(folder, 640, 5, True)
