"""What to say when the disk for temporary files is full."""

from __future__ import annotations

import os

from cnlrn.errors import CannotWrite, CnlrnError


def no_room_for(name: str, reason: str) -> CnlrnError:
    """The error of a picture for whose temporary copy there is no room."""
    folder = os.environ.get("TMPDIR") or "/tmp"  # where libvips and, if it can, `tempfile` write
    return CannotWrite(
        f"{name} is so large that it needs a temporary file, which cannot be written in {folder} ({reason}); "
        "make room there, or name another folder by TMPDIR"
    )
