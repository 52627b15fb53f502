from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from cnlrn.data.blurs import FIELDS, Photos, is_held_out
from cnlrn.errors import CnlrnError
from cnlrn.networks.estimator import KINDS, TOLD, BlurEstimator
from cnlrn.restoration.spectrum import lengths, spectra
from cnlrn.training.estimator import Targets, Views, exported, fit, loss, seen_of, targets


def network() -> BlurEstimator:
    torch.manual_seed(0)
    return BlurEstimator(judges=2).eval()


def pictures(count: int = 3, side: int = 64) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def waves_of(picture: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(spectra(picture.mean(1).numpy()))


def test_the_export_equals_torch() -> None:
    estimator, windows = network(), pictures(side=96)
    session = onnxruntime.InferenceSession(exported(estimator), providers=["CPUExecutionProvider"])
    waves = waves_of(windows)
    with torch.no_grad():
        seen = estimator.see(windows)
        told = estimator.tell(seen, waves)
    given = {"windows": windows.numpy(), "means": seen.numpy(), "spectra": waves.numpy()}
    got = session.run(["seen", "told"], given)
    np.testing.assert_allclose(got[0], seen.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(got[1], told.numpy(), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_turned_picture_is_told_alike_with_its_direction_turned() -> None:
    estimator, picture = network(), pictures(1)
    told, turned, mirrored = (
        estimator(view, waves_of(view))[0] for view in (picture, picture.rot90(1, (2, 3)), picture.flip(3))
    )
    direction = slice(len(KINDS) + 1, len(KINDS) + 3)
    torch.testing.assert_close(turned[direction], -told[direction], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mirrored[direction], told[direction] * torch.tensor([1, -1]), rtol=1e-3, atol=1e-3)
    rest = [number for number in range(TOLD) if number not in (len(KINDS) + 1, len(KINDS) + 2)]
    torch.testing.assert_close(turned[rest], told[rest], rtol=1e-3, atol=1e-3)


def test_what_counts_as_blurred_are_the_facts() -> None:
    #                       sharp           shaken          out of focus    hardly shaken   shaken more than unfocused
    facts = torch.tensor([[0.0, 0], [20, 0], [0, 6], [1.5, 0], [30, 5]])
    rows = torch.zeros(5, FIELDS)
    rows[:, 0], rows[:, 3], rows[:, 5] = facts[:, 0], facts[:, 1], 100
    whole, half = targets(rows, torch.ones(5)), targets(rows, torch.full((5,), 0.5))
    assert whole.kind.tolist() == half.kind.tolist() == [0, 1, 2, 0, 1]
    assert whole.size[[1, 2, 4]].exp().tolist() == pytest.approx([20, 12, 30])
    assert half.size[[1, 2, 4]].exp().tolist() == pytest.approx([10, 6, 15])
    assert whole.at_full_size.all()
    assert not half.at_full_size.any()


def test_sizes_of_blur_that_are_rare_count_more() -> None:
    rows = torch.zeros(40, FIELDS)
    rows[:, 0] = torch.tensor([60.0] * 2 + [8.0] * 38)
    weight = targets(rows, torch.ones(40)).weight
    assert weight[0] > 2 * weight[-1]


def test_the_loss_grows_with_every_number_that_is_told_wrong() -> None:
    rows = torch.tensor([[20.0, 0.5, 0.5, 0, 3, 80], [0, 0, 0, 6, 0, 100]])
    true = targets(rows, torch.ones(2))
    towards = torch.nn.functional.normalize(true.direction + 1e-9, dim=1)
    elongation = true.direction.norm(dim=1, keepdim=True)
    right = torch.cat([20.0 * torch.eye(3)[true.kind], elongation, torch.stack([true.noise, true.compression], 1)], 1)
    place = (torch.from_numpy(lengths()).log() - true.size[:, None]).abs()
    sizes = (-0.5 * (place / 0.2).square()).log_softmax(1)
    least = float(loss(right, sizes, towards, true))
    for number in range(right.shape[1]):
        wrong = right.clone()
        wrong[:, number] += 30
        assert float(loss(wrong, sizes, towards, true)) > least + 0.1
    assert float(loss(right, sizes.roll(4, 1), towards, true)) > least + 0.1
    assert float(loss(right, sizes, -towards, true)) > least + 0.1
    assert isinstance(true[torch.tensor([0])], Targets)


def test_fitting_learns_from_few_views() -> None:
    rng = np.random.default_rng(0)
    made = []
    for index in range(16):
        picture = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        if index % 2:
            picture = cv2.blur(picture, (9, 1))
        made.append(seen_of(picture, (9.0 * (index % 2), index % 2, 0, 0, 0, 100), rng))
    data = Views(*(torch.from_numpy(np.concatenate(parts)) for parts in zip(*made, strict=True)))
    estimator = fit(data, 60, 0, judges=1)
    with torch.no_grad():
        told = torch.cat([estimator.tell(data.seen[i : i + 1], data.spectra[i : i + 1]) for i in range(len(data.seen))])
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
