"""How well the classical systems enlarge: PSNR on the gray values of sharp pictures, reduced to a quarter by bicubic
interpolation, without 4 pixels at the border.

    python measurements/enlarging.py FOLDER
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from cnlrn import classical
from cnlrn.classical.fourier import Float
from cnlrn.classical.patches import SCALE
from cnlrn.classical.pictures import gray
from cnlrn.degradation.resize import bicubic
from cnlrn.images import read


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="sharp PNG or JPEG files of 8 bits")
    given = parser.parse_args()
    systems = {"bicubic": lambda small: bicubic(small, SCALE).clip(0, 1), **classical.ENLARGING}
    paths = sorted(path for path in given.folder.iterdir() if path.suffix in (".jpg", ".png"))
    if not paths:
        parser.error(f"{given.folder} holds no PNG or JPEG file")
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in systems}
    for path in paths:
        luma = gray(read(path).pixels.astype(np.float32) / np.float32(255))
        height, width = (side // SCALE * SCALE for side in luma.shape)
        sharp = luma[:height, :width]
        small = bicubic(sharp, 1 / SCALE).clip(0, 1)
        for name, enlarge in systems.items():
            start = time.process_time()
            result = enlarge(small)
            seconds = time.process_time() - start
            figures[name].append((_psnr(result, sharp), 1e6 * seconds / sharp.size))
    print(f"{len(paths)} pictures\n\n| system | PSNR | CPU seconds a megapixel |\n| --- | --- | --- |")
    for name, values in figures.items():
        psnr, seconds = np.mean(values, axis=0)
        print(f"| `{name}` | {psnr:.2f} dB | {seconds:.1f} |")


def _psnr(restored: Float, sharp: Float) -> float:
    inner = (slice(SCALE, -SCALE),) * 2
    return float(-10 * np.log10(np.square(restored[inner] - sharp[inner]).mean()))


if __name__ == "__main__":
    main()
