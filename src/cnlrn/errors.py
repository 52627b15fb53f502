"""The exceptions for a user's mistake. The message says what is wrong and what to do. This module also formats what a
user gave for messages: in one line of readable length, with the nearest known name.
"""

import reprlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

_READABLE = 80  # letters


class CnlrnError(Exception):
    """A mistake that the user can correct. Commands print it and exit with code 2. Subclasses tell kinds apart."""


class UnreadablePicture(CnlrnError):
    """The file does not exist, may not be read, holds no picture, or is damaged."""


class UnsupportedPicture(CnlrnError):
    """A valid picture of a kind that cannot be restored: several frames, HDR, unusual samples."""


class TooLarge(CnlrnError):
    """A picture or result exceeds a limit of pixels, bytes or memory. The caller may be able to raise the limit."""


class NoSuchModel(CnlrnError):
    """No model has the given name."""


class DamagedModel(CnlrnError):
    """A model file is damaged, is no model, or gives wrong results."""


class OutOfMemory(CnlrnError):
    """A model failed, most often for lack of memory. A smaller tile may help."""


class OutputExists(CnlrnError):
    """The file to write exists, and replacing it was not allowed."""


class CannotWrite(CnlrnError):
    """The system refuses to write a file or folder: the disk is full, or there is no permission."""


def nearest(wanted: str, known: Collection[str], prefix: str = "") -> str:
    """Advice on an unknown name: the nearest known one, after `prefix`, or all to choose from."""
    import difflib

    near = difflib.get_close_matches(wanted.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {prefix}{near[0]}?" if near else f"choose from {', '.join(known)}"


def cut(text: str, most: int = _READABLE) -> str:
    """`text`, cut to at most `most` letters. Letters that cannot be printed, such as line ends, become U+FFFD."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shown(value: object) -> str:
    """`value` as Python writes it, shortened inside if it is long or nested."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, _READABLE, _READABLE
    return cut(short.repr(value), _READABLE + 2)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError in the context into a CannotWrite that names the file or folder `path`.

    Most errors of writing, such as a full disk, do not name the file.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written ({error.strerror or error})") from error
