"""`python -m cnlrn` is the command `cnlrn`."""

from cnlrn.cli import main

main()
