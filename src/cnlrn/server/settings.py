"""What the person who starts the server decides, and the limits that hold for those who use it."""

from __future__ import annotations

import ipaddress
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cnlrn.errors import CannotWrite, CnlrnError, writing
from cnlrn.images import MAX_PIXELS
from cnlrn.models import Precision

_SHORTEST_TOKEN = 16
_WORKER_MEMORY = 400 * 2**20  # bytes: what a worker takes for a picture of a usual size


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of one server.

    `host` and `port`: where it listens. `token`: what clients must present, None asks for nothing. `names`: host names
    by which it is reached, beside localhost and addresses. `model`: computes where a request names none; chosen for
    each picture if None. `folder`: for uploads and results, one of the system's for temporary files if None.
    Limits: `max_pixels` of a picture, `max_bytes` of a request's body, `queue` pictures that wait or are computed,
    `seconds` of computing for one picture, `keep` seconds for which a finished job's result waits to be fetched.
    `workers`: pictures computed at once, by cores and memory if None. `precision`: as in `Restorer`.
    `threads`: of the engine, all cores if None.
    `memory`: bytes that computing all of them may take, beside the process and the pictures.
    `patience`: seconds for which a client may keep the server waiting for a request's head, the next part of its body,
    or until it takes the next part of a response. `once`: the server ends with the page's last tab.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    names: tuple[str, ...] = ()
    model: str | None = None
    folder: Path | None = None
    max_pixels: int = MAX_PIXELS
    max_bytes: int = 256 * 2**20
    queue: int = 100
    seconds: float = 1800
    keep: float = 900
    workers: int | None = None
    precision: Precision = "float32"
    threads: int | None = None
    memory: int = 2**30
    patience: float = 30
    once: bool = False

    def __post_init__(self) -> None:
        """CnlrnError where a token is too short."""
        if self.token is not None and (len(self.token) < _SHORTEST_TOKEN or not self.token.isascii()):
            raise CnlrnError(
                f"a token has at least {_SHORTEST_TOKEN} ASCII characters, so that nobody guesses it; "
                "`openssl rand -hex 16` makes one"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host == "localhost" or (is_address(self.host) and ipaddress.ip_address(self.host).is_loopback)

    def allows_host(self, header: str) -> bool:
        """Whether a Host header names this server.

        A web page that points its own name at this machine (DNS rebinding) could use the server as its visitor. It
        needs a name for that, so addresses are let in, and a token, which such a page has not, lets in all names.
        """
        name = host_of(header)
        return bool(name) and (
            is_address(name) or name in ("localhost", self.host.lower(), *map(str.lower, self.names)) or self._any_name
        )

    @property
    def _any_name(self) -> bool:
        return self.token is not None and not self.names


def host_of(header: str) -> str:
    """The name or address in a Host header or an origin's netloc, lower case and without the port."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0] if "]" in text else ""
    return text.rpartition(":")[0] if ":" in text else text


def is_address(name: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def worker_count(wanted: int | None) -> int:
    """How many pictures to compute at once: `wanted`, or as many as there are cores and memory for, at most 4."""
    from cnlrn.restoration.tiling import free_memory

    if wanted is not None:
        return wanted
    return max(1, min(os.cpu_count() or 1, free_memory() // _WORKER_MEMORY, 4))


def own_folder(wanted: Path | None) -> Path:
    """A folder that nobody but this user can look into, made if need be.

    Raises:
        CnlrnError: it cannot be made, or belongs to somebody else.
    """
    if wanted is not None:
        folder = wanted
    else:
        user = os.getuid() if hasattr(os, "getuid") else "user"
        folder = Path(tempfile.gettempdir()) / f"cnlrn-serve-{user}"
    with writing(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = folder.lstat() if wanted is None else folder.stat()
    if not stat.S_ISDIR(told.st_mode) or (hasattr(os, "getuid") and told.st_uid != os.getuid()):
        raise CannotWrite(f"{folder} is no folder of this user; give another with --folder")
    if not os.access(folder, os.W_OK):
        raise CannotWrite(f"{folder}: no permission to write in this folder; give another with --folder")
    return folder
