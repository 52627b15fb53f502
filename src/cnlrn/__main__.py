"""The process of the command `cnlrn`, also as `python -m cnlrn`: its streams, its signals and its end.

`cnlrn.cli` does the work. It is imported late, because importing takes a while and signals may come meanwhile.
"""

import os
import sys

from cnlrn.cli import interruption


def main() -> None:
    """Run the command line and end the process with its exit code."""
    _open_closed_streams()
    interruption.heed()
    code = 2
    try:
        from cnlrn import files
        from cnlrn.cli import app, terminal

        interruption.before_leaving(files.remove_temporaries)
        interruption.before_leaving(terminal.show_cursor)
        app.main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    except BaseException:
        if not interruption.is_interrupted():
            raise
    interruption.end(code)


def _open_closed_streams() -> None:
    """Keep work files from becoming standard streams, and drop messages if stderr is closed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:  # `print` would take stdout instead
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


if __name__ == "__main__":
    main()
