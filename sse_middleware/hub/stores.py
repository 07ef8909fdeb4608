"""`store_maker`: which store keeps a hub's events, by its URL.

Rules of this file:
- Nothing is opened here. What is returned makes the store in the hub's event loop.
- A store's own modules are imported only if a URL names them.
"""

from collections.abc import Callable
from importlib import import_module
from types import MappingProxyType
from typing import Any

from sse_middleware.errors import ConfigurationError, printable
from sse_middleware.hub.abc import Store
from sse_middleware.hub.memory import MemoryStore

MakeStore = Callable[[], Store]

_REDIS = "sse_middleware.hub.redis.store:redis_maker"

_MAKERS = MappingProxyType(
    {
        "sqlite": "sse_middleware.hub.sqlite.url:sqlite_maker",
        "redis": _REDIS,
        "rediss": _REDIS,
        "redis+sentinel": _REDIS,
        "rediss+sentinel": _REDIS,
        "unix": _REDIS,
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
    scheme = "redis" if url is None else str(url).partition(":")[0]
    if scheme not in _MAKERS:
        schemes = ", ".join(f"{known}://" for known in _MAKERS)
        raise ConfigurationError(
            f"the URL of a hub must begin with one of {schemes}, or be None for the memory of one "
            f"process, got {printable(repr(scheme))}"
        )
    module, _, name = _MAKERS[scheme].partition(":")
    maker: Callable[..., MakeStore] = getattr(import_module(module), name)
    return maker(url, prefix=prefix, durable=durable, client=client)
