"""The devices and processes of a run: which there are, how they agree, and what to tell a person where they fail."""

import contextlib
import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor

from cnlrn.errors import CnlrnError
from cnlrn.networks import memory


def open_fabric(devices: int | None) -> Fabric:
    """`devices` GPUs, or processes on a CPU, not launched yet; None is all GPUs, or one process.

    CnlrnError where there are fewer GPUs.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    gpus = torch.cuda.device_count()
    if devices and 0 < gpus < devices:
        raise CnlrnError(f"devices is {devices}, but there are {gpus} GPUs; lower it")
    return Fabric(devices=devices or "auto")


def launch(fabric: Fabric) -> None:
    """Start the other processes, each of which runs the same command, and share the cores of a CPU among them."""
    if fabric.device.type != "cuda":
        _keep_memory()
        if fabric.world_size > 1:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // fabric.world_size))
    fabric.launch()


def precision(choice: Literal["auto", "bf16", "float32"]) -> Literal["bf16", "float32"]:
    """What products are computed in; auto is bf16 where CUDA, or AVX512-BF16 or AMX of the CPU, multiply it."""
    if choice != "auto":
        return choice
    on_cpu = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    native = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else on_cpu
    return "bf16" if native else "float32"


def mean(fabric: Fabric, value: Tensor) -> Tensor:
    """The mean of `value` over all processes."""
    averaged = fabric.all_reduce(value, reduce_op="mean")
    assert isinstance(averaged, Tensor)
    return averaged


def by_the_first(fabric: Fabric, work: Callable[[], None]) -> None:
    """Have the first process do something while the others wait, and all end where it fails."""
    failed = None
    if fabric.is_global_zero:
        try:
            work()
        except CnlrnError as error:
            failed = error
    if fabric.broadcast(failed is not None):
        raise failed or SystemExit(0)  # the first process says why


@contextlib.contextmanager
def explaining_failures(out: Path) -> Iterator[None]:
    """Make CnlrnErrors, which say what to do, of failures of the machine while a run in the folder `out` trains."""
    try:
        yield
    except RuntimeError as error:
        if sentence := _sentence(error):
            raise CnlrnError(sentence) from error
        raise
    except OSError as error:  # of a full disk, which seldom says of which file it is
        raise CnlrnError(f"{error.filename or out}: {error.strerror or error}") from error
    except CnlrnError as error:  # out of a data worker it comes with a traceback before its message
        raise CnlrnError(str(error).strip().rpartition("CnlrnError: ")[2]) from error


def _sentence(error: RuntimeError) -> str | None:
    """What to tell of an error that the machine is at fault for; None of any other."""
    text = str(error)
    if memory.ran_out(error):
        return "memory ran out; lower batch, or train smaller patches (data.patch) or a smaller network"
    if "DataLoader worker" in text:
        return (
            "a process that makes samples was killed, most often for want of memory, or of room in /dev/shm "
            "(docker run --shm-size=...); lower workers (0 is none), and run the same command: it resumes"
        )
    if "onnection closed by peer" in text or "onnection reset by peer" in text:
        return "another process of this run ended; its output says why, and the same command resumes"
    return None


def _keep_memory() -> None:
    """Have glibc keep what is freed: every step takes the same arrays again, and it takes an eighth of a step to give
    them back to the system and have them cleared anew. Nothing happens where there is no glibc."""
    m_trim_threshold, m_top_pad, m_mmap_threshold = -1, -2, -3  # malloc.h
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(m_trim_threshold, 2**31 - 1)
        mallopt(m_top_pad, 2**28)
        mallopt(m_mmap_threshold, 2**30)
