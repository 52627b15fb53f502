"""Fast image deconvolution using hyper-Laplacian priors (Krishnan, Fergus, NIPS 2009), and total variation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cnlrn.classical import fourier
from cnlrn.classical.borders import Observation
from cnlrn.classical.deconvolution import deconvolved
from cnlrn.classical.fourier import Float
from cnlrn.classical.pictures import checked, gray, noise_of
from cnlrn.errors import CnlrnError

_WEIGHTS = [2 ** (1.5 * i) for i in range(6)] + [256.0]
"""beta of the paper: from 1 to 256 by a factor of 2 sqrt(2) (section 2.3)."""
_ROUNDS = 10
"""Alternations for each beta: one in the paper, more here because what lies beyond the border is found by them."""
_TRUST = 0.05
"""Weight of k * x = v beside that of the data: the smaller, the faster borders are found, and the slower details."""


def hyper_laplacian(blurry: Float, kernel: Float, *, weight: float | None = None, exponent: float = 2 / 3) -> Float:
    """The sharp picture of a `blurry` one (h, w) or (h, w, c), floats in [0, 1], and a `kernel` (k, k).

    min_x weight / 2 |k * x - y|^2 + sum |dx x|^exponent + |dy x|^exponent (eq. 1), by half-quadratic splitting (eq. 3):
    the differences by a table (section 2.2), the picture by one division of spectra (eq. 4). Beyond the paper, k * x is
    split off as v, with multipliers (Almeida and Figueiredo, IEEE TIP 2013), so that borders and saturated pixels count
    as in `borders`. The `weight` is that of `weight_for` the noise when None. CnlrnError for what is no picture or
    kernel, an exponent outside (0, 1], or a weight that is not positive.
    """
    strength = weight_for(noise_of(gray(checked(blurry)))) if weight is None else weight
    if not 0 < exponent <= 1 or not strength > 0:
        raise CnlrnError("the exponent must be more than 0 and at most 1, and the weight more than 0")

    def solve(seen: Observation, kernel: Float) -> Float:
        blur = fourier.transfer(kernel, seen.shape)
        power, rough = fourier.squared(blur), fourier.roughness(seen.shape)
        whole, sharp = seen.blurry, seen.blurry
        multipliers = np.zeros_like(sharp)
        for beta in _WEIGHTS:
            share = np.float32(beta / strength / _TRUST)
            denominator = 1 / (power + share * rough)
            shrink = _Shrinkage(exponent, beta)
            for _ in range(_ROUNDS):
                differences = (shrink(part) for part in fourier.gradients(sharp))
                spectrum = blur.conj() * fourier.forward(whole - multipliers)
                spectrum += share * fourier.forward(fourier.adjoint(*differences))
                spectrum *= denominator
                sharp = fourier.backward(spectrum, seen.shape)
                predicted = fourier.backward(blur * spectrum, seen.shape) + multipliers
                whole = seen.completed(predicted, _TRUST)
                multipliers = predicted - whole
        return sharp

    return deconvolved(blurry, kernel, solve)


def weight_for(noise: float) -> float:
    """The weight that suits a standard deviation of noise, about 3000 for 1 %, and kernels that are not quite right."""
    return 0.3 / max(noise, 0.0055) ** 2


def total_variation(blurry: Float, kernel: Float, *, weight: float = 500.0) -> Float:
    """`hyper_laplacian` with the exponent 1: anisotropic total variation, as in Wang et al. (SIAM JIS 2008)."""
    return hyper_laplacian(blurry, kernel, weight=weight, exponent=1.0)


class _Shrinkage:
    """w(v) = argmin_w |w|^exponent + beta / 2 (w - v)^2 (eq. 5) for many v: a table, as in section 2.2."""

    def __init__(self, exponent: float, beta: float, entries: int = 4096, reach: float = 1.5) -> None:
        values = np.linspace(0, reach, entries)
        self._table = _shrunk(values, exponent, beta).astype(np.float32)
        self._scale = np.float32((entries - 1) / reach)

    def __call__(self, values: Float) -> Float:
        places = np.abs(values) * self._scale
        np.minimum(places, np.float32(len(self._table) - 1.001), out=places)
        below = places.astype(np.int32)
        low = self._table[below]
        return np.asarray(np.copysign(low + (self._table[below + 1] - low) * (places - below), values), np.float32)


def _shrunk(values: NDArray[np.float64], exponent: float, beta: float) -> NDArray[np.float64]:
    """The minimiser for each v >= 0: the larger root of the derivative by Newton's method, or zero if that is less."""
    if exponent == 1:
        return np.maximum(values - 1 / beta, 0)
    found = values.copy()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(30):
            slope = exponent * found ** (exponent - 1) + beta * (found - values)
            bend = exponent * (exponent - 1) * found ** (exponent - 2) + beta
            found = np.where(bend > 0, np.maximum(found - slope / bend, 0), 0)
        gain = found**exponent + beta / 2 * (found - values) ** 2 < beta / 2 * values**2
    return np.where(gain & np.isfinite(found), found, 0)
