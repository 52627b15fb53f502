from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cnlrn import tiles

Array = NDArray[Any]
Network = Callable[[Array], Array]

EVERYTHING = 10**9


def box_sum(reach: int) -> Network:
    """A stand-in for a convolutional network: zero padded sums over `reach` pixels on each side."""

    def restore(lr: Array) -> Array:
        height, width, _ = lr.shape
        padded = np.pad(lr, ((reach, reach), (reach, reach), (0, 0)))
        shifts = range(2 * reach + 1)
        return np.asarray(sum(padded[dy : dy + height, dx : dx + width] for dy in shifts for dx in shifts))

    return restore


def windowed(window: int) -> Network:
    """A stand-in for window attention: every pixel becomes the sum of its window of a fixed grid."""

    def restore(lr: Array) -> Array:
        height, width, channels = lr.shape
        cells = lr.reshape(height // window, window, width // window, window, channels)
        return np.asarray(np.broadcast_to(cells.sum(axis=(1, 3), keepdims=True), cells.shape).reshape(lr.shape))

    return restore


def enlarge(restore: Network, scale: int) -> Network:
    """With a pattern of its own in the enlarged pixels."""

    def enlarged(lr: Array) -> Array:
        hr = restore(lr).repeat(scale, axis=0).repeat(scale, axis=1)
        y, x = np.mgrid[0 : hr.shape[0], 0 : hr.shape[1]]
        return np.asarray(hr + ((y % scale) * scale + x % scale)[..., None].astype(hr.dtype))

    return enlarged


def whole_numbers(shape: tuple[int, ...], seed: int = 0) -> Array:
    """Sums of these are exact in any order."""
    return np.random.default_rng(seed).integers(0, 256, shape)


def join(
    restore: Network,
    lr: Array,
    *,
    scale: int = 1,
    area: int = EVERYTHING,
    context: int | None,
    multiple: int,
    border: int = 0,
) -> Array:
    height, width, channels = lr.shape
    joined: Array | None = None
    laid = np.zeros((height * scale, width * scale), int)
    for top, left, block in tiles.blocks(
        restore,
        lambda rows, columns: lr[rows, columns],
        height,
        width,
        scale=scale,
        area=area,
        context=context,
        multiple=multiple,
        border=border,
    ):
        joined = np.empty((*laid.shape, block.shape[2]), block.dtype) if joined is None else joined
        place = slice(top, top + block.shape[0]), slice(left, left + block.shape[1])
        joined[place] = block
        laid[place] += 1
    assert (laid == 1).all()
    assert joined is not None
    assert joined.shape[2] == channels
    return joined


@pytest.mark.parametrize("area", [1, 3_000, 4_000, 5_000, EVERYTHING])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_tiled_equals_whole_when_the_reach_is_within_the_context(area: int, scale: int) -> None:
    lr = whole_numbers((61, 83, 3))
    box, window = box_sum(5), windowed(8)
    restore = enlarge(lambda x: window(box(window(x))), scale)
    whole = restore(tiles.pad(lr, 8))[: 61 * scale, : 83 * scale]
    tiled = join(restore, lr, scale=scale, area=area, context=24, multiple=8)
    np.testing.assert_array_equal(tiled, whole)


def test_tiled_equals_whole_for_any_size_area_and_context() -> None:
    rng = np.random.default_rng(0)
    for seed in range(150):
        height, width = (int(side) for side in rng.integers(1, 70, 2))
        multiple, reach = int(rng.choice([1, 2, 3, 8])), int(rng.integers(0, 6))
        lr = whole_numbers((height, width, 1), seed)
        box, window = box_sum(reach), windowed(multiple)

        def restore(x: Array, box: Network = box, window: Network = window) -> Array:
            return window(box(x))

        context = reach + multiple - 1 + int(rng.integers(0, 3))
        tiled = join(restore, lr, area=int(rng.integers(1, 3000)), context=context, multiple=multiple)
        np.testing.assert_array_equal(tiled, restore(tiles.pad(lr, multiple))[:height, :width])


def test_tiled_equals_whole_with_any_border() -> None:
    rng = np.random.default_rng(1)
    for seed in range(150):
        height, width = (int(side) for side in rng.integers(1, 70, 2))
        multiple, reach, border = int(rng.choice([1, 2, 3, 8])), int(rng.integers(0, 6)), int(rng.integers(1, 12))
        lr = whole_numbers((height, width, 1), seed)
        box, window = box_sum(reach), windowed(multiple)

        def restore(x: Array, box: Network = box, window: Network = window) -> Array:
            return window(box(x))

        ends = [(-(-(side + 2 * border) // multiple) * multiple - side) for side in (height, width)]
        padded = np.pad(lr, [*((end // 2, end - end // 2) for end in ends), (0, 0)], mode="edge")
        whole = restore(padded)[ends[0] // 2 :, ends[1] // 2 :][:height, :width]
        options = {"context": reach + multiple - 1, "multiple": multiple, "border": border}
        np.testing.assert_array_equal(join(restore, lr, area=int(rng.integers(1, 3000)), **options), whole)


@pytest.mark.parametrize("context", [8, None])
def test_a_border_keeps_outside_what_a_network_does_where_its_input_ends(context: int | None) -> None:
    lr = np.ones((45, 61, 1), np.float32)
    for area in (1, 2_000, EVERYTHING) if context else (EVERYTHING,):
        for border in (5, 8, 20):
            assert (join(box_sum(5), lr, area=area, context=context, multiple=4, border=border) == 121).all()
    assert (join(box_sum(5), lr, context=context, multiple=4) != 121).any()


def test_a_context_smaller_than_the_reach_is_what_makes_seams() -> None:
    lr = whole_numbers((64, 64, 1))
    assert (join(box_sum(5), lr, area=256, context=0, multiple=4) != join(box_sum(5), lr, context=0, multiple=4)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 5), (7, 8), (9, 17), (33, 2), (1, 2000), (97, 131)])
@pytest.mark.parametrize("context", [8, None])
@pytest.mark.parametrize("area", [1, 2_000, EVERYTHING])
@pytest.mark.parametrize("border", [0, 6, 17])
def test_any_size_comes_out_as_large_as_it_should(
    shape: tuple[int, int], context: int | None, area: int, border: int
) -> None:
    lr = np.random.default_rng(1).random((*shape, 3), np.float32)
    restored = join(enlarge(lambda x: x, 4), lr, scale=4, area=area, context=context, multiple=8, border=border)
    expected = enlarge(lambda x: x, 4)(lr)
    np.testing.assert_allclose(restored, expected, rtol=0, atol=0 if context else 1e-5)
    assert restored.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_blending_equal_integers_gives_the_same(dtype: Any) -> None:
    lr = whole_numbers((99, 145, 2)).astype(dtype)
    for area in (1, 5_000, 9_000):
        np.testing.assert_array_equal(join(lambda x: x, lr, area=area, context=None, multiple=4), lr)


def test_tiles_of_a_network_that_looks_everywhere_fade_into_one_another() -> None:
    calls = []

    def restore(lr: Array) -> Array:
        calls.append(lr.shape)
        return np.full((lr.shape[0] * 2, lr.shape[1] * 2, 1), len(calls) % 3, np.float32)

    restored = join(restore, np.zeros((150, 170, 1)), scale=2, area=80 * 90, context=None, multiple=1)
    assert len(calls) > 4
    assert np.ptp(restored) == 2
    steepest = 2 / (2 * tiles.BLEND * 2) + 1e-6
    assert all(np.abs(np.diff(restored, axis=axis)).max() <= steepest for axis in (0, 1))


def test_a_network_that_looks_everywhere_sees_a_picture_that_fits_at_once() -> None:
    seen = []

    def restore(lr: Array) -> Array:
        seen.append(lr.shape)
        return lr

    join(restore, whole_numbers((30, 45, 3)), area=32 * 48, context=None, multiple=4)
    assert seen == [(32, 48, 3)]


@pytest.mark.parametrize("context", [10, None])
def test_no_piece_is_larger_than_the_area_and_each_fits_the_multiple(context: int | None) -> None:
    seen = []

    def restore(lr: Array) -> Array:
        seen.append(lr.shape)
        return lr

    for height, width in ((500, 300), (37, 900), (900, 37)):
        for area in (80 * 80, 10_000, 50_000):
            join(restore, np.zeros((height, width, 1)), area=area, context=context, multiple=8)
            assert max(rows * columns for rows, columns, _ in seen) <= area
            assert all(side % 8 == 0 for shape in seen for side in shape[:2])
            seen.clear()


@pytest.mark.parametrize("context", [10, None])
@pytest.mark.parametrize(("height", "width"), [(50, 7000), (7000, 50)])
def test_nothing_is_as_large_as_a_strip_along_a_long_picture(height: int, width: int, context: int | None) -> None:
    lr = whole_numbers((height, width, 1))
    sizes = []

    def read(rows: slice, columns: slice) -> Array:
        sizes.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return lr[rows, columns]

    for block in tiles.blocks(lambda x: x, read, height, width, scale=1, area=80 * 80, context=context, multiple=8):
        sizes.append(block.samples.size)
    assert max(sizes) <= 80 * 80


@pytest.mark.parametrize(
    ("height", "width"), [(2000, 3000), (3000, 2000), (200, 100_000), (100_000, 200), (1, 20_000), (20_000, 1)]
)
def test_little_is_computed_twice_even_of_a_picture_much_wider_than_high(height: int, width: int) -> None:
    computed = []

    def restore(lr: Array) -> Array:
        computed.append(lr.shape[0] * lr.shape[1])
        return lr

    lr = np.zeros((height, width, 1), np.uint8)
    join(restore, lr, area=512**2, context=64, multiple=16)
    assert max(computed) <= 512**2
    assert sum(computed) <= 1.8 * max(height, 16) * max(width, 16)


def test_the_area_follows_the_memory_but_tiles_are_not_mostly_margin() -> None:
    def area(memory: int) -> int:
        return tiles.area_for(lambda memory: memory // 1000, 64, memory)

    assert area(1000 * 300**2) == 300**2
    assert area(0) == 192**2


def test_computing_takes_a_quarter_of_little_free_memory_and_not_more_of_much() -> None:
    assert tiles.memory_for_computing(4 * 10**8) == 10**8
    assert tiles.memory_for_computing(10**12) == tiles.memory_for_computing(10**11) < 10**9
    assert 0 < tiles.memory_for_computing() < 10**9


def test_free_memory_is_what_a_container_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_CGROUP", tmp_path)
    machine = tiles.free_memory()
    assert machine > 10**6
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 50000\nactive_file 7\n")
    assert tiles.free_memory() == 150_000
    (tmp_path / "memory.current").write_text("900000\n")
    assert tiles.free_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert tiles.free_memory() > 10**6


def test_padding_mirrors_and_repeats_the_edge_where_too_small_to_mirror() -> None:
    lr = np.arange(3, dtype=np.float32).reshape(1, 3, 1)
    assert tiles.pad(lr, 4)[..., 0].tolist() == [[0, 1, 2, 1]] * 4
    assert tiles.pad(lr, 8)[0, :, 0].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
