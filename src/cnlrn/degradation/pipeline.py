"""Sharp picture + recipe + seed -> blurry LR picture, the same bytes every time.

The order is that of a camera: motion and optics in linear light, the camera response, the reduction by 4 with the
paper's bicubic on picture values (as the REDS data were made), noise, 8 bits, JPEG. What is drawn at random is drawn
from the recipe's ranges only.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cnlrn.degradation import camera, optics, sensor
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError, cut

Byte = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]

SCALE = 4
_HALO = 8
"""HR pixels beyond a patch that the bicubic reduction by 4 still reads."""


@dataclass(frozen=True)
class Recipe:
    """How pictures become blurry and small, as plain data.

    `extents` is the mix of motion-blur extents: (share, least, most) in HR pixels, shares summing to 1. The other
    shares are probabilities a picture. Radii and sigmas are in HR pixels, noise in linear light, quality in JPEG's 1
    to 100. The sharp picture lies where the camera points at mid-exposure, as in REDS, or at the centroid of its path:
    from a blurry picture alone nobody can tell when mid-exposure was, but where its light is centred.
    """

    name: str
    extents: tuple[tuple[float, float, float], ...]
    aligned: Literal["mid-exposure", "centroid"] = "mid-exposure"
    uniform_share: float = 0.0
    foreground_share: float = 0.0
    defocus_share: float = 0.0
    defocus_radius: tuple[float, float] = (1.0, 4.0)
    gaussian_share: float = 0.0
    gaussian_sigma: tuple[float, float] = (0.5, 2.0)
    noise_share: float = 0.0
    photon_noise: tuple[float, float] = (0.0, 0.0)
    read_noise: tuple[float, float] = (0.0, 0.0)
    jpeg_share: float = 0.0
    jpeg_quality: tuple[int, int] = (60, 95)

    @property
    def margin(self) -> int:
        """HR pixels that a training crop needs around the patch it is to give, a multiple of 4."""
        most = max(high for _, _, high in self.extents)
        return _HALO + 4 * int(np.ceil(most / 4))


_PHOTO = Recipe(
    name="photo",
    extents=((0.25, 0, 0), (0.35, 1, 6), (0.4, 6, 24)),
    aligned="centroid",
    uniform_share=0.15,
    foreground_share=0.12,
    defocus_share=0.08,
    gaussian_share=0.08,
    noise_share=0.15,
    photon_noise=(0.0, 4e-4),
    read_noise=(0.0, 3e-3),
    jpeg_share=0.15,
)
RECIPES = {
    "bicubic": Recipe(name="bicubic", extents=((1, 0, 0),)),
    "reds": Recipe(name="reds", extents=((0.1, 0, 0), (0.4, 1, 10), (0.5, 10, 24)), foreground_share=0.3),
    "photo": _PHOTO,
    "messenger": replace(
        _PHOTO,
        name="messenger",
        extents=((0.35, 0, 0), (0.3, 1, 6), (0.35, 6, 24)),
        jpeg_share=0.25,
        jpeg_quality=(30, 95),
    ),
}


@dataclass(frozen=True)
class Pair:
    """A blurry LR picture and its sharp original, both uint8 HWC RGB; `sharp` is exactly 4 times as wide and high."""

    lr: Byte
    sharp: Byte


def recipe(name: str) -> Recipe:
    """The recipe of this name; CnlrnError names the known ones."""
    if name not in RECIPES:
        raise CnlrnError(f"unknown degradation recipe '{cut(name)}'; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]


def degrade(sharp: Byte, recipe: Recipe, seed: int) -> Pair:
    """Degrade a whole picture (uint8 HWC RGB, at least 4x4).

    The picture is first cropped to multiples of 4. The same picture, recipe and seed give the same bytes. Source:
    the construction of REDS (Nah et al., CVPRW 2019), on which the paper trains.
    """
    height, width = (side - side % SCALE for side in sharp.shape[:2])
    if not height or not width:
        raise CnlrnError(
            f"a picture of {sharp.shape[1]}x{sharp.shape[0]} is too small to reduce by 4; give at least 4x4"
        )
    sharp = np.ascontiguousarray(sharp[:height, :width])
    margin = recipe.margin
    padded = np.pad(sharp, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    lr = _degrade(padded, (height, width), (0, 0), recipe, np.random.default_rng(seed))
    return Pair(lr=lr, sharp=sharp)


def degrade_patch(crop: Byte, recipe: Recipe, rng: np.random.Generator) -> tuple[Byte, Byte]:
    """Degrade a training crop (uint8 HWC RGB, patch + 2 x `recipe.margin`, the patch a multiple of 4).

    The patch is taken to lie anywhere in a camera frame three times its size, so that it sees the blur that a shaken
    camera gives there. Returns the LR patch and the sharp HR patch (the crop's centre), uint8.
    """
    margin = recipe.margin
    height, width = (side - 2 * margin for side in crop.shape[:2])
    frame = (3 * height, 3 * width)
    place = (int(rng.integers(0, 2 * height + 1)), int(rng.integers(0, 2 * width + 1)))
    lr = _degrade(crop, frame, place, recipe, rng)
    return lr, np.ascontiguousarray(crop[margin : margin + height, margin : margin + width])


def _degrade(
    padded: Byte, frame: tuple[int, int], place: tuple[int, int], recipe: Recipe, rng: np.random.Generator
) -> Byte:
    """The chain on a picture with `recipe.margin` around it, whose inner corner lies at `place` (row, column) of the
    camera `frame` (height, width)."""
    response: Literal["gamma", "srgb"] = "gamma" if rng.random() < 0.5 else "srgb"
    blurry = _blur(padded, frame, place, recipe, rng, response)
    halo = _HALO // SCALE
    small = bicubic(blurry, 1 / SCALE)[halo:-halo, halo:-halo]
    if rng.random() < recipe.noise_share:
        photon, read = rng.uniform(*recipe.photon_noise), rng.uniform(*recipe.read_noise)
        small = sensor.add_noise(small, photon, read, rng, response)
    picture = sensor.to_bytes(small)
    if rng.random() < recipe.jpeg_share:
        low, high = recipe.jpeg_quality
        picture = sensor.jpeg(picture, int(rng.integers(low, high + 1)))
    return picture


def _blur(
    padded: Byte,
    frame: tuple[int, int],
    place: tuple[int, int],
    recipe: Recipe,
    rng: np.random.Generator,
    response: Literal["gamma", "srgb"],
) -> Float:
    """Motion and optics; picture values in [0, 1] of the patch with _HALO around it."""
    shares = np.array([share for share, _, _ in recipe.extents])
    _, least, most = recipe.extents[rng.choice(len(shares), p=shares / shares.sum())]
    extent = float(rng.uniform(least, most))
    uniform = rng.random() < recipe.uniform_share
    foreground = rng.random() < recipe.foreground_share
    kernels = []
    if rng.random() < recipe.defocus_share:
        kernels.append(optics.disk_psf(rng.uniform(*recipe.defocus_radius)))
    if rng.random() < recipe.gaussian_share:
        kernels.append(optics.gaussian_psf(rng.uniform(*recipe.gaussian_sigma)))
    trim = recipe.margin - _HALO
    if extent <= 0 and not kernels:
        return _trimmed(padded, trim).astype(np.float32) / np.float32(255)

    light = sensor.to_light(padded, response)
    if extent > 0 and uniform:
        path = _motion(recipe, rng, 65)[:, :2]
        kernels.append(optics.trajectory_psf(path, extent))
    elif extent > 0:
        count = camera.instants(extent)
        corner = (place[0] - recipe.margin, place[1] - recipe.margin)
        early = 0 if kernels else trim  # what no kernel reads need not be exposed
        size = (light.shape[0] - 2 * early, light.shape[1] - 2 * early)
        paths = _placed(camera.homographies(_motion(recipe, rng, count), extent, frame), corner, early)
        if foreground:
            own = camera.homographies(_motion(recipe, rng, count), float(rng.uniform(0, most)), frame)
            mask = camera.soft_mask(rng, light.shape[:2])
            light = camera.expose_layers(light, mask, paths, _placed(own, corner, early), size)
        else:
            light = camera.expose(light, paths, size)
        trim -= early
    for kernel in kernels:
        light = optics.convolve(light, kernel)
    return sensor.from_light(_trimmed(light, trim), response)


def _motion(recipe: Recipe, rng: np.random.Generator, count: int) -> camera.Poses:
    """A hand's motion of `count` instants about where the sharp picture lies."""
    poses = camera.hand_motion(rng, count)
    return poses if recipe.aligned == "mid-exposure" else np.asarray(poses - poses.mean(axis=0))


def _trimmed(picture: npt.NDArray[Any], border: int) -> npt.NDArray[Any]:
    """The picture without `border` pixels on each side."""
    return picture[border : picture.shape[0] - border, border : picture.shape[1] - border]


def _placed(paths: camera.Poses, corner: tuple[int, int], trim: int) -> camera.Poses:
    """Homographies of the camera frame, for a source whose corner lies at `corner` (row, column) of that frame and an
    output that begins `trim` pixels inside it."""
    source = np.array([[1.0, 0, -corner[1]], [0, 1, -corner[0]], [0, 0, 1]])
    output = np.array([[1.0, 0, corner[1] + trim], [0, 1, corner[0] + trim], [0, 0, 1]])
    return np.asarray(source @ paths @ output)
