"""Applications that send given messages, and what comes out of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from sse_middleware.testing import EventClient

Message = dict[str, Any]
Headers = Sequence[tuple[bytes, bytes]]
Send = Callable[[Message], Awaitable[None]]
NDJSON = b"application/x-ndjson"
EVENTS = "text/event-stream"


def start(kind: bytes | None = NDJSON, status: int = 200, headers: Headers = ()) -> Message:
    types = [] if kind is None else [(b"content-type", kind)]
    return {"type": "http.response.start", "status": status, "headers": [*types, *headers]}


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


class App:
    """Sends messages, and waits where there is a number of seconds."""

    def __init__(self, *script: Message | float | Exception) -> None:
        self.script = script
        self.sent = 0
        self.log: list[str] = []
        self.scope: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        self.scope = scope
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, dict):
                    await send(step)
                    self.sent += 1
                else:
                    await anyio.sleep(step)
        except anyio.get_cancelled_exc_class():
            self.log.append("cancelled")
            raise
        finally:
            self.log.append("finally")


def whole(*bodies: bytes, kind: bytes = NDJSON, headers: Headers = ()) -> App:
    return App(start(kind, headers=headers), *map(part, bodies), part(b"", more=False))


async def sent(
    app: Any,
    accept: str | None = EVENTS,
    *,
    method: str = "GET",
    path: str = "/",
    scope: Message | None = None,
    into: list[Message] | None = None,
) -> list[Message]:
    """Run one request to its end, and return the messages that were sent."""
    messages = [] if into is None else into
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in asked:
            return message
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        messages.append(message)

    request = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [] if accept is None else [(b"accept", accept.encode())],
        **(scope or {}),
    }
    await app(request, receive, send)
    return messages


def reading(app: Any, **options: Any) -> EventClient:
    """Return a client of an application that knows nothing of a lifespan."""
    return EventClient(app, run_lifespan=False, **options)


def joined(messages: list[Message]) -> bytes:
    return b"".join(bytes(message.get("body", b"")) for message in messages)


def headers_of(messages: list[Message]) -> dict[bytes, bytes]:
    return dict(messages[0]["headers"])
