"""The exceptions that stand for a user's mistake: the message says what is wrong and what to do. And how messages
show what a user gave: in one line of readable length, with the nearest name that is known."""

import reprlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

_READABLE = 80  # letters


class CnlrnError(Exception):
    """A mistake that the user can mend; commands print it and leave with exit code 2. Subclasses tell kinds apart."""


class UnreadablePicture(CnlrnError):
    """There is no such file, it may not be read, holds no picture, or is damaged."""


class UnsupportedPicture(CnlrnError):
    """A valid picture of a kind that cannot be restored: several frames, HDR, unusual samples."""


class TooLarge(CnlrnError):
    """A picture or result beyond a limit of pixels, bytes or memory, which the caller may be able to raise."""


class NoSuchModel(CnlrnError):
    """No model has the name that was given."""


class DamagedModel(CnlrnError):
    """A model's file is damaged, no model, or gives wrong results."""


class OutOfMemory(CnlrnError):
    """A model failed, most often for want of memory; a smaller tile may help."""


class OutputExists(CnlrnError):
    """The file to write is there already, and nobody said that it may be replaced."""


class CannotWrite(CnlrnError):
    """The system refuses to write a file or folder: the disk is full, or there is no permission."""


def nearest(wanted: str, known: Collection[str], prefix: str = "") -> str:
    """What to do about a name that is not known: the nearest that is, after `prefix`, or all to choose from."""
    import difflib

    near = difflib.get_close_matches(wanted.lower(), known, n=1, cutoff=0.5)
    return f"did you mean {prefix}{near[0]}?" if near else f"choose from {', '.join(known)}"


def cut(text: str, most: int = _READABLE) -> str:
    """`text`, at most so many letters of it; those that cannot be printed, such as line ends, become U+FFFD."""
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shown(value: object) -> str:
    """`value` as Python writes it, shortened inside where it is long or nested."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 2, _READABLE, _READABLE
    return cut(short.repr(value), _READABLE + 2)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the context into a CannotWrite that names the file or folder `path`.

    Most errors of writing, such as a full disk, do not say of which file they are.
    """
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written ({error.strerror or error})") from error
