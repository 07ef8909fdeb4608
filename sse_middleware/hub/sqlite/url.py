"""`sqlite_maker`: the file that a URL names.

Rules of this file:
- Three slashes begin a path that is relative to the current directory, four an absolute one.
- A relative path is looked up when the hub is made. The directory may change later.
"""

import os
import socket
from collections.abc import Callable
from functools import partial

from sse_middleware.errors import ConfigurationError, printable
from sse_middleware.hub.abc import Store
from sse_middleware.hub.sqlite.store import SQLiteStore

_HEAD = "sqlite:///"


def sqlite_maker(
    url: str, *, prefix: str | None, durable: bool, client: object
) -> Callable[[], Store]:
    """Return what makes the store of a URL. See `store_maker`.

    Raises:
        ConfigurationError: the URL names no file, or this system can't have such a store.
    """
    if prefix is not None or client is not None:
        raise ConfigurationError("prefix and client are for Redis: a SQLite hub has a file")
    path = url.removeprefix(_HEAD)
    if path == ":memory:" or url == "sqlite://":
        raise ConfigurationError(
            "a hub in memory needs no SQLite: use Hub(), or sqlite:///events.db for several workers"
        )
    if path == url or not path or path.endswith("/") or "?" in path or "\0" in path:
        raise ConfigurationError(
            "the URL of a SQLite store is sqlite:///events.db for a relative path, or "
            f"sqlite:////var/lib/events.db for an absolute one, got {printable(repr(url))}"
        )
    if not hasattr(socket, "AF_UNIX"):
        raise ConfigurationError(
            "sqlite:// needs Unix sockets, and Python has none on this system: use Hub() with one "
            "worker"
        )
    return partial(SQLiteStore, os.path.abspath(path), durable=durable)  # noqa: PTH100 - a text
