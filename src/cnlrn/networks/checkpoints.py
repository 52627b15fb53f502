"""Weights in files: read safetensors and PyTorch checkpoints into a network, write float16 safetensors.

A PyTorch file is only ever read with `weights_only=True`, so no code in it can run. A file that cannot be read or does
not fit is a CnlrnError that says why. The trainer's own checkpoints (optimiser, step, random states) are not made here.
"""

import re
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cnlrn.errors import CnlrnError
from cnlrn.files import replacing

Weights = dict[str, Tensor]

_PYTORCH = (".pth", ".pt", ".pkl", ".ckpt", ".bin", ".tar", ".h5")  # DeblurGAN-v2's authors call such files .h5
# Where public programs keep a network's weights in a checkpoint; averages of weights come first.
_ENTRIES = (
    *("params_ema", "ema_params", "state_dict_ema", "model_ema", "generator_ema", "g_ema", "ema"),
    *("params", "state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights"),
    *("generator", "generator_state_dict", "netG", "net_g", "net_G", "G", "gen"),
)
# What public programs put before every name: wrappers of torch, and attributes that hold the network.
_WRAPPERS = ("module.", "_orig_mod.")
_PREFIXES = (
    *("generator_ema.", "net_g_ema.", "model_ema.", "ema_model.", "ema."),
    *(*_WRAPPERS, "generator.", "netG.", "net_g.", "net_G.", "network.", "model.", "net."),
)
_DEEPEST = 8  # entries within entries
_MOST_ENTRIES = 10_000
_MOST_PREFIXES = 32
_COUNTER = "num_batches_tracked"  # of normalisations; absent from files of PyTorch before 0.4.1, and of no effect here
_NAMES_SHOWN = 10


def load_checkpoint(net: nn.Module, path: str | Path) -> None:
    """Load the weights in a .safetensors, .pth or .pt file (or another that torch wrote) into `net`, cast to its types.

    Weights are found in entries such as "state_dict", "params_ema" or "generator", and behind prefixes such as
    "module." or "generator.", whatever else there is beside them; averages of weights are preferred. As in torch,
    counters of batches (`num_batches_tracked`) may be missing.

    Raises:
        CnlrnError: the file cannot be read, or tensors are missing, unexpected or of another shape than in `net`, which
            is then unchanged.
    """
    expected = net.state_dict()
    views = (view for state in _read(Path(path)) for view in _views(state))
    state = max(views, key=lambda view: len(expected.keys() & view.keys()))  # of equals the first
    other_shape = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    problems = {
        "missing": [name for name in expected if name not in state and not name.endswith(_COUNTER)],
        "unexpected": [name for name in state if name not in expected],
        "of another shape": other_shape,
    }
    if any(problems.values()):
        found = "; ".join(f"{len(names)} {what}: {_shortened(names)}" for what, names in problems.items() if names)
        raise CnlrnError(f"The weights in {path} are not those of {type(net).__name__}: {found}.")
    net.load_state_dict(state)


def read_checkpoint(path: str | Path) -> Weights:
    """Read name -> tensor, on the CPU, from a .safetensors, .pth or .pt file (or another that torch wrote).

    A PyTorch file may keep its weights in an entry such as "state_dict" or "params" ("params_ema" is preferred), and
    "module." or "_orig_mod." before every name, as torch's wrappers do; these are taken off. What other prefixes stand
    for only `load_checkpoint` can tell.

    Raises:
        CnlrnError: there is no such file, it is damaged, or holds something else than weights.
    """
    state = next(iter(_read(Path(path))))
    for _ in range(_MOST_PREFIXES):
        prefix = next((prefix for prefix in _WRAPPERS if all(name.startswith(prefix) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


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


def _read(path: Path) -> list[Weights]:
    """All that may be the weights in a file, the likeliest first; CnlrnError where there is none."""
    if not path.is_file():
        raise CnlrnError(f"There is no file of weights at {path}.")
    if path.suffix == ".safetensors":
        try:
            return [load_file(path)]
        except (SafetensorError, OSError) as error:
            raise CnlrnError(f"{path} cannot be read as safetensors, is it whole? ({error})") from error
    if path.suffix not in _PYTORCH:
        raise CnlrnError(f"Weights are read from .safetensors, .pth and .pt files, not from {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can fail in any way
        raise CnlrnError(_why_unreadable(path, error)) from error
    found = list(_state_dicts(content))
    if not found:
        raise CnlrnError(f"{path} holds no weights: a dictionary of names and tensors was expected.")
    return found


def _why_unreadable(path: Path, error: Exception) -> str:
    """What is wrong with a PyTorch file that cannot be read, and what to do."""
    objects = re.search(r"GLOBAL (\S+)|[Uu]nsupported (?:class|global) (\S+)", str(error))
    if "TorchScript" in str(error):
        names = "TorchScript"
        load = f"torch.jit.load({str(path)!r}, map_location='cpu')"
    elif objects is None and "persistent" not in str(error):
        return f"{path} cannot be read as PyTorch weights: it is damaged or holds more than tensors."
    else:
        names = "".join(filter(str.isprintable, objects[1] or objects[2]))[:100] if objects else "a network"
        load = f"torch.load({str(path)!r}, map_location='cpu', weights_only=False)"
    return (
        f"{path} cannot be read as PyTorch weights: it holds more than tensors, namely Python objects ({names}), as "
        "a network that was pickled whole does, and reading them could run any program. If you trust it, run this "
        "where its authors' code can be imported, then give weights.pth: import torch; "
        f"whole = {load}; torch.save(whole.state_dict(), 'weights.pth') - and where whole is a dictionary, save its "
        "entry of weights instead, such as whole['state_dict']."
    )


def _state_dicts(content: object) -> Iterator[Weights]:
    """The dictionaries of names and tensors in what a PyTorch file holds, the outermost and likeliest first.

    A dictionary may hold itself, so each is visited once; their depth and number are bounded.
    """
    waiting: deque[tuple[object, int]] = deque([(content, 0)])
    seen: set[int] = set()
    while waiting and len(seen) < _MOST_ENTRIES:
        part, depth = waiting.popleft()
        if not isinstance(part, Mapping) or id(part) in seen:
            continue
        seen.add(id(part))
        if part and all(_usable(name, tensor) for name, tensor in part.items()):
            yield dict(part)
        elif depth < _DEEPEST:
            known = [name for name in _ENTRIES if name in part]
            others = [name for name, inner in part.items() if name not in known and isinstance(inner, Mapping)]
            waiting.extend((part[name], depth + 1) for name in (*known, *others))


def _views(state: Weights) -> Iterator[Weights]:
    """The weights as they are, then those of each part that has a known prefix, without it, and so on."""
    waiting = deque([state])
    for _ in range(_MOST_PREFIXES):
        if not waiting:
            break
        view = waiting.popleft()
        yield view
        for prefix in _PREFIXES:
            part = {name.removeprefix(prefix): tensor for name, tensor in view.items() if name.startswith(prefix)}
            if part:
                waiting.append(part)


def _usable(name: object, tensor: object) -> bool:
    """Whether it is a name and a plain tensor with values, which can be copied into a network."""
    return (
        isinstance(name, str)
        and isinstance(tensor, Tensor)
        and tensor.layout is torch.strided
        and not (tensor.is_quantized or tensor.is_meta)
    )


def _shortened(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    names = [name[:100] for name in names]
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
