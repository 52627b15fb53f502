import numpy as np
import pytest

from cnlrn.degradation import camera


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_hand_path_is_at_rest_at_mid_exposure():
    assert np.all(camera.hand_motion(rng(), 15)[7] == 0)


def test_a_hand_path_is_smooth():
    path = camera.hand_motion(rng(), 201)
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    assert steps.max() < 0.1 * np.ptp(path, axis=0).max()


@pytest.mark.parametrize("extent", [1.0, 6.0, 24.0])
def test_homographies_have_the_asked_extent_and_rest_at_mid_exposure(extent):
    frame = (300, 500)
    paths = camera.homographies(camera.hand_motion(rng(), 13), extent, frame)
    np.testing.assert_allclose(paths[6], np.eye(3), atol=1e-9)
    spreads = []
    for y in (0, 149.5, 299):
        for x in (0, 249.5, 499):
            points = paths @ np.array([x, y, 1.0])
            points = points[:, :2] / points[:, 2:]
            spreads.append(np.linalg.norm(points[:, None] - points[None], axis=-1).max())
    assert np.mean(spreads) == pytest.approx(extent, rel=0.02)


def test_blur_varies_over_the_picture():
    paths = camera.homographies(camera.hand_motion(rng(), 13), 20, (300, 500))
    corner, centre = (paths @ np.array(p) for p in ([0, 0, 1.0], [249.5, 149.5, 1.0]))
    moved = [np.ptp(p[:, :2] / p[:, 2:], axis=0) for p in (corner, centre)]
    assert np.abs(moved[0] - moved[1]).max() > 1


def test_more_instants_than_pixels_of_the_blurry_picture_in_the_path():
    assert camera.instants(0, 4) == 1
    assert camera.instants(24, 4) == 13
    assert camera.instants(24, 1) == 25
    assert camera.instants(3, 4) % 2 == 1


def test_a_shifted_exposure_is_a_shifted_picture():
    light = rng().random((20, 30, 3)).astype(np.float32)
    shift = np.eye(3)
    shift[0, 2] = 3
    shown = camera.expose(light, shift[None], (20, 27))
    np.testing.assert_allclose(shown, light[:, 3:], atol=1e-6)


def test_light_adds_up():
    light = rng().random((20, 30, 3)).astype(np.float32)
    shift = np.eye(3)
    shift[1, 2] = 2
    shown = camera.expose(light, np.stack([np.eye(3), shift]), (18, 30))
    np.testing.assert_allclose(shown, (light[:18] + light[2:]) / 2, atol=1e-6)


def test_a_layer_moves_over_a_resting_background():
    light = rng().random((20, 30, 3)).astype(np.float32)
    mask = np.zeros((20, 30), np.float32)
    mask[:, 15:] = 1
    rest, move = np.eye(3)[None], np.eye(3)[None].copy()
    move[0, 0, 2] = 4  # the layer's source lies 4 pixels to the right
    shown = camera.expose_layers(light, mask, rest, move, (20, 26))
    np.testing.assert_allclose(shown[:, :11], light[:, :11], atol=1e-6)
    np.testing.assert_allclose(shown[:, 11:], light[:, 15:], atol=1e-6)


def test_a_mask_is_partly_on_and_partly_off():
    mask = camera.soft_mask(rng(), (64, 96))
    assert mask.shape == (64, 96)
    assert mask.min() == 0
    assert mask.max() == 1
