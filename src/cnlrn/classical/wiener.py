"""Deconvolution by a Wiener filter (Wiener 1949): the best linear estimate for a spectrum that falls with frequency."""

from __future__ import annotations

import numpy as np

from cnlrn.classical import fourier
from cnlrn.classical.borders import Observation
from cnlrn.classical.deconvolution import deconvolved
from cnlrn.classical.fourier import Float

_ROUNDS = 4
"""How often what lies beyond the border is predicted anew."""
_SLOPE = 0.05
"""Standard deviation of the differences between neighbouring pixels of a natural picture."""


def wiener(blurry: Float, kernel: Float, *, noise: float = 0.01) -> Float:
    """The sharp picture of a `blurry` one (h, w) or (h, w, c), floats in [0, 1], and a `kernel` (k, k).

    X = conj(K) Y / (|K|^2 + noise^2 / S) with S = slope^2 / (|Dx|^2 + |Dy|^2), the spectrum of pictures whose
    neighbours differ independently. `noise` is the standard deviation of the noise of `blurry`. CnlrnError for what is
    no picture or kernel.
    """
    prior = np.float32((noise / _SLOPE) ** 2)

    def solve(seen: Observation, kernel: Float) -> Float:
        blur = fourier.transfer(kernel, seen.shape)
        inverse = blur.conj() / (fourier.squared(blur) + prior * fourier.roughness(seen.shape) + np.float32(1e-6))
        whole = seen.blurry
        for _ in range(_ROUNDS):
            spectrum = inverse * fourier.forward(whole)
            whole = seen.completed(fourier.backward(blur * spectrum, seen.shape))
        return fourier.backward(spectrum, seen.shape)

    return deconvolved(blurry, kernel, solve)
