"""`Address`: where Redis is, as a URL says it.

Rules of this file:
- Forms of a URL: ``redis://``, ``rediss://`` and ``unix://`` as redis-py knows them, and
  ``redis+sentinel://[user:password@]host:port,host:port/service[/database]``, with ``rediss`` for
  TLS. The sentinels' own user and password are ``?sentinel_username=&sentinel_password=``.
- A connection repeats nothing: a publish whose answer is lost may have been made. It asks nothing
  by itself, because an answer would be taken for another's. It speaks RESP2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from redis.connection import parse_url

from sse_middleware.errors import ConfigurationError

CONNECT_SECONDS = 5.0
"""Seconds for connecting, and for what must be known before a connection is used."""

SENTINEL_SECONDS = 1.0
"""Seconds for a sentinel. Then the next one is asked."""

_SENTINEL_PORT = 26379

_POOLS = (
    *("max_connections", "timeout", "connection_class", "connection_pool", "himport_registry"),
    *("retry", "retry_on_error"),
)
_NOTICES = ("maint_notifications", "maintenance", "oss_cluster", "orig_")
"""Arguments that are a pool's, not a connection's, or are about answers that nobody asked for."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where Redis is."""

    kind: str
    """Of the connection: ``"tcp"``, ``"tls"`` or ``"unix"``."""
    arguments: Mapping[str, Any]
    """Of redis-py's connection."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Hosts and ports of what knows the host and the port."""
    service: str = ""
    """The name that the sentinels know it by."""
    sentinel_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of the connections to them."""

    @property
    def database(self) -> int:
        """The number of the database."""
        return int(self.arguments.get("db") or 0)


def address_of(url: str) -> Address:
    """Return what a URL says. Raises `ConfigurationError` if it can't be understood."""
    try:
        if urlsplit(url).scheme.endswith("+sentinel"):
            return _of_sentinels(url)
        return _of_server(url)
    except ValueError as error:
        raise ConfigurationError(f"the URL of the hub can't be read: {error}") from error


def own_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of connections of the hub's own."""
    kept = {
        name: value
        for name, value in arguments.items()
        if name not in _POOLS and not name.startswith(_NOTICES)
    }
    return {
        **kept,
        "socket_timeout": None,
        "socket_connect_timeout": kept.get("socket_connect_timeout") or CONNECT_SECONDS,
        "health_check_interval": 0,
        "retry_on_timeout": False,
        "decode_responses": False,
        "protocol": 2,
    }


def _of_server(url: str) -> Address:
    kinds = {"rediss": "tls", "unix": "unix"}
    arguments = own_arguments(parse_url(url))  # type: ignore[no-untyped-call]
    kind = kinds.get(urlsplit(url).scheme, "tcp")
    if kind != "unix":
        arguments.setdefault("socket_keepalive", True)
    return Address(kind, arguments)


def _of_sentinels(url: str) -> Address:
    """Take the sentinels out of a URL. The rest is that of a server."""
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    service, _, database = unquote(parts.path).strip("/").partition("/")
    query = dict(parse_qsl(parts.query))
    theirs = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    sentinels = tuple(_host_and_port(one) for one in hosts.split(","))
    if not service:
        raise ValueError("the service's name is missing after the sentinels")
    scheme = parts.scheme.removesuffix("+sentinel")
    server = _of_server(f"{scheme}://{user}{'@' if user else ''}-/{database}?{urlencode(query)}")
    options = {
        "socket_timeout": SENTINEL_SECONDS,
        "socket_connect_timeout": SENTINEL_SECONDS,
        "ssl": server.kind == "tls",
        **theirs,
    }
    return Address(server.kind, server.arguments, sentinels, service, options)


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host else (text, _SENTINEL_PORT)
