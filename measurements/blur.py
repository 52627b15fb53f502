"""How well blur is estimated: `python measurements/blur.py FOLDER [--all] [--count N] [--named FOLDER]`.

Crops of 640x640 pixels of the sharp photos in FOLDER are degraded by the recipe `own` and estimated; of FOLDER only the
photos that the training of the estimator holds out, or all of them with `--all`. Files of the folder given by `--named`
are estimated one by one beside their names. Needs the extra `train`.
"""

import argparse
from pathlib import Path

import numpy as np

from cnlrn.data import pictures
from cnlrn.data.blurs import Photos
from cnlrn.degradation import recipe
from cnlrn.restoration.blur import BlurEstimator

SIDE = 640
SEED = 3
LEAST = 3.0
"""Pixels from which a picture counts as blurred."""
RANGES = (LEAST, 6.0, 12.0, 24.0, 40.0, 64.0)
"""Extents that are counted apart, in pixels."""
FACTOR = 1.6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--named", type=Path)
    given = parser.parse_args()
    estimator = BlurEstimator()
    held_out = None if given.all else True
    photos = Photos(given.folder, SIDE, SEED, held_out, recipe("own"), resized=(1.0, 1.0))
    counts = dict.fromkeys(("sharp", "called blurred", "blurred", "called sharp", "right kind", "right", "both"), 0)
    found: dict[int, list[bool]] = {}
    turns, noise, quality = [], [], []
    for index in range(given.count):
        picture, (extent, across, down, radius, true_noise, true_quality) = photos[index]
        told = estimator.estimate_picture(picture)
        noise.append(abs(told.noise - true_noise))
        quality.append(abs((told.jpeg_quality or 100) - true_quality))
        if not extent and not radius:
            counts["sharp"] += 1
            counts["called blurred"] += told.kind != "sharp"
        elif max(extent, 2 * radius) >= LEAST:
            kind = "shake" if extent >= 2 * radius else "defocus"
            size = {"sharp": 0.0, "shake": told.extent, "defocus": 2 * told.extent}[told.kind]
            right = abs(np.log(max(size, 1e-3) / max(extent, 2 * radius))) <= np.log(FACTOR)
            counts["blurred"] += 1
            counts["called sharp"] += told.kind == "sharp"
            counts["right kind"] += told.kind == kind
            counts["right"] += right
            found.setdefault(int(np.searchsorted(RANGES, max(extent, 2 * radius))), []).append(bool(right))
            counts["both"] += right and told.kind == kind
            if told.direction is not None and kind == "shake" and np.hypot(across, down) >= 0.6:
                true = np.degrees(np.arctan2(down, across)) / 2
                turns.append(abs((told.direction - true + 90) % 180 - 90))
    print(f"{counts['called blurred']} of {counts['sharp']} sharp pictures were called blurred")
    print(f"of {counts['blurred']} blurred by at least {LEAST:g} pixels:")
    print(f"  {counts['called sharp']} were called sharp, {counts['right kind']} were given the right kind")
    print(f"  {counts['right']} had an extent (diameter, of a defocus) within a factor of {FACTOR:g}")
    print(f"  {counts['both']} had both right")
    for place, near in sorted(found.items()):
        print(f"  from {RANGES[place - 1]:g} pixels: extent of {sum(near)} of {len(near)} within the factor")
    print(
        f"median error of direction {np.median(turns) if turns else float('nan'):.0f} degrees, of noise "
        f"{np.median(noise):.2f} / 255, of JPEG quality {np.median(quality):.0f}"
    )
    for file in pictures.find(given.named) if given.named else ():
        named = pictures.read(file)
        if named is not None:
            print(file.name, estimator.estimate_picture(named))


if __name__ == "__main__":
    main()
