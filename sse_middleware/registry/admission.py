"""Admits streams, or tells their clients why not.

Rules of this file:
- The application says what identifies a client. If it fails, only this one request fails.
- A stream is only described if there are observers. Its slot has the request, for those who look.
"""

from math import ceil
from types import MappingProxyType

from starlette.requests import HTTPConnection
from starlette.types import Scope, Send

from sse_middleware.registry.described import client_of, stream_info
from sse_middleware.registry.registry import Registry, Slot
from sse_middleware.registry.taken_slots import Full
from sse_middleware.settings import StreamSettings
from sse_middleware.wire.encoding import encode_event
from sse_middleware.wire.response_headers import USUAL_HEADERS

_STATUS = MappingProxyType({Full.CLIENT: 429, Full.STREAMS: 503, Full.DRAINING: 503})


def admit(registry: Registry, scope: Scope) -> Slot | Full:
    """Admit the stream of a request, or say why not.

    Raises:
        ConfigurationError: `client_key` returned neither a str nor ``None``.
        Exception: what the application's `client_key` raised.
    """
    if not registry.asks_for_client:  # the usual case
        return registry.enter(None, None, scope)
    policy = registry.policy
    client = client_of(policy, scope)
    info = stream_info(scope, client) if policy.observers else None
    limited = policy.max_streams_per_client is not None
    return registry.enter(client if limited else None, info, scope)


async def refuse(send: Send, full: Full, settings: StreamSettings) -> None:
    """Send the response that refuses a stream."""
    retry = settings.retry_milliseconds()
    if settings.refusal == "retry":
        headers = list(USUAL_HEADERS)
        status, body = 200, encode_event(None, retry=retry)
    else:
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"retry-after", str(ceil(retry / 1000)).encode()),
        ]
        status, body = _STATUS[full], full.value.encode()
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def peer_address(connection: HTTPConnection) -> str | None:
    """Return the address of the peer: the client, or the proxy in front of this server."""
    return connection.client.host if connection.client else None
