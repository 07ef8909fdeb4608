"""A subscriber that leaves and comes back, again and again, until it has read everything."""

import asyncio
import json
import socket
import struct
import sys
from array import array
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
SLOW_PAUSE = 0.2
AWAY = [0, 0.01, 0.1, 0.3, 0, 0.01, 0.1, 0.3, 0, 0.01, 0.1, 0.3, 1, 1, 1, 5]
"""Seconds between two connections, unless it is told others."""

BROKEN = (OSError, asyncio.IncompleteReadError)
"""What a client sees whose server was killed."""

Finished = asyncio.Future[Mapping[str, int]]
"""Done when everything is published, with the number of each topic's last event."""


class Subscriber:
    """One client, over all of its connections.

    Args:
        ports: where servers listen. It begins at the first one, and comes back to any.
        topics: what it subscribes to.
        random: decides when it leaves, how, and for how long.
        slow: whether it reads less than is published, also on a slow machine.
        away: the seconds between two connections, of which it chooses.
        persistent: whether it comes back also if its server breaks off.
    """

    def __init__(
        self,
        ports: Sequence[int],
        topics: Sequence[str],
        random: Random,
        *,
        slow: bool = False,
        away: Sequence[float] = AWAY,
        persistent: bool = False,
    ) -> None:
        self.topics = topics
        self.connections = 0
        self.broken_off = 0
        self._ports = ports
        self._random = random
        self._slow = slow
        self._away = away
        self._expected = BROKEN if persistent else ()
        self._last_id = ""
        self._had = dict.fromkeys(topics, -1)  # the number of the last event of each topic
        self._primed = asyncio.Event()
        self._record = _CompactRecord()
        self._short_visit: asyncio.Timeout | None = None

    async def run(self, finished: Finished) -> None:
        """Come and go until everything is published. Then read the rest."""
        finished.add_done_callback(self._leave_if_complete)
        while not finished.done():
            with suppress(TimeoutError):
                await self._visit_shortly(finished)
            await self._stay_away(finished)
        while not self._is_complete(finished):
            await self._visit(finished)

    async def _visit_shortly(self, finished: Finished) -> None:
        """Leave after a while, however much there is to read."""
        seconds = self._random.uniform(0.1, 6 if self._slow else 3)
        async with asyncio.timeout(seconds) as visit:
            self._short_visit = visit
            try:
                await self._visit(finished)
            finally:
                self._short_visit = None

    def _leave_if_complete(self, finished: Finished) -> None:
        """End a visit in which nothing more comes."""
        visit = self._short_visit
        if visit is not None and not visit.expired() and self._is_complete(finished):
            visit.reschedule(0)

    async def _stay_away(self, finished: Finished) -> None:
        """Wait for a time, or until everything is published."""
        await asyncio.wait([finished], timeout=self._random.choice(self._away))

    async def _visit(self, finished: Finished) -> None:
        """Read one connection, until there is nothing more to come."""
        port = self._random.choice(self._ports) if self.connections else self._ports[0]
        self.connections += 1
        try:
            await self._read(port, finished)
        except self._expected:
            self.broken_off += 1
            await asyncio.sleep(0.05)  # until the next attempt; nothing tells when a server listens

    async def _read(self, port: int, finished: Finished) -> None:
        decoder = EventStreamDecoder(last_event_id=self._last_id)
        async with self._connected(port) as reader:
            body = _ChunkedBody()
            while not self._is_complete(finished):
                hurried = finished.done() or not self._slow
                received = await reader.read(READ_AT_ONCE if hurried else SLOW_READ)
                if not received:
                    raise ConnectionError("the server has ended the stream")
                self._take(decoder, body.feed(received))
                await asyncio.sleep(0 if hurried else SLOW_PAUSE)

    @asynccontextmanager
    async def _connected(self, port: int) -> AsyncIterator[asyncio.StreamReader]:
        """Make a request. At the end the connection is closed, or broken off."""
        connection = socket.socket()
        connection.setblocking(False)
        if self._slow:  # before the first window is offered
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        try:
            await asyncio.get_running_loop().sock_connect(connection, (HOST, port))
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

    def _take(self, decoder: EventStreamDecoder, received: bytes) -> None:
        moment = monotonic()
        for event in decoder.feed(received):
            if not isinstance(event, MessageEvent):
                continue
            item = json.loads(event.data)
            if event.type == "gap":
                gap = Gap(tuple(item["topics"]), item["reason"], event.last_event_id)
                self._record.add_gap(gap)
            else:
                self._record.add(item["number"], event.last_event_id, moment)
                self._had[item["topic"]] = item["number"]
        if decoder.last_event_id:
            self._last_id = decoder.last_event_id
            if not self._primed.is_set():
                self._record.begin = self._last_id
                self._primed.set()

    def _is_complete(self, finished: Finished) -> bool:
        if not finished.done():
            return False
        last = finished.result()
        return all(self._had[topic] >= last[topic] for topic in self.topics)

    def record(self) -> Record:
        """Return what was read, for the checker."""
        return Record(self.topics, self._record.begin, tuple(self._record))

    async def wait_until_primed(self) -> None:
        """Wait until it has a position: what is published from now on is for it."""
        await self._primed.wait()

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of the events that it has read."""
        return self._record.numbers

    @property
    def gaps(self) -> Sequence[Gap]:
        """The gaps that it was told."""
        return self._record.gaps


class _CompactRecord:
    """What was read. Thousands of events of a thousand subscribers have room in memory."""

    def __init__(self) -> None:
        self.begin = ""
        self.numbers = array("l")
        self.gaps: list[Gap] = []
        self._moments = array("d")
        self._ids: list[str] = []
        self._gaps_at: list[int] = []

    def add(self, number: int, id: str, moment: float) -> None:
        self.numbers.append(number)
        self._moments.append(moment)
        self._ids.append(sys.intern(id))  # the other subscribers have it too

    def add_gap(self, gap: Gap) -> None:
        self._gaps_at.append(len(self.numbers))
        self.gaps.append(gap)

    def __iter__(self) -> Iterator[Seen | Gap]:
        seen = zip(self.numbers, self._ids, self._moments, strict=True)
        begin = 0
        for at, gap in [*zip(self._gaps_at, self.gaps, strict=True), (len(self.numbers), None)]:
            yield from (Seen(*next(seen)) for _ in range(begin, at))
            begin = at
            if gap is not None:
                yield gap


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
