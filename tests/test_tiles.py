from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from cnlrn import tiles

Array = NDArray[np.float32]


def box_blur(reach: int) -> Callable[[Array], Array]:
    """A stand-in for a convolutional network: zero padded means over `reach` pixels on each side."""

    def restore(lr: Array) -> Array:
        height, width, _ = lr.shape
        padded = np.pad(lr, ((reach, reach), (reach, reach), (0, 0)))
        shifts = range(2 * reach + 1)
        total = sum(padded[dy : dy + height, dx : dx + width] for dy in shifts for dx in shifts)
        return np.asarray(total / len(shifts) ** 2, np.float32)

    return restore


def windowed(window: int) -> Callable[[Array], Array]:
    """A stand-in for window attention: every pixel becomes the mean of its window of a fixed grid."""

    def restore(lr: Array) -> Array:
        height, width, channels = lr.shape
        cells = lr.reshape(height // window, window, width // window, window, channels)
        return np.asarray(np.broadcast_to(cells.mean(axis=(1, 3), keepdims=True), cells.shape).reshape(lr.shape))

    return restore


def enlarge(restore: Callable[[Array], Array], scale: int) -> Callable[[Array], Array]:
    return lambda lr: restore(lr).repeat(scale, axis=0).repeat(scale, axis=1)


def join(
    restore: Callable[[Array], Array], lr: Array, scale: int, tile: int, context: int | None, multiple: int
) -> Array:
    joined = np.full((lr.shape[0] * scale, lr.shape[1] * scale, lr.shape[2]), np.nan, np.float32)
    for place, piece in tiles.run(restore, lr, scale=scale, tile=tile, context=context, multiple=multiple):
        assert np.isnan(joined[place]).all(), "two tiles answer for the same pixel"
        joined[place] = piece
    assert not np.isnan(joined).any(), "no tile answers for some pixel"
    return joined


@pytest.mark.parametrize("tile", [1, 8, 13, 16, 24, 40, 64, 1000])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_tiled_equals_whole_when_the_reach_is_within_the_context(tile: int, scale: int) -> None:
    lr = np.random.default_rng(0).random((61, 83, 3), np.float32)
    blur, window = box_blur(5), windowed(8)
    restore = enlarge(lambda x: window(blur(window(x))), scale)
    whole = join(restore, lr, scale, 10_000, 24, 8)
    np.testing.assert_allclose(join(restore, lr, scale, tile, 24, 8), whole, atol=1e-6)


def test_a_context_smaller_than_the_reach_is_what_makes_seams() -> None:
    lr = np.random.default_rng(0).random((64, 64, 1), np.float32)
    assert np.abs(join(box_blur(5), lr, 1, 16, 0, 4) - join(box_blur(5), lr, 1, 64, 0, 4)).max() > 0.01


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 5), (7, 8), (9, 17), (33, 2)])
def test_any_size_comes_out_as_large_as_it_should(shape: tuple[int, int]) -> None:
    lr = np.random.default_rng(1).random((*shape, 3), np.float32)
    restored = join(enlarge(lambda x: x, 4), lr, 4, 16, 8, 8)
    np.testing.assert_array_equal(restored, lr.repeat(4, axis=0).repeat(4, axis=1))


def test_a_network_that_looks_everywhere_sees_the_whole_picture_at_once() -> None:
    seen = []

    def restore(lr: Array) -> Array:
        seen.append(lr.shape)
        return lr

    join(restore, np.zeros((30, 45, 3), np.float32), 1, 8, None, 4)
    assert seen == [(32, 48, 3)]


def test_no_piece_is_larger_than_tile_and_context_allow() -> None:
    seen = []

    def restore(lr: Array) -> Array:
        seen.append(lr.shape)
        return lr

    join(restore, np.zeros((500, 300, 3), np.float32), 1, 64, 10, 8)
    assert max(max(shape[:2]) for shape in seen) <= 64 + 2 * 16
    assert all(side % 8 == 0 for shape in seen for side in shape[:2])


def test_padding_mirrors_and_repeats_the_edge_where_too_small_to_mirror() -> None:
    lr = np.arange(3, dtype=np.float32).reshape(1, 3, 1)
    assert tiles.pad(lr, 4)[..., 0].tolist() == [[0, 1, 2, 1]] * 4
    assert tiles.pad(lr, 8)[0, :, 0].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
