"""`store_maker`: which store keeps a hub's events, by its URL.

Rules of this file:
- Nothing is opened here. What is returned makes the store in the hub's event loop.
- A store's own modules are imported only if a URL names them.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from sse_middleware.errors import ConfigurationError, printable
from sse_middleware.hub.abc import Store
from sse_middleware.hub.memory import MemoryStore

MakeStore = Callable[[], Store]

REDIS_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
"""How the URL of a Redis may begin."""

_MAKERS = MappingProxyType(
    {
        "sqlite": "sse_middleware.hub.sqlite.url:sqlite_maker",
        **dict.fromkeys(REDIS_SCHEMES, "sse_middleware.hub.redis.store:redis_maker"),
    }
)
"""By scheme: a function that takes what `store_maker` takes."""


def store_maker(url: str | None, *, prefix: str | None, durable: bool, client: Any) -> MakeStore:
    """Return a function that makes a store, in the event loop that uses it.

    Args:
        url: where events are. ``None`` for memory.
        prefix: of all names that the store uses there.
        durable: whether the store loses nothing that it has acknowledged.
        client: the application's own client of Redis, in place of a URL.

    Raises:
        ConfigurationError: there is no store for the URL, or it can't have one of the settings.
    """
    if url is not None and client is not None:
        raise ConfigurationError("a hub takes a URL or client=, not both")
    if url is None and client is None:
        if prefix is not None or durable:
            raise ConfigurationError(
                "prefix and durable are settings of a store that has a URL, and a hub without a "
                "URL is in memory: leave them out"
            )
        return MemoryStore
    maker = imported_for(
        "redis:" if url is None else url,
        _MAKERS,
        "the URL of a hub must be None for the memory of one process, or",
    )
    made: MakeStore = maker(url, prefix=prefix, durable=durable, client=client)
    return made


def imported_for(url: object, table: Mapping[str, str], subject: str) -> Callable[..., Any]:
    """Import what a table has for the scheme of a URL.

    Args:
        url: its scheme is looked up. The rest may be a secret, so no error shows it.
        table: by scheme, a module and a name in it, with a colon in between.
        subject: how the error begins.

    Raises:
        ConfigurationError: the table has no such scheme.
    """
    scheme = str(url).partition(":")[0]
    if scheme not in table:
        schemes = ", ".join(f"{known}://" for known in table)
        raise ConfigurationError(
            f"{subject} begin with one of {schemes}, got {printable(repr(scheme))}"
        )
    module, _, name = table[scheme].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found
