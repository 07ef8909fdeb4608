"""An `asyncio.Protocol` that writes bytes to sockets: no server, no framework, no library.

It answers what the benchmark's client sends and nothing else. It is the least that a delivery can
cost in Python.
"""

# ruff: noqa: D102 - asyncio documents the methods of a protocol

import asyncio
import socket
from typing import cast
from urllib.parse import parse_qsl, urlsplit

import uvloop

from benchmarks.contenders.broadcast.events import OPEN, publish_all
from benchmarks.serve import listen

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client: a subscriber, or the one that has events published."""

    def __init__(self, subscribers: set[asyncio.WriteTransport]) -> None:
        self._subscribers = subscribers
        self._transport: asyncio.WriteTransport
        self._publishing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's has another base

    def connection_lost(self, _error: Exception | None) -> None:
        self._subscribers.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        target = urlsplit(data.split(b" ", 2)[1].decode())
        if target.path == "/subscribe":
            self._transport.write(HEAD + chunk(OPEN))
            self._subscribers.add(self._transport)
        else:
            self._publishing = asyncio.create_task(self._publish(dict(parse_qsl(target.query))))

    async def _publish(self, query: dict[str, str]) -> None:
        await publish_all(self._broadcast, query)
        self._transport.write(DONE)

    async def _broadcast(self, data: str) -> None:
        piece = chunk(data)
        for subscriber in self._subscribers:
            subscriber.write(piece)


def chunk(data: str) -> bytes:
    frame = f"data: {data}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(frame), frame)


async def serve(listening: socket.socket) -> None:
    subscribers: set[asyncio.WriteTransport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(subscribers), sock=listening)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(listen()))
