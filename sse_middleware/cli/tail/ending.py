"""`Ending`: how a command ended. The values are the exit codes, which `docs/tail.md` lists."""

from enum import IntEnum


class Ending(IntEnum):
    """Why the stream is not followed any further."""

    ENDED = 0
    """The stream ended, ``--count`` is reached, or nobody reads the output any more."""
    BROKEN = 1
    """The stream broke off, and it isn't resumed. Or it can't be read."""
    USAGE = 2
    """The arguments can't work."""
    REFUSED = 3
    """The answer is no event stream, or the server can't be trusted."""
    GAVE_UP = 4
    """There was no connection, and there are no more retries."""
    TIMED_OUT = 5
    """``--timeout`` is over."""
