"""What SQLite's errors mean.

Rules of this file:
- A file that is locked is tried again for a while. Nothing else is.
- An error of the user's data, or a full disk, leaves the connection as it is. After any other error
  a new one is opened.
"""

import sqlite3

from sse_middleware.errors import StoreError, printable

_FULL = 13
_KEPT_OPEN = (5, 6, _FULL, 18)
"""Codes of SQLite: busy, locked, full, too big."""

_MEANINGS = (
    ((5, 6), "another process has locked it for too long"),
    ((_FULL,), "the disk is full"),
    ((8,), "it is read-only, or its directory is"),
    ((14,), "it can't be opened: its directory must exist, and must be writable"),
    ((26,), "it is no database of SQLite"),
    ((11,), "it is damaged"),
    ((10,), "it can't be read or written"),
)


def code_of(error: BaseException) -> int:
    """Return SQLite's primary code of an error, 0 without one."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def is_locked(error: BaseException) -> bool:
    """Whether it was another process that was in the way."""
    return code_of(error) in {5, 6}


def breaks_connection(error: BaseException) -> bool:
    """Whether the connection should be opened anew."""
    return isinstance(error, OSError) or (
        isinstance(error, sqlite3.Error) and code_of(error) not in _KEPT_OPEN
    )


def as_store_error(error: Exception, path: str) -> Exception:
    """Return the error that the application sees."""
    if isinstance(error, sqlite3.Error):
        code = code_of(error)
        meaning = next((text for codes, text in _MEANINGS if code in codes), "SQLite fails")
    elif isinstance(error, OSError):
        meaning = "its directory can't be used"
    else:
        return error
    failure = StoreError(
        f"the hub's file {printable(path)} can't be used: {meaning} ({printable(str(error))})"
    )
    failure.__cause__ = error
    return failure
