"""Whether this process is a copy, by fork, of one that has restored pictures.

The threads of libvips and ONNX Runtime do not live through a fork, and a copy that uses either waits for them for ever.
"""

from __future__ import annotations

import os

from cnlrn.errors import CnlrnError

_used_in: int | None = None


def check() -> None:
    """Call before what starts threads.

    Raises:
        CnlrnError: this process was forked from one in which `check` was called.
    """
    global _used_in
    here = os.getpid()
    if _used_in is None:
        _used_in = here
    elif _used_in != here:
        raise CnlrnError(
            "this process was forked from one that had loaded a model or restored a picture, and its threads did not "
            "survive; start processes by spawn (multiprocessing.get_context('spawn')), or restore only after the fork"
        )
