"""The one exception that stands for a user's mistake: its message says what is wrong and what to do."""


class CnlrnError(Exception):
    """A mistake that the user can mend; commands print it and leave with exit code 2."""
