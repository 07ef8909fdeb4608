"""An ASGI server of one request, in memory: what the application sends is read as it comes."""

from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from sse_middleware import EventStreamDecoder, MessageEvent

Message = MutableMapping[str, Any]


@dataclass
class Exchange:
    """One request and what came of it."""

    to_app: MemoryObjectSendStream[Message]
    from_app: MemoryObjectReceiveStream[Message]
    ended: anyio.Event = field(default_factory=anyio.Event)
    error: BaseException | None = None
    decoder: EventStreamDecoder = field(default_factory=EventStreamDecoder)

    async def next(self) -> Message:
        """Return the next message, or fail when the application has ended without one."""
        with anyio.fail_after(10_000):
            return await self.from_app.receive()

    async def start(self) -> dict[str, str]:
        """Return the headers of the response, and its status as ``:status``."""
        message = await self.next()
        assert message["type"].endswith("http.response.start"), message
        headers = {name.decode(): value.decode() for name, value in message["headers"]}
        return {":status": str(message["status"]), **headers}

    async def chunk(self) -> bytes:
        """Return the next piece of the body that is not empty, ``b""`` at its end."""
        while True:
            message = await self.next()
            assert message["type"].endswith("http.response.body"), message
            body: bytes = message["body"]
            if body or not message.get("more_body", False):
                return body

    async def body(self) -> bytes:
        """Return the rest of the body."""
        whole = b""
        while True:
            message = await self.next()
            whole += bytes(message["body"])
            if not message.get("more_body", False):
                return whole

    async def rest(self) -> list[Message]:
        """Return what was sent until the application ended."""
        return [message async for message in self.from_app]

    async def events(self) -> list[MessageEvent]:
        """Return the events of the next piece of the body."""
        found = self.decoder.feed(await self.chunk())
        return [event for event in found if isinstance(event, MessageEvent)]

    async def disconnect(self) -> None:
        """Let the client leave, and wait until the application has ended."""
        self.to_app.send_nowait({"type": "http.disconnect"})
        with anyio.fail_after(10_000):
            await self.ended.wait()


@asynccontextmanager
async def exchange(
    app: Any,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    scope: Mapping[str, Any] | None = None,
    window: float = inf,
) -> AsyncIterator[Exchange]:
    """Send one request to `app`; at the end the client leaves.

    Args:
        window: how many messages the server takes before `send` blocks.
    """
    to_app, receive_stream = anyio.create_memory_object_stream[Message](100)
    send_stream, from_app = anyio.create_memory_object_stream[Message](window)
    request = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "extensions": {},
        **(scope or {}),
    }
    to_app.send_nowait({"type": "http.request", "body": body, "more_body": False})
    this = Exchange(to_app, from_app)

    async def send(message: Message) -> None:
        # As servers do, send is silent once the client has gone.
        try:
            await send_stream.send(message)
        except anyio.BrokenResourceError:
            return

    async def serve() -> None:
        with send_stream, receive_stream:
            try:
                await app(request, receive_stream.receive, send)
            except Exception as error:
                this.error = error
            finally:
                this.ended.set()

    async with anyio.create_task_group() as tasks:
        with to_app, from_app:
            tasks.start_soon(serve)
            yield this
            if not this.ended.is_set():
                from_app.close()
                await this.disconnect()
