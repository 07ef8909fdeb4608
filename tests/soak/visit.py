"""One client on a plain socket, which can leave in every way there is.

Every wait is bounded by who calls: a visit runs under a timeout.
"""

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import h11

from sse_middleware.wire import EventStreamDecoder, MessageEvent
from sse_middleware.wire.decoding import Decoded
from tests.e2e.client import HOST, RECEIVED_AT_ONCE, SMALL, BrokenBodyError

from .decoding import Decompressor


class Visit:
    """One connection.

    Args:
        port: where the server listens.
        name: what the client calls itself in every request.
        small_buffer: whether the kernel takes next to nothing that is not read.
    """

    def __init__(self, port: int, name: str, *, small_buffer: bool = False) -> None:
        self.name = name
        self.last = False
        """Whether the next request is the last one of the connection."""
        self.events = 0
        """How many events were read."""
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if small_buffer:  # before the first window is offered
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self._http = h11.Connection(h11.CLIENT)
        self.headers: dict[bytes, bytes] = {}
        self._unseen: deque[Decoded] = deque()

    async def __aenter__(self) -> Self:
        try:
            await self._loop.sock_connect(self._socket, (HOST, self._port))
        except BaseException:
            self._socket.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    async def begin(
        self, path: str, *, accept: str = "*/*", encoding: str = "", body: bytes = b"", **query: Any
    ) -> None:
        """Send a request, and don't wait for anything."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        headers = [("Host", HOST), ("Accept", accept), ("Content-Length", str(len(body)))]
        headers += [("Accept-Encoding", encoding)] if encoding else []
        headers += [("Connection", "close")] if self.last else []
        request = h11.Request(
            method="POST" if body else "GET",
            target=f"{path}?{urlencode({'as': self.name, **query})}",
            headers=headers,
        )
        sent = [self._http.send(event) for event in (request, h11.Data(body), h11.EndOfMessage())]
        await self.send(b"".join(filter(None, sent)))

    async def get(self, path: str, **options: Any) -> int:
        """Send a request as `begin`; return the status of the answer."""
        await self.begin(path, **options)
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                self.headers = dict(event.headers)
                self._decompress = Decompressor(self.headers.get(b"content-encoding", b"").decode())
                self._decoder = EventStreamDecoder()
                return event.status_code

    async def read(self) -> bytes:
        """Return some more of the body, or ``b""`` when it is complete.

        Raises:
            BrokenBodyError: it will never be.
        """
        while True:
            match await self._next():
                case h11.Data(data=data) if data:
                    return bytes(data)
                case h11.EndOfMessage():
                    return b""

    async def body(self) -> bytes:
        chunks = []
        while chunk := await self.read():
            chunks.append(chunk)
        return b"".join(chunks)

    async def said(self) -> AsyncIterator[Decoded]:
        """Yield what the stream means, as it arrives."""
        while True:
            while self._unseen:
                one = self._unseen.popleft()
                self.events += isinstance(one, MessageEvent)
                yield one
            if not (chunk := await self.read()):
                return
            self._unseen.extend(self._decoder.feed(self._decompress(chunk)))

    async def numbers(self) -> list[int]:
        """Return the numbers of all events, to the end of a complete body."""
        return [
            json.loads(one.data)["number"]
            async for one in self.said()
            if isinstance(one, MessageEvent)
        ]

    async def first(self, kind: type[Decoded], count: int = 1) -> None:
        """Read until this many of a kind have come.

        Raises:
            BrokenBodyError: the body ended before.
        """
        async for one in self.said():
            count -= isinstance(one, kind)
            if not count:
                return
        raise BrokenBodyError("the body is complete")

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def receive(self) -> bytes:
        """Return what arrives next, or ``b""`` at the end of the connection, however it ends."""
        try:
            return await self._loop.sock_recv(self._socket, RECEIVED_AT_ONCE)
        except (ConnectionResetError, BrokenPipeError):
            return b""

    async def until_the_end(self) -> None:
        """Read, without looking at it, until the server ends the connection."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_AT_ONCE)
        while await self.receive():
            pass

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def fin(self) -> None:
        """Leave; the kernel makes it an RST if there is something unread."""
        self._socket.close()

    def rst(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    async def _next(self) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self.receive())
        except h11.RemoteProtocolError as error:
            raise BrokenBodyError(str(error)) from error
        if isinstance(event, h11.ConnectionClosed):
            raise BrokenBodyError("no answer")
        return event
