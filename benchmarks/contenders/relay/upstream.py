"""The upstream: a bare ASGI application that sends chunks of a language model.

``/burst?n=`` sends as many events as fit into 32 KiB with each message. ``/paced?period=`` sends
one event with each message, and waits after it.
"""

import asyncio
from time import monotonic_ns
from urllib.parse import parse_qs

from starlette.types import Message, Receive, Scope, Send

from benchmarks.contenders.bare import wait_for_disconnect

CHUNK = (
    b'data: {"id":"chatcmpl-BnYkq3vXgQz6hTf0","object":"chat.completion.chunk","at": %d,'
    b'"created":1751000000,"model":"small-1","system_fingerprint":"fp_1a2b3c4d5e","choices":'
    b'[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}\n\n'
)
"""One event, with the moment at which it is sent."""

SIZE = 32 * 1024
"""Bytes of one message of a burst."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    query = parse_qs(scope["query_string"])
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] == "/burst":
        await send_burst(int(query[b"n"][0]), send)
    else:
        await send_paced(float(query[b"period"][0]), receive, send)


async def send_burst(count: int, send: Send) -> None:
    event = CHUNK % 0
    most = SIZE // len(event)
    for at in range(0, count, most):
        await send(body(event * min(most, count - at)))
    await send({"type": "http.response.body", "body": b""})


async def send_paced(period: float, receive: Receive, send: Send) -> None:
    left = asyncio.create_task(wait_for_disconnect(receive))
    while not left.done():
        await send(body(CHUNK % monotonic_ns()))
        await asyncio.sleep(period)


def body(events: bytes) -> Message:
    return {"type": "http.response.body", "body": events, "more_body": True}
