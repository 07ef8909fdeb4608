"""`RaisedAgain`: an error keeps what it was raised in, where another step raises it again.

Python replaces the ``__context__`` of an error by the error that is handled around the new place.
That may be the one that an exception handler has answered with this very stream. What the error was
raised in says more about it, so it stays.
"""

from types import TracebackType


class RaisedAgain:
    """A block that raises an error which was raised before.

    Args:
        error: the error.
    """

    __slots__ = ("_context", "_error")

    def __init__(self, error: BaseException) -> None:
        self._error = error
        self._context = error.__context__

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the error back what it was raised in."""
        if self._context is not None:
            self._error.__context__ = self._context
