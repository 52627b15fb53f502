"""Weights in files: read safetensors and PyTorch checkpoints into a network, write float16 safetensors.

A PyTorch file is only ever read with `weights_only=True`, so no code in it can run. A file that cannot be read or does
not fit is a CnlrnError that says why. The trainer's own checkpoints (optimiser, step, random states) are not made here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cnlrn.errors import CnlrnError
from cnlrn.files import replacing

_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model")  # the first that a file has is taken
_PARALLEL_PREFIX = "module."  # torch.nn.DataParallel puts it before every name
_NAMES_SHOWN = 10


def load_checkpoint(net: nn.Module, path: str | Path) -> None:
    """Load the weights in a .safetensors, .pth or .pt file into `net`, cast to its types.

    Raises:
        CnlrnError: the file cannot be read, or tensors are missing, unexpected or of another shape than in `net`, which
            is then unchanged.
    """
    state = read_checkpoint(path)
    expected = net.state_dict()
    other_shape = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    problems = {
        "missing": [name for name in expected if name not in state],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": other_shape,
    }
    if any(problems.values()):
        found = "; ".join(f"{len(names)} {what}: {_shortened(names)}" for what, names in problems.items() if names)
        raise CnlrnError(f"The weights in {path} are not those of {type(net).__name__}: {found}.")
    net.load_state_dict(state)


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Read name -> tensor, on the CPU, from a .safetensors, .pth or .pt file.

    A PyTorch file may keep its weights in an entry such as "state_dict" or "params" ("params_ema" is preferred), and
    "module." before every name, as torch.nn.DataParallel does; both are taken off.

    Raises:
        CnlrnError: there is no such file, it is damaged, or holds something else than weights.
    """
    path = Path(path)
    if not path.is_file():
        raise CnlrnError(f"There is no file of weights at {path}.")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise CnlrnError(f"{path} cannot be read as safetensors, is it whole? ({error})") from error
    if path.suffix not in (".pth", ".pt"):
        raise CnlrnError(f"Weights are read from .safetensors, .pth and .pt files, not from {path}.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise CnlrnError(
            f"{path} cannot be read as PyTorch weights: it is damaged or holds more than tensors."
        ) from error
    return _state_dict(content, path)


def save_weights(weights: nn.Module | Mapping[str, Tensor], path: str | Path, half: bool = True) -> None:
    """Write a network's weights, or a state dict, to a .safetensors file.

    The file appears whole or not at all: it is written beside `path` and renamed.

    Args:
        weights: a network, or name -> tensor, on any device.
        path: ends in .safetensors; missing folders are made, an existing file is replaced.
        half: floating-point tensors are written as float16 (`load_checkpoint` casts them back).

    Raises:
        CnlrnError: `path` ends otherwise or cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CnlrnError(f"Weights are written to .safetensors files, not to {path}.")
    state = weights.state_dict() if isinstance(weights, nn.Module) else weights
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).detach().cpu().contiguous().clone()
        for name, tensor in state.items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(save(tensors))  # safetensors' own save_file hides the file from other users
    except (SafetensorError, OSError) as error:
        raise CnlrnError(f"The weights cannot be written to {path}: {error}") from error


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """Take the wrappers off what a PyTorch file holds."""
    while isinstance(content, Mapping) and (wrapper := next((key for key in _WRAPPERS if key in content), None)):
        content = content[wrapper]
    entries = content.items() if isinstance(content, Mapping) else ()
    if not entries or not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in entries):
        raise CnlrnError(f"{path} holds no weights: a dictionary of names and tensors was expected.")
    parallel = all(name.startswith(_PARALLEL_PREFIX) for name, _ in entries)
    return {name.removeprefix(_PARALLEL_PREFIX) if parallel else name: tensor for name, tensor in entries}


def _shortened(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
