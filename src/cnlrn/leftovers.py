"""What macOS leaves in folders and archives beside people's files; nothing that looks for pictures should take it."""

from pathlib import PurePath

_NAMES = {"__MACOSX", ".DS_Store"}


def is_leftover(path: PurePath) -> bool:
    """Whether macOS made it: `._NAME` beside NAME, `.DS_Store`, or anything in a folder `__MACOSX`.

    Give a path relative to the folder that is searched: what is above that is what a person asked for.
    """
    return path.name.startswith("._") or not _NAMES.isdisjoint(path.parts)
