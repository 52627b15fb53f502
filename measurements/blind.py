"""The test of Levin et al. (CVPR 2009) for blind deblurring: `python measurements/blind.py --set FOLDER [SYSTEM ...]`.

A set is a folder with sharp/NAME.png, kernel/KERNEL.png and blurry/NAME_KERNEL.png, all gray. With `--photos FOLDER`
32 pictures are made instead, from 4 of its photos and 8 kernels of a hand-held camera, with 1 % of noise, by a seed.
For each picture the kernel is estimated, given the size of the true one, and the picture is deblurred by it and by the
true one, both times by hyper-Laplacian priors. Printed are the ratio of their errors, PSNR with the best shift, and how
alike the kernels are. Needs the extras `classical` and `train`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cnlrn import classical
from cnlrn.classical import alignment, kernels
from cnlrn.classical.fourier import Float
from cnlrn.degradation.camera import hand_motion
from cnlrn.degradation.resize import bicubic

SIDE = 255
SIZES = (13, 15, 17, 19, 21, 23, 25, 27)
NOISE = 0.01


@dataclass(frozen=True)
class Case:
    """A blurry picture, its sharp one, both gray in [0, 1], and the kernel between them."""

    name: str
    blurry: Float
    sharp: Float
    kernel: Float


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="take each so many-th case")
    parser.add_argument("--details", action="store_true", help="print each picture's figures")
    parser.add_argument("systems", nargs="*", default=sorted(classical.KERNELS))
    given = parser.parse_args()
    if (given.set is None) == (given.photos is None):
        parser.error("give either --set or --photos")
    cases = list(read_set(given.set) if given.set else made(given.photos, given.seed))[:: given.every]
    known = [alignment.least_error(deblurred(case, case.kernel), case.sharp) for case in cases]
    print("| kernel by | PSNR | error ratio, median | at most 2 | at most 3 | similarity | CPU seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| none (blurry) | {mean_psnr([alignment.least_error(case.blurry, case.sharp) for case in cases])} | | | | | |"
    )
    print(f"| the truth | {mean_psnr(known)} | 1 | 100 % | 100 % | 1 | |", flush=True)
    for system in given.systems:
        errors, alike, seconds = [], [], []
        for case, truth in zip(cases, known, strict=True):
            start = time.process_time()
            kernel = classical.KERNELS[system](case.blurry, max(case.kernel.shape))
            seconds.append(time.process_time() - start)
            errors.append(alignment.least_error(deblurred(case, kernel), case.sharp))
            alike.append(kernels.similarity(kernel, case.kernel))
            if given.details:
                print(f"{system} {case.name} {errors[-1] / truth:.2f} {alike[-1]:.2f}", flush=True)
        ratios = np.divide(errors, known)
        print(
            f"| `{system}` | {mean_psnr(errors)} | {np.median(ratios):.2f} | {(ratios <= 2).mean():.0%} "
            f"| {(ratios <= 3).mean():.0%} | {np.mean(alike):.2f} | {np.mean(seconds):.1f} |",
            flush=True,
        )


def deblurred(case: Case, kernel: Float) -> Float:
    """What the kernel makes of the blurry picture: the same for all systems."""
    return classical.hyper_laplacian(case.blurry, kernel)


def mean_psnr(errors: list[float]) -> str:
    """The mean of the PSNR of mean squared errors."""
    return f"{np.mean([alignment.psnr(error) for error in errors]):.2f} dB"


def read_set(folder: Path) -> Iterator[Case]:
    """The cases of a folder.

    Some of Levin's kernels are stored turned by 180 degrees: of both ways the one is taken that explains the picture.
    """
    for path in sorted((folder / "blurry").glob("*.png")):
        name, _, kernel_name = path.stem.partition("_")
        blurry, sharp = gray(path), gray(folder / "sharp" / f"{name}.png")
        stored = kernels.checked(gray(folder / "kernel" / f"{kernel_name}.png"))
        ways = [stored, np.ascontiguousarray(stored[::-1, ::-1])]
        yield Case(
            path.stem, blurry, sharp, min(ways, key=lambda way: alignment.least_error(blurred(sharp, way), blurry))
        )


def made(folder: Path, seed: int) -> Iterator[Case]:
    """32 cases from photos: their middle at half their size, 255x255 pixels, blurred, with noise, of 8 bits."""
    rng = np.random.default_rng(seed)
    paths = sorted(folder.glob("*.jpg"))
    shaken = [shake(rng, size) for size in SIZES]
    for index in rng.choice(len(paths), len(SIZES) // 2, replace=False):
        photo = bicubic(gray(paths[index]), 0.5).clip(0, 1)
        margin = SIDE + max(SIZES) - 1
        padded = np.pad(photo, [(0, max(0, margin - side)) for side in photo.shape], mode="reflect")
        top, left = ((side - margin) // 2 for side in padded.shape)
        scene = padded[top : top + margin, left : left + margin]
        border = max(SIZES) // 2
        sharp = scene[border:-border, border:-border]
        for size, kernel in zip(SIZES, shaken, strict=True):
            light = blurred(scene, kernel)[border:-border, border:-border] + rng.normal(0, NOISE, sharp.shape)
            blurry = np.rint(255 * light.clip(0, 1)).astype(np.float32) / np.float32(255)
            yield Case(f"{paths[index].stem}_{size}", blurry, sharp, kernel)


def shake(rng: np.random.Generator, size: int) -> Float:
    """The kernel of a hand-held camera that turns left and right and up and down, spanning `size` pixels."""
    path = hand_motion(rng, 400)[:, :2]
    path -= path.min(axis=0)
    path *= (size - 2.001) / path.max()
    path += (size - 1 - path.max(axis=0)) / 2
    kernel = np.zeros((size, size))
    whole = np.floor(path).astype(int)
    rest = path - whole
    for down in (0, 1):
        for across in (0, 1):
            weight = np.abs(1 - down - rest[:, 1]) * np.abs(1 - across - rest[:, 0])
            np.add.at(kernel, (whole[:, 1] + down, whole[:, 0] + across), weight)
    return kernels.checked(kernel)


def blurred(picture: Float, kernel: Float) -> Float:
    """k * x, with the picture's border repeated beyond it."""
    return np.asarray(cv2.filter2D(picture, -1, kernel[::-1, ::-1], borderType=cv2.BORDER_REPLICATE), np.float32)


def gray(path: Path) -> Float:
    """A picture file as gray values in [0, 1]."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise SystemExit(f"{path} is no picture that can be read")
    return np.asarray(picture, np.float32) / np.float32(255)


if __name__ == "__main__":
    main()
