import numpy as np
import pytest

from cnlrn.restoration.spectrum import DIRECTIONS, LENGTHS, SIDE, lengths, spectra


def wave(length: float, degrees: float, side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    along = x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees))
    return np.asarray(0.5 + 0.4 * np.sin(2 * np.pi * along / length), np.float32)


@pytest.mark.parametrize("length", [4, 16, 50])
@pytest.mark.parametrize("direction", [0, 3, 8, 13])
@pytest.mark.parametrize("side", [SIDE, 256])
def test_a_wave_is_strongest_at_its_length_and_direction(length: float, direction: int, side: int) -> None:
    told = spectra(wave(length, 180 * direction / DIRECTIONS, side)[None])[0]
    place = np.unravel_index(told.argmax(), told.shape)
    assert place[1] == direction
    assert abs(np.log(lengths()[place[0]] / length)) < 0.17


def test_where_whole_waves_fit_into_a_shake_there_is_a_gap() -> None:
    noise = np.random.default_rng(0).random((SIDE, SIDE + 32)).astype(np.float32)
    shaken = np.asarray(np.mean([noise[:, shift : shift + SIDE] for shift in range(32)], axis=0), np.float32)
    along, across = spectra(shaken[None])[0][:, [0, DIRECTIONS // 2]].T
    lost = across - along
    near = int(np.abs(np.log(lengths() / 32)).argmin())
    longer = int(np.abs(np.log(lengths() / 128)).argmin())
    assert lost[near] > lost[longer] + 2


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (512, 512)])
def test_parts_of_any_size_have_a_finite_spectrum(size: tuple[int, int]) -> None:
    parts = np.random.default_rng(0).random((2, *size)).astype(np.float32)
    told = spectra(parts)
    assert told.shape == (2, LENGTHS, DIRECTIONS)
    assert np.isfinite(told).all()
