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


def add_noise(
    values: Float, photon: float, read: float, rng: np.random.Generator, response: str, mosaic: bool = False
) -> Float:
    """Photon (shot) and read noise on picture values in [0, 1], added where it arises, in linear light:

    L' = L + sqrt(photon * L + read^2) n, n ~ N(0, 1) (Foi et al., IEEE TIP 2008, eq. 5). Clipped to [0, 1]. With
    `mosaic` each pixel of the sensor sees one colour, and the noise of the others is that of their neighbours.
    """
    light = _decode(np.clip(values, 0, 1).astype(np.float64), response)
    noise = np.sqrt(photon * light + read**2) * rng.standard_normal(light.shape)
    noisy = light + (demosaiced(noise) if mosaic else noise)
    return _encode(np.clip(noisy, 0, 1), response).astype(np.float32)


def demosaiced(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """What bilinear interpolation makes of the samples (HWC RGB) that a Bayer sensor keeps: red at even rows and
    columns, blue at odd ones, green elsewhere."""
    rows, columns = np.indices(samples.shape[:2]) % 2
    kept = np.stack([(rows == 0) & (columns == 0), rows != columns, (rows == 1) & (columns == 1)], axis=2) * samples
    corner = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    cross = np.array([[0.0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 4
    planes = [
        cv2.filter2D(kept[..., c], -1, k, borderType=cv2.BORDER_REFLECT_101)
        for c, k in enumerate((corner, cross, corner))
    ]
    return np.asarray(np.stack(planes, axis=2))


def beyond_white(light: Float, exposure: float, factor: float) -> Float:
    """Linear light (HWC in [0, 1]) as it was before it was clipped, in a scene lit at `exposure` times as much: its
    brightest parts, the upper 3% of pixels, are up to `factor` times as bright."""
    brightest = light.max(axis=2, keepdims=True)
    level = np.quantile(brightest[::4, ::4], 0.97)
    share = np.clip((brightest - level) / (1.02 - level), 0, 1)
    return np.asarray(light * np.float32(exposure) * (1 + np.float32(factor - 1) * share), np.float32)


def to_bytes(values: Float) -> Byte:
    """Picture values in [0, 1] (clipped) to uint8, rounded to nearest."""
    return np.asarray(np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8))


def jpeg(picture: Byte, quality: int, full_chroma: bool = False) -> Byte:
    """The picture after a JPEG file of this quality (1 to 100), 4:2:0 as phones and messengers write it, or 4:4:4."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if full_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    _, data = cv2.imencode(".jpg", picture[..., ::-1], options)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB), np.uint8)
