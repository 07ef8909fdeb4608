"""`raise_again`: an error keeps what it was raised in, where another step raises it again.

Python replaces the ``__context__`` of an error by the error that is handled around the new place.
That may be the one that an exception handler has answered with this very stream. What the error was
raised in says more about it, so it stays.
"""

from typing import NoReturn


def raise_again(error: BaseException) -> NoReturn:
    """Raise an error which was raised before. Its traceback holds the frame of the caller."""
    context = error.__context__
    try:
        raise error
    finally:
        if context is not None:
            error.__context__ = context
        del error  # its traceback holds this frame
