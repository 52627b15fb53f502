"""Muon: momentum made orthogonal, for the kernels inside a network.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with the scale of Liu et al.,
"Muon is scalable for LLM training" (2025), which makes an update as large as Adam's.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

_LEAST = 16
"""Channels in and out that a kernel needs: narrower ones lead from a picture or to one, which is Adam's."""
_MOMENTUM = 0.95
_SIZE = 0.2
"""Root mean square of an update in learning rates, about that of Adam's."""
_EPSILON = 1e-8


class Muon(torch.optim.Optimizer):
    """Steps along the nearest orthogonal matrix to a kernel's momentum, so that no direction of it learns slowly.

    A kernel (out, in, ...) is taken as a matrix of `out` rows. What has fewer than 16 channels in or out, as the layers
    that read and give pictures, and all that is no kernel, is learned by Adam at the same rate.
    """

    def __init__(self, params: Iterable[Any], lr: float, betas: tuple[float, float]) -> None:
        """`params` as for `torch.optim.Adam`; `betas` are those of Adam for what is not orthogonalised."""
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    learn = self._orthogonally if _is_inner_kernel(parameter) else self._as_adam
                    learn(parameter, parameter.grad, group["lr"], group["betas"])

    def _orthogonally(self, parameter: Parameter, gradient: Tensor, lr: float, _: tuple[float, float]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        direction = orthogonalised(gradient.lerp(momentum, _MOMENTUM).flatten(1))
        parameter.sub_(direction.view(gradient.shape), alpha=lr * _SIZE * max(direction.shape) ** 0.5)

    def _as_adam(self, parameter: Parameter, gradient: Tensor, lr: float, betas: tuple[float, float]) -> None:
        state = self.state[parameter]
        if not state:
            state.update(step=torch.zeros(()), mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
        state["step"] += 1
        mean = state["mean"].lerp_(gradient, 1 - betas[0])
        square = state["square"].lerp_(gradient**2, 1 - betas[1])
        unbiased, scale = (1 - beta ** float(state["step"]) for beta in betas)
        parameter.addcdiv_(mean, (square / scale).sqrt_().add_(_EPSILON), value=-lr / unbiased)


def _is_inner_kernel(parameter: Parameter) -> bool:
    return parameter.ndim > 1 and min(parameter.shape[:2]) >= _LEAST


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix with the singular vectors of `matrix` (rows, columns) and singular values near 1, between 0.7 and 1.2.

    Five Newton-Schulz steps X <- a X + b (X X^T) X + c (X X^T)^2 X, whose numbers are those of Jordan et al.; singular
    values below a thousandth of the norm are left smaller.
    """
    turned = matrix.shape[0] > matrix.shape[1]
    x: Tensor = (matrix.T if turned else matrix) / (matrix.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.T if turned else x
