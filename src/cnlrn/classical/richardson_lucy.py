"""Deconvolution by Richardson (JOSA 1972) and Lucy (Astronomical Journal 1974): likely light for Poisson noise."""

from __future__ import annotations

import numpy as np

from cnlrn.classical import fourier
from cnlrn.classical.borders import Observation
from cnlrn.classical.deconvolution import deconvolved
from cnlrn.classical.fourier import Float

_DARKEST = np.float32(1e-3)


def richardson_lucy(blurry: Float, kernel: Float, *, steps: int = 30, smoothness: float = 0.002) -> Float:
    """The sharp picture of a `blurry` one (h, w) or (h, w, c), floats in [0, 1], and a `kernel` (k, k).

    x <- x K'(y / Kx) / (1 - smoothness div(grad x / |grad x|)): the steps of Richardson and Lucy, with the total
    variation of Dey et al. (Microscopy Research and Technique 2006) against ringing; a smoothness of 0 is the original.
    Saturated pixels count as in Whyte et al. (IJCV 2014). CnlrnError for what is no picture or kernel.
    """

    def solve(seen: Observation, kernel: Float) -> Float:
        blur = fourier.transfer(kernel, seen.shape)
        sharp: Float = np.maximum(seen.blurry, _DARKEST, dtype=np.float32)
        for _ in range(steps):
            predicted = fourier.backward(blur * fourier.forward(sharp), seen.shape).clip(_DARKEST)
            ratio = seen.completed(predicted) / predicted
            ratio = fourier.backward(blur.conj() * fourier.forward(ratio), seen.shape)
            if smoothness:
                across, down = fourier.gradients(sharp)
                length = np.asarray(np.sqrt(across**2 + down**2 + _DARKEST**2), np.float32)
                ratio /= 1 + np.float32(smoothness) * fourier.adjoint(across / length, down / length)
            sharp = np.maximum(sharp * ratio, _DARKEST, dtype=np.float32)
        return sharp

    return deconvolved(blurry, kernel, solve)
