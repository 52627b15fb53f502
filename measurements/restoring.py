"""Time and memory of the whole command: `python measurements/restoring.py`, with nothing else running.

Restores pictures of growing size, made from an example by mirroring it, each by a `cnlrn restore` of its own. Prints a
Markdown table: seconds from start to file, and the most memory that was resident. The first row is the median of five.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cnlrn import images
from cnlrn.images import Picture
from cnlrn.models import DEFAULT

EXAMPLE = Path(__file__).parents[1] / "examples" / "kitten.png"
CASES = (
    (320, 180, np.uint8, "png", 5),
    (640, 360, np.uint8, "png", 1),
    (1280, 720, np.uint8, "png", 1),
    (3125, 2000, np.uint8, "png", 1),
    (3125, 2000, np.uint8, "jpg", 1),
    (3125, 2000, np.uint16, "tif", 1),
    (3125, 2000, np.uint8, "webp", 1),
    (3125, 2000, np.uint8, "avif", 1),
    (6250, 4000, np.uint8, "jpg", 1),
)


def picture(width: int, height: int, dtype: type) -> Picture:
    """The example, mirrored to and fro until it is large enough."""
    example = images.read(EXAMPLE).pixels
    lacking = (max(0, height - example.shape[0]), max(0, width - example.shape[1]))
    pixels = np.pad(example, ((0, lacking[0]), (0, lacking[1]), (0, 0)), mode="symmetric")[:height, :width]
    if dtype == np.uint16:
        return Picture(pixels.astype(np.uint16) * 257)
    return Picture(pixels)


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds and megabytes of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT)
    model = parser.parse_args().model
    print(
        "| input | result | file | seconds | megapixels a second | peak memory |\n| --- | --- | --- | --- | --- | --- |"
    )
    for width, height, dtype, suffix, runs in CASES:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            source, target = Path(folder, "in.tif"), Path(folder, f"out.{suffix}")
            images.write(picture(width, height, dtype), source)
            command = [sys.executable, "-m", "cnlrn", "restore", source, "-o", target, "--overwrite", "--model", model]
            figures = [measure(list(map(str, command))) for _ in range(runs)]
        seconds, memory = (statistics.median(column) for column in zip(*figures, strict=True))
        megapixels = width * height * 16 / 1e6
        print(
            f"| {width}x{height} | {width * 4}x{height * 4} | {suffix}, {np.dtype(dtype).itemsize * 8} bits "
            f"| {seconds:.2f} | {megapixels / seconds:.1f} | {memory:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
