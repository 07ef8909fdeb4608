"""An ASGI application without a framework or a library: the least that a stream can cost."""

import asyncio
from urllib.parse import parse_qs

from starlette.types import Message, Receive, Scope, Send

from benchmarks.contenders.items import token_frame


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    period = float(parse_qs(scope["query_string"])[b"period"][0])
    headers = [(b"content-type", b"text/event-stream")]
    left = asyncio.create_task(wait_for_disconnect(receive))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while not left.done():
        await send(body(token_frame()))
        await asyncio.sleep(period)


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def body(frame: bytes) -> Message:
    return {"type": "http.response.body", "body": frame, "more_body": True}
