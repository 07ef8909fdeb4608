"""Describes a stream by its request: for observers, and for those who look at open streams.

Rules of this file:
- The template of a path is only looked for if somebody wants to know it: that takes longer than
  everything else here.
"""

from secrets import token_hex

from starlette.requests import HTTPConnection
from starlette.types import Scope

from sse_middleware.errors import ConfigurationError
from sse_middleware.introspection.starlette import route_template
from sse_middleware.records import StreamInfo
from sse_middleware.settings import Policy


def client_of(policy: Policy, scope: Scope) -> str | None:
    """Return what identifies the client of a request.

    Raises:
        ConfigurationError: `client_key` returned neither a str nor ``None``.
        Exception: what the application's `client_key` raised.
    """
    client: object = policy.client_key(HTTPConnection(scope))
    if client is not None and not isinstance(client, str):
        raise ConfigurationError(
            f"client_key must return a str, or None for a client without a limit, got {client!r}"
        )
    return client


def stream_info(scope: Scope, client: str | None) -> StreamInfo:
    """Return what identifies the stream of a request."""
    return StreamInfo(
        id=token_hex(8),
        method=scope.get("method", "GET"),
        path=scope["path"],
        route=route_template(scope),
        client=client,
    )


def described(policy: Policy, scope: Scope) -> StreamInfo:
    """Return the same, whatever the application's `client_key` does."""
    try:
        client = client_of(policy, scope)
    except Exception:  # who only looks must not make an application fail
        client = None
    return stream_info(scope, client)
