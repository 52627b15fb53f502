from pathlib import Path

import numpy as np
import pytest

from cnlrn.data.text import draw_text, font_files
from cnlrn.errors import CnlrnError

CROP = np.full((96, 128, 3), 90, np.uint8)


def test_the_same_seed_draws_the_same_text_and_another_seed_another():
    first, again, other = (draw_text(CROP, np.random.default_rng(seed), ()) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == CROP.shape
    assert np.any(first != other)


def test_ink_stands_out_from_the_ground_and_leaves_much_of_it():
    for seed in range(12):
        drawn = draw_text(CROP, np.random.default_rng(seed), ()).astype(int)
        ground = np.median(drawn.reshape(-1, 3), axis=0)
        far = np.abs(drawn - ground).max(axis=2) > 60
        assert 0.01 < far.mean() < 0.6


def test_some_text_is_drawn_over_the_photo():
    grounds = [np.median(draw_text(CROP, np.random.default_rng(seed), ())) for seed in range(30)]
    assert 2 < sum(ground == 90 for ground in grounds) < 20


def test_fonts_are_found_in_a_folder_or_the_mistake_is_told(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    for name in ("deep/b.TTF", "a.otf", "notes.txt"):
        (tmp_path / name).touch()
    assert font_files(tmp_path) == (str(tmp_path / "a.otf"), str(tmp_path / "deep" / "b.TTF"))
    assert font_files(None) == ()
    with pytest.raises(CnlrnError, match=r"no \.ttf or \.otf file in .*data\.fonts"):
        font_files(tmp_path / "deep" / "none")
