"""Muon: momentum made orthogonal, for the kernels inside a network.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), with the scale of Liu et al.,
"Muon is scalable for LLM training" (2025), which makes an update as large as Adam's.
"""

import typing
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim.adam import adam

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

    def __init__(self, params: Iterable[Any], lr: float, betas: tuple[float, float], weight_decay: float = 0.0) -> None:
        """`params` as for `torch.optim.Adam`; `betas` are those of Adam for what is not orthogonalised.

        A step takes `weight_decay` x `lr` of itself from each kernel that is: its updates are of one size even where
        gradients are noise, so without it such kernels grow as long as training lasts.
        """
        fused = True  # Adam's part, whose counts of steps a resumed run therefore finds on its device
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "fused": fused})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            others: list[Parameter] = []
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if _is_inner_kernel(parameter):
                    alike.setdefault(parameter.shape, []).append(parameter)
                else:
                    others.append(parameter)
            self._as_adam(others, group["lr"], group["betas"])
            for kernels in alike.values():
                torch._foreach_mul_(kernels, 1 - group["lr"] * group["weight_decay"])
                self._orthogonally(kernels, group["lr"])

    def _orthogonally(self, kernels: list[Tensor], lr: float | Tensor) -> None:
        """Update kernels of one shape together: many small products take longer one by one."""
        gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
        for kernel, gradient in zip(kernels, gradients, strict=True):
            if not self.state[kernel]:
                self.state[kernel]["momentum"] = torch.zeros_like(gradient)
        momenta = [self.state[kernel]["momentum"] for kernel in kernels]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        ahead = torch._foreach_lerp(gradients, momenta, _MOMENTUM)
        directions = orthogonalised(torch.stack([direction.flatten(1) for direction in ahead]))
        size = _SIZE * max(directions.shape[1:]) ** 0.5
        steps = [direction.view(kernels[0].shape) for direction in directions * (-lr * size)]
        torch._foreach_add_(kernels, steps)

    def _as_adam(self, parameters: list[Parameter], lr: float | Tensor, betas: tuple[float, float]) -> None:
        for parameter in parameters:
            if not self.state[parameter]:
                for name in ("mean", "square"):
                    self.state[parameter][name] = torch.zeros_like(parameter)
                self.state[parameter]["step"] = torch.zeros((), device=parameter.device)
        means, squares, steps = ([self.state[p][name] for p in parameters] for name in ("mean", "square", "step"))
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        adam(
            typing.cast(list[Tensor], parameters),
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=betas[0],
            beta2=betas[1],
            lr=lr,
            weight_decay=0,
            eps=_EPSILON,
            maximize=False,
        )


def _is_inner_kernel(parameter: Parameter) -> bool:
    return parameter.ndim > 1 and min(parameter.shape[:2]) >= _LEAST


def orthogonalised(matrices: Tensor) -> Tensor:
    """Matrices with the singular vectors of `matrices` (..., rows, columns) and singular values near 1: 0.7 to 1.2.

    Five Newton-Schulz steps X <- P X, P = a + b X X^T + c (X X^T)^2, whose numbers are those of Jordan et al.; singular
    values below a thousandth of the norm are left smaller. The steps are taken on G = X X^T, the smaller matrix, as
    G <- P G P, and their product applied to X once, in float32: half the work.
    """
    turned = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if turned else matrices
    with torch.autocast(x.device.type, enabled=False):
        x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
        gram = x @ x.mT
        product = torch.eye(gram.shape[-1], device=x.device).expand_as(gram)
        for _ in range(5):
            polynomial = -4.7750 * gram + 2.0315 * gram @ gram
            polynomial.diagonal(dim1=-2, dim2=-1).add_(3.4445)
            gram = polynomial @ gram @ polynomial
            product = polynomial @ product
        x = product @ x
    return x.mT if turned else x
