"""Sharp picture + recipe + seed -> blurry LR picture.

The same three give the same bytes at any number of threads. On another kind of processor all random choices are the
same and a few values in 100,000 may differ by 1, where OpenCV warps by other instructions.

The order is that of a camera: motion and optics in linear light, clipping, the camera response, for an LR picture the
reduction by 4 with the paper's bicubic on picture values (as the REDS data were made), noise, 8 bits, JPEG. What is
drawn at random is drawn from the ranges of the recipe only.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from cnlrn.degradation import camera, optics, sensor
from cnlrn.degradation.facts import Facts, Motion
from cnlrn.degradation.resize import bicubic
from cnlrn.errors import CnlrnError, cut

Byte = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]

SCALE = 4
_HALO = 8
"""HR pixels beyond a patch that the bicubic reduction by 4 still reads."""


@dataclass(frozen=True)
class Recipe:
    """How pictures become blurry, and small if `scale` is 4, as plain data.

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
    scale: Literal[1, 4] = 4
    """By how much pictures are reduced; 1 leaves photos at their own size."""
    mosaic: bool = False
    """Whether noise is that of a sensor whose pixels see one colour each."""
    lights_share: float = 0.0
    """Of pictures that are made darker but for their lights, which are beyond white: so shaken lights leave trails."""
    lights_exposure: tuple[float, float] = (0.3, 1.0)
    lights_factor: tuple[float, float] = (1.3, 20.0)
    jpeg_full_chroma_share: float = 0.0
    """Of JPEG files that keep all chroma samples."""
    jpeg_twice_share: float = 0.0
    """Of JPEG files that are decoded and encoded once more."""

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
    "own": Recipe(
        name="own",
        extents=((0.35, 0, 0), (0.2, 1, 8), (0.25, 8, 24), (0.2, 24, 64)),
        aligned="centroid",
        uniform_share=0.1,
        foreground_share=0.12,
        defocus_share=0.22,
        defocus_radius=(1.0, 12.0),
        gaussian_share=0.15,
        gaussian_sigma=(0.5, 4.0),
        noise_share=0.5,
        photon_noise=(0.0, 1.5e-3),
        read_noise=(0.0, 6e-3),
        jpeg_share=0.7,
        jpeg_quality=(60, 97),
        scale=1,
        mosaic=True,
        lights_share=0.3,
        jpeg_full_chroma_share=0.25,
        jpeg_twice_share=0.1,
    ),
}


@dataclass(frozen=True)
class Pair:
    """A blurry picture and the sharp one, both uint8 HWC RGB; `sharp` is exactly 4 times as wide and high as an LR
    picture, and of the same size where the recipe's scale is 1. `facts` tell what was done."""

    lr: Byte
    sharp: Byte
    facts: Facts


def recipe(name: str) -> Recipe:
    """The recipe of this name; CnlrnError names the known ones."""
    if name not in RECIPES:
        raise CnlrnError(f"unknown degradation recipe '{cut(name)}'; choose one of {', '.join(RECIPES)}")
    return RECIPES[name]


def degrade(sharp: Byte, recipe: Recipe, seed: int) -> Pair:
    """Degrade a whole picture (uint8 HWC RGB, at least 4x4).

    The picture is first cropped to multiples of the recipe's scale. Source: the construction of REDS (Nah et al., CVPRW
    2019), on which the paper trains.
    """
    height, width = (side - side % recipe.scale for side in sharp.shape[:2])
    if not height or not width:
        raise CnlrnError(
            f"a picture of {sharp.shape[1]}x{sharp.shape[0]} is too small to reduce by 4; give at least 4x4"
        )
    margin = recipe.margin
    padded = np.pad(sharp[:height, :width], ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    return _degrade(padded, (height, width), (0, 0), recipe, np.random.default_rng(seed))


def degrade_patch(crop: Byte, recipe: Recipe, rng: np.random.Generator) -> Pair:
    """Degrade a training crop (uint8 HWC RGB, patch + 2 x `recipe.margin`, the patch a multiple of 4).

    The patch is taken to lie anywhere in a camera frame three times its size, so that it sees the blur that a shaken
    camera gives there. The sharp picture is the crop's centre.
    """
    margin = recipe.margin
    height, width = (side - 2 * margin for side in crop.shape[:2])
    frame = (3 * height, 3 * width)
    place = (int(rng.integers(0, 2 * height + 1)), int(rng.integers(0, 2 * width + 1)))
    return _degrade(crop, frame, place, recipe, rng)


def _degrade(
    padded: Byte, frame: tuple[int, int], place: tuple[int, int], recipe: Recipe, rng: np.random.Generator
) -> Pair:
    """The chain on a picture with `recipe.margin` around it, whose inner corner lies at `place` (row, column) of the
    camera `frame` (height, width)."""
    cv2.ipp.setUseIPP(False)  # which only some processors have, and which warps otherwise; a setting of this thread
    response: Literal["gamma", "srgb"] = "gamma" if rng.random() < 0.5 else "srgb"
    light: Float | None = None
    sharp = _trimmed(padded, recipe.margin)
    if recipe.lights_share and rng.random() < recipe.lights_share:
        exposure = rng.uniform(*recipe.lights_exposure)
        factor = np.exp(rng.uniform(*np.log(recipe.lights_factor)))
        light = sensor.beyond_white(sensor.to_light(padded, response), exposure, factor)
        sharp = sensor.to_bytes(sensor.from_light(_trimmed(light, recipe.margin), response))
    picture, facts = _blur(padded, light, frame, place, recipe, rng, response)
    if recipe.scale > 1:
        picture = bicubic(picture, 1 / recipe.scale)
    blurry, facts = captured(_trimmed(picture, _HALO // recipe.scale), facts, recipe, rng, response)
    return Pair(np.ascontiguousarray(blurry), np.ascontiguousarray(sharp), facts)


def captured(
    picture: Float, facts: Facts, recipe: Recipe, rng: np.random.Generator, response: Literal["gamma", "srgb"]
) -> tuple[Byte, Facts]:
    """The second half of the chain: what the sensor and the file of a `recipe` make of picture values (HWC in [0, 1])
    of which `facts` are known, and the facts with noise and quality."""
    if rng.random() < recipe.noise_share:
        photon, read = rng.uniform(*recipe.photon_noise), rng.uniform(*recipe.read_noise)
        noisy = sensor.add_noise(picture, photon, read, rng, response, recipe.mosaic)
        facts = replace(facts, noise=255 * float(np.sqrt(np.square(noisy - picture).mean())))
        picture = noisy
    blurry = sensor.to_bytes(picture)
    if rng.random() < recipe.jpeg_share:
        low, high = recipe.jpeg_quality
        for _ in range(2 if recipe.jpeg_twice_share and rng.random() < recipe.jpeg_twice_share else 1):
            quality = int(rng.integers(low, high + 1))
            full_chroma = bool(recipe.jpeg_full_chroma_share) and rng.random() < recipe.jpeg_full_chroma_share
            blurry = sensor.jpeg(blurry, quality, full_chroma)
            facts = replace(facts, jpeg_quality=min(facts.jpeg_quality, quality))
    return blurry, facts


def _blur(
    padded: Byte,
    light: Float | None,
    frame: tuple[int, int],
    place: tuple[int, int],
    recipe: Recipe,
    rng: np.random.Generator,
    response: Literal["gamma", "srgb"],
) -> tuple[Float, Facts]:
    """Motion and optics; picture values in [0, 1] of the patch with _HALO around it, and what was done. `light` is that
    of the scene where it is not simply that of the picture."""
    shares = np.array([share for share, _, _ in recipe.extents])
    _, least, most = recipe.extents[rng.choice(len(shares), p=shares / shares.sum())]
    extent = float(rng.uniform(least, most))
    uniform = rng.random() < recipe.uniform_share
    foreground = rng.random() < recipe.foreground_share
    kernels = []
    radius, sigma, motion = 0.0, 0.0, Motion()
    if rng.random() < recipe.defocus_share:
        radius = rng.uniform(*recipe.defocus_radius)
        kernels.append(optics.disk_psf(radius))
    if rng.random() < recipe.gaussian_share:
        sigma = rng.uniform(*recipe.gaussian_sigma)
        kernels.append(optics.gaussian_psf(sigma))
    trim = recipe.margin - _HALO
    if extent <= 0 and not kernels and light is None:
        return _trimmed(padded, trim).astype(np.float32) / np.float32(255), Facts()

    light = sensor.to_light(padded, response) if light is None else light
    if extent > 0 and uniform:
        path = _motion(recipe, rng, 65)[:, :2]
        motion = Motion.along(path, extent / recipe.scale)
        kernels.append(optics.trajectory_psf(path, extent))
    elif extent > 0:
        count = camera.instants(extent, recipe.scale)
        corner = (place[0] - recipe.margin, place[1] - recipe.margin)
        early = 0 if kernels else trim  # what no kernel reads need not be exposed
        size = (light.shape[0] - 2 * early, light.shape[1] - 2 * early)
        shaken = camera.homographies(_motion(recipe, rng, count), extent, frame)
        paths = _placed(shaken, corner, early)
        patch = (light.shape[0] - 2 * recipe.margin, light.shape[1] - 2 * recipe.margin)
        seen = camera.tracks(_placed(shaken, corner, recipe.margin), patch)
        motion = Motion.along(seen[:, 4], camera.extent_of(seen) / recipe.scale)
        if foreground:
            own = camera.homographies(_motion(recipe, rng, count), float(rng.uniform(0, most)), frame)
            mask = camera.soft_mask(rng, light.shape[:2])
            light = camera.expose_layers(light, mask, paths, _placed(own, corner, early), size)
        else:
            light = camera.expose(light, paths, size)
        trim -= early
    for kernel in kernels:
        light = optics.convolve(light, kernel)
    facts = Facts(motion, radius / recipe.scale, sigma / recipe.scale)
    return sensor.from_light(_trimmed(light, trim), response), facts


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
    return camera.product(source, paths, output)
