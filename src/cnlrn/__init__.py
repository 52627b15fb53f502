"""Turn blurry, low-resolution pictures into sharp ones, up to four times as wide and high.

    import cnlrn
    sharp = cnlrn.restore("photo.jpg", output="sharp.jpg")

`restore` restores one picture. `inspect` shows how it is blurred and what would be done. A `Restorer` keeps its model
loaded for many pictures. `models()` lists the models.
"""

from __future__ import annotations

import os
import signal
import sys

if (sys.argv[:1] == ["-m"] or "".join(sys.argv[:1]).endswith("/cnlrn")) and (
    signal.getsignal(signal.SIGINT) is signal.default_int_handler
):  # the command starts: no traceback of an import, until `interruption.heed`
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))

from typing import TYPE_CHECKING, Any

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # ONNX Runtime reads it when it is imported, here or by a subprocess

from cnlrn.errors import CnlrnError
from cnlrn.models import Card, models

if TYPE_CHECKING:
    from cnlrn.restoration.functions import inspect, restore
    from cnlrn.restoration.restorer import Restorer

    __version__: str

__all__ = ["Card", "CnlrnError", "Restorer", "__version__", "inspect", "models", "restore"]


def __getattr__(name: str) -> Any:
    """Import what is slow to import only when it is used."""
    if name == "Restorer":
        from cnlrn.restoration.restorer import Restorer

        return Restorer
    if name in ("inspect", "restore"):
        from cnlrn.restoration import functions

        return getattr(functions, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("cnlrn")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
