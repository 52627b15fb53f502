"""Whether models sharpen as much as is right: `python measurements/sharpening.py FOLDER [--model NAME ...]`.

Crops of the sharp pictures in FOLDER are degraded anew, without noise or JPEG, at each extent of blur, and restored.
The printed factor a is by how much the difference to the bicubic enlargement should be multiplied for the least squared
error of all crops: 1 is right, less means that the model sharpens too much. Needs the extra `train`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from cnlrn import Restorer, models
from cnlrn.data.sources import SharpFolder, generator
from cnlrn.degradation import recipe
from cnlrn.degradation.resize import bicubic
from cnlrn.evaluation.metrics import BORDER

PATCH = 256
EXTENTS = (0, 5, 9, 14, 20)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", action="append", help="name or ONNX file; all shipped ones if not given")
    parser.add_argument("--texture", type=int, default=1, help="keep the most textured of so many crops")
    parser.add_argument("--crops", type=int, default=64)
    given = parser.parse_args()
    restorers = {name: Restorer(name) for name in given.model or [card.name for card in models()]}
    print("| model | blur, HR px | bicubic | restored | a | with the difference times a |")
    print("| --- | --- | --- | --- | --- | --- |")
    for extent in EXTENTS:
        motion_alone = replace(
            recipe("photo"),
            extents=((1.0, extent, extent),),
            foreground_share=0.0,
            defocus_share=0.0,
            gaussian_share=0.0,
            noise_share=0.0,
            jpeg_share=0.0,
        )
        source = SharpFolder(given.folder, None, motion_alone, PATCH, given.texture)
        samples = [source.sample(generator(0, index)) for index in range(given.crops)]
        sharp = _inner([sample.hr / np.float32(255) for sample in samples])
        enlarged = _inner([bicubic(sample.lr / np.float32(255), 4) for sample in samples])
        for name, restorer in restorers.items():
            restored = _inner([restorer.restore(sample.lr / np.float32(255)) for sample in samples])
            difference = restored - enlarged
            a = float((difference * (sharp - enlarged)).sum() / np.square(difference).sum())
            figures = [_psnr(picture, sharp) for picture in (enlarged, restored, enlarged + a * difference)]
            print(
                f"| `{name}` | {extent or 'none'} | {figures[0]:.2f} dB | {figures[1]:.2f} dB | {a:.2f} "
                f"| {figures[2]:.2f} dB |",
                flush=True,
            )


def _inner(crops: list[np.ndarray]) -> np.ndarray:
    return np.stack(crops)[:, BORDER:-BORDER, BORDER:-BORDER].astype(np.float64)


def _psnr(restored: np.ndarray, sharp: np.ndarray) -> float:
    """The mean of the crops' PSNR, in dB."""
    squares = np.square(restored.clip(0, 1) - sharp).mean(axis=(1, 2, 3))
    return float(np.mean(-10 * np.log10(squares + 1e-12)))


if __name__ == "__main__":
    main()
