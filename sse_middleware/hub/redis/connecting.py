"""`Connector`: makes connections on asyncio, by an address or as another client makes them.

Each connection is the hub's own, and leads to the server that is written to.
"""

from collections.abc import Awaitable, Callable, Mapping
from inspect import iscoroutinefunction
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from sse_middleware.errors import ConfigurationError
from sse_middleware.hub.redis.urls import Address, address_of, own_arguments

FindMaster = Callable[[], Awaitable[tuple[str, int]]]


class Connector:
    """Makes connections.

    Args:
        kind: the class of the connections.
        arguments: of the class.
        find_master: returns the host and the port of the server that is written to. ``None`` if
            the arguments say it.
    """

    def __init__(
        self, kind: type[Any], arguments: Mapping[str, Any], find_master: FindMaster | None = None
    ) -> None:
        self._kind = kind
        self._arguments = arguments
        self._find_master = find_master

    @property
    def database(self) -> int:
        """The number of the database."""
        return int(self._arguments.get("db") or 0)

    async def connect(self) -> Any:
        """Return a new connection."""
        arguments = dict(self._arguments)
        if self._find_master is not None:
            arguments["host"], arguments["port"] = await self._find_master()
        connection = self._kind(retry=Retry(NoBackoff(), 0), **arguments)
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return connection


def connector_of(url: str, client: Any) -> Connector:
    """Return what connects as a URL says, or as a client of redis-py does.

    Raises:
        ConfigurationError: it can't be understood.
    """
    if client is not None:
        return _of_client(client)
    kinds = {"tls": SSLConnection, "unix": UnixDomainSocketConnection, "tcp": Connection}
    address = address_of(url)
    find_master = _asking_sentinels(address) if address.sentinels else None
    return Connector(kinds[address.kind], address.arguments, find_master)


def _of_client(client: Any) -> Connector:
    pool: Any = getattr(client, "connection_pool", None)
    kind: Any = getattr(pool, "connection_class", None)
    if not iscoroutinefunction(getattr(kind, "read_response", None)):
        raise ConfigurationError(
            f"client must be a redis.asyncio.Redis of one server, got {type(client).__qualname__}"
        )
    arguments = own_arguments(pool.connection_kwargs)
    manager = getattr(pool, "sentinel_manager", None)
    if manager is None:
        return Connector(kind, arguments)

    async def find_master() -> tuple[str, int]:
        found: tuple[str, int] = await manager.discover_master(pool.service_name)
        return found

    kind = SSLConnection if issubclass(kind, SSLConnection) else Connection
    return Connector(kind, arguments, find_master)


def _asking_sentinels(address: Address) -> FindMaster:
    """Return what asks sentinels for the server."""

    async def find_master() -> tuple[str, int]:
        options = {**address.sentinel_arguments, "retry": Retry(NoBackoff(), 0)}
        sentinel: Any = Sentinel(address.sentinels, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
        try:
            found: tuple[str, int] = await sentinel.discover_master(address.service)
        finally:
            for one in sentinel.sentinels:
                await one.aclose()
        return found

    return find_master
