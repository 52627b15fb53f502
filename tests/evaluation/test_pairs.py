from pathlib import Path

import cv2
import numpy as np
import pytest

from cnlrn.errors import CnlrnError
from cnlrn.evaluation.metrics import score
from cnlrn.evaluation.pairs import evaluate


class Repeating:
    """Restores by repeating pixels."""

    def restore(self, lr: np.ndarray, scale: int) -> np.ndarray:
        return lr.repeat(scale, 0).repeat(scale, 1)


def test_pairs_are_restored_and_scored_by_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("blurry_x4", "sharp"):
        (tmp_path / folder).mkdir()
    lr, sharp = rng.integers(0, 256, (8, 12, 3), np.uint8), rng.integers(0, 256, (32, 48, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "blurry_x4" / "a.png"), lr)
    cv2.imwrite(str(tmp_path / "sharp" / "a.png"), sharp)
    restorer = Repeating()
    assert list(evaluate(restorer, tmp_path)) == [("a", score(lr.repeat(4, 0).repeat(4, 1), sharp))]

    cv2.imwrite(str(tmp_path / "blurry_x4" / "a.png"), lr[:4])
    with pytest.raises(CnlrnError, match=r"a\.png"):
        list(evaluate(restorer, tmp_path))
