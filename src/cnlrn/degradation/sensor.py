"""From light to a file: camera response, photon and read noise, 8-bit rounding, JPEG."""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]
Byte = npt.NDArray[np.uint8]

RESPONSES = ("gamma", "srgb")
_LEVELS = 4096


def _decode(values: npt.NDArray[np.float64], response: str) -> npt.NDArray[np.float64]:
    """Picture value in [0, 1] to linear light: v^2.2, or the sRGB curve (IEC 61966-2-1)."""
    if response == "gamma":
        return values**2.2
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _encode(light: npt.NDArray[np.float64], response: str) -> npt.NDArray[np.float64]:
    """The inverse of `_decode`."""
    if response == "gamma":
        return np.asarray(light ** (1 / 2.2))
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


@lru_cache(maxsize=4)
def _tables(response: str) -> tuple[Float, Float]:
    decode = _decode(np.arange(256) / 255, response)
    encode = _encode(np.linspace(0, 1, _LEVELS) ** 2, response)  # indexed by sqrt(light), finer in the shadows
    return decode.astype(np.float32), encode.astype(np.float32)


def to_light(picture: Byte, response: str) -> Float:
    """uint8 picture to linear light, float32 in [0, 1]; `response` is one of RESPONSES."""
    return np.asarray(cv2.LUT(picture, _tables(response)[0]))


def from_light(light: Float, response: str) -> Float:
    """Linear light in [0, 1] (clipped) to picture values, float32 in [0, 1], to 12 bits."""
    index = np.sqrt(np.clip(light, 0, 1)) * np.float32(_LEVELS - 1) + np.float32(0.5)
    return np.asarray(_tables(response)[1][index.astype(np.int32)])


def add_noise(values: Float, photon: float, read: float, rng: np.random.Generator, response: str) -> Float:
    """Photon (shot) and read noise on picture values in [0, 1], added where it arises, in linear light:

    L' = L + sqrt(photon * L + read^2) n, n ~ N(0, 1) (Foi et al., IEEE TIP 2008, eq. 5). Clipped to [0, 1].
    """
    light = _decode(np.clip(values, 0, 1).astype(np.float64), response)
    noisy = light + np.sqrt(photon * light + read**2) * rng.standard_normal(light.shape)
    return _encode(np.clip(noisy, 0, 1), response).astype(np.float32)


def to_bytes(values: Float) -> Byte:
    """Picture values in [0, 1] (clipped) to uint8, rounded to nearest."""
    return np.asarray(np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8))


def jpeg(picture: Byte, quality: int) -> Byte:
    """The picture after a JPEG file of this quality (1 to 100, 4:2:0 as cameras and messengers write it)."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
