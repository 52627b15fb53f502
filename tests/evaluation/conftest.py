from pathlib import Path

import cv2
import numpy as np
import pytest

from cnlrn.degradation.resize import bicubic


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder of two pairs, LR pictures of 32x24 pixels."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "pairs"
    for name in ("one", "two"):
        smooth = bicubic(rng.integers(0, 256, (12, 16, 3)), 8)
        for place, picture in (("sharp", smooth), ("blurry_x4", bicubic(smooth, 0.25))):
            (folder / place).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / place / f"{name}.png"), np.clip(picture, 0, 255).astype(np.uint8))
    return folder
