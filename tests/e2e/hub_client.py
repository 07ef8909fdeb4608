"""A subscriber that leaves and comes back, again and again, until it has read everything."""

import asyncio
import json
import socket
import struct
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random
from time import monotonic
from urllib.parse import urlencode

from sse_middleware.wire import EventStreamDecoder, MessageEvent

from .client import HOST, SMALL
from .hub_record import Gap, Record, Seen

READ_AT_ONCE = 64 * 1024
SLOW_READ = 8 * 1024
SLOW_PAUSE = 0.02
AWAY = [0, 0.01, 0.1, 0.3, 0, 0.01, 0.1, 0.3, 0, 0.01, 0.1, 0.3, 1, 1, 1, 5]
"""Seconds between two connections."""

Answer = Mapping[str, Sequence[tuple[float, str]]]
"""What the publisher answers: by topic, the moment and the id of each event."""

Finished = asyncio.Future[Answer]
"""Done when everything is published."""


class Subscriber:
    """One client, over all of its connections.

    Args:
        port: where the server listens.
        topics: what it subscribes to.
        random: decides when it leaves, how, and for how long.
        slow: whether it reads less than is published.
    """

    def __init__(self, port: int, topics: Sequence[str], random: Random, *, slow: bool) -> None:
        self.port = port
        self.topics = topics
        self.connections = 0
        self._random = random
        self._slow = slow
        self._last_id = ""
        self._events: list[tuple[float, MessageEvent]] = []
        self._had = dict.fromkeys(topics, 0)  # the number of the last event of each topic
        self._primed = asyncio.Event()

    async def run(self, finished: Finished) -> None:
        """Come and go until everything is published. Then read the rest."""
        while not finished.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(0.1, 6 if self._slow else 3)):
                    await self._visit(finished)
            await asyncio.sleep(self._random.choice(AWAY))
        await self._visit(finished)

    async def _visit(self, finished: Finished) -> None:
        """Read one connection, until there is nothing more to come."""
        decoder = EventStreamDecoder(last_event_id=self._last_id)
        async with self._connected() as reader:
            body = _ChunkedBody()
            while not self._complete(finished):
                hurried = finished.done() or not self._slow
                received = await reader.read(READ_AT_ONCE if hurried else SLOW_READ)
                if not received:
                    return
                for event in decoder.feed(body.feed(received)):
                    if isinstance(event, MessageEvent):
                        self._take(event)
                if decoder.last_event_id:
                    self._last_id = decoder.last_event_id
                    self._primed.set()
                await asyncio.sleep(0 if hurried else SLOW_PAUSE)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncio.StreamReader]:
        """Make a request. At the end the connection is closed, or broken off."""
        self.connections += 1
        connection = socket.socket()
        connection.setblocking(False)
        if self._slow:  # before the first window is offered
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (HOST, self.port))
            reader, writer = await asyncio.open_connection(sock=connection, limit=SLOW_READ)
        except BaseException:
            connection.close()
            raise
        try:
            writer.write(self._request())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            yield reader
        finally:
            if self._random.random() < 0.5:  # closed like this, it is an RST
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
            writer.transport.abort()

    def _request(self) -> bytes:
        """Say the last id in a header, as a browser does, or in the query, as others may."""
        query, header = {"topics": " ".join(self.topics)}, ""
        if self._last_id and self._random.random() < 0.5:
            query["last_event_id"] = self._last_id
        elif self._last_id:
            header = f"Last-Event-ID: {self._last_id}\r\n"
        target = f"/events?{urlencode(query)}"
        return f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\n{header}\r\n".encode()

    def _take(self, event: MessageEvent) -> None:
        self._events.append((monotonic(), event))
        if event.type == "message":
            item = json.loads(event.data)
            self._had[item["topic"]] = item["number"]

    def _complete(self, finished: Finished) -> bool:
        if not finished.done():
            return False
        answer = finished.result()
        return all(self._had[topic] >= len(answer[topic]) for topic in self.topics)

    def record(self, answer: Answer) -> Record:
        """Return what was read, for the checker."""
        return list(self._seen(answer))

    def _seen(self, answer: Answer) -> Iterator[Seen | Gap]:
        for moment, event in self._events:
            item = json.loads(event.data)
            if event.type == "gap":
                yield Gap(tuple(item["topics"]))
            else:
                moments = answer[item["topic"]]
                newest = bisect_right(moments, moment, key=lambda one: one[0])
                yield Seen(item["topic"], item["number"], item["position"], newest)

    def wrong_ids(self, answer: Answer) -> list[str]:
        """Return the ids of events that are not those that `publish` returned."""
        return [
            event.last_event_id
            for _, event in self._events
            if event.type == "message" and event.last_event_id != _published_id(event, answer)
        ]

    async def wait_until_primed(self) -> None:
        """Wait until it has a position: what is published from now on is for it."""
        await self._primed.wait()

    @property
    def gaps(self) -> int:
        """How many gaps it was told."""
        return sum(event.type == "gap" for _, event in self._events)


def _published_id(event: MessageEvent, answer: Answer) -> str:
    item = json.loads(event.data)
    topic: str = item["topic"]
    number: int = item["number"]
    return answer[topic][number - 1][1]


class _ChunkedBody:
    """Takes the bytes of a chunked body, and returns what they mean."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk, with the line end after it
        self._line = b""

    def feed(self, received: bytes) -> bytes:
        pieces: list[bytes] = []
        while received:
            if self._left > 0:
                piece, received = received[: self._left], received[self._left :]
                self._left -= len(piece)
                pieces.append(piece[: len(piece) + min(0, self._left - 2)])
            else:
                line, end, received = received.partition(b"\n")
                self._line += line + end
                if end:
                    self._left = int(self._line, 16) + 2
                    self._line = b""
        return b"".join(pieces)
