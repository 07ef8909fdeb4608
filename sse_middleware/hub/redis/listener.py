"""`RedisListener`: hears what is published to topics, on a connection of its own.

Rules of this file:
- It connects when the first topics are added. It never connects again.
- `add` returns when each subscription is confirmed. What is published after that is heard.
- A tick is sent where events are appended, to a channel that only this listener has subscribed to.
- Only its own server may have sent what it hears. A primary that has become a replica passes on
  what the new one sends, and may leave something out. So it is left.
"""

import asyncio
import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.exceptions import ResponseError

from sse_middleware.errors import StoreError
from sse_middleware.hub.abc import Entry, OnEvent, OnTick
from sse_middleware.hub.redis.duplex import Duplex, Reply, packed
from sse_middleware.hub.redis.keys import Keys

SendTick = Callable[[bytes], Awaitable[object]]
"""Has the store send its clock to a channel."""


class RedisListener:
    """See `Listener`.

    Args:
        connect: returns a new connection, and how messages name its server.
        keys: names of channels.
        send_tick: asks for a tick.
        on_event: see `Store.listen`, as the next ones.
        on_tick: as above.
        on_broken: as above.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[tuple[Any, bytes]]],
        keys: Keys,
        send_tick: SendTick,
        on_event: OnEvent,
        on_tick: OnTick,
        on_broken: Callable[[], object],
    ) -> None:
        self._connect = connect
        self._keys = keys
        self._send_tick = send_tick
        self._on_event, self._on_tick, self._on_broken = on_event, on_tick, on_broken
        self._topics = dict[bytes, str]()
        """By channel."""
        self._ticks = keys.tick(os.urandom(8).hex())
        self._duplex: Duplex | None = None
        self._server = b""
        self._connecting: asyncio.Task[None] | None = None
        self._to_write: list[bytes] = []
        self._asked = self._confirmed = 0
        self._waiting = deque[tuple[int, asyncio.Future[None]]]()
        self._ended: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether its connection is closed."""
        return self._ended is not None and (self._duplex is None or self._duplex.is_closed)

    async def add(self, topics: Sequence[str]) -> None:
        """Listen to topics. See `Listener`."""
        channels = [self._keys.channel(topic.encode()) for topic in topics]
        self._topics.update(zip(channels, topics, strict=True))
        await self._ready()
        await self._subscribe(channels)

    def remove(self, topics: Sequence[str]) -> None:
        """Listen to topics no more. See `Listener`."""
        channels = [self._keys.channel(topic.encode()) for topic in topics]
        gone = [channel for channel in channels if self._topics.pop(channel, None)]
        if gone and self._duplex is not None:
            self._write(packed(b"UNSUBSCRIBE", *gone))

    async def tick(self) -> None:
        """Ask for a tick. See `Listener`."""
        await self._ready()
        await self._send_tick(self._ticks)

    def close(self) -> None:
        """Close the connection. See `Listener`."""
        self._end("it was closed")
        if self._connecting is not None:
            self._connecting.cancel()
        if self._duplex is not None:
            self._duplex.close()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        if self._connecting is not None:
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._duplex is not None:
            await self._duplex.wait_closed()

    async def _ready(self) -> None:
        """Wait for the connection. A caller may be cancelled. Others go on waiting."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())
            self._connecting.add_done_callback(_look_at_error)
        await asyncio.shield(self._connecting)
        self._check()

    async def _open(self) -> None:
        self._check()
        connection, self._server = await self._connect()
        self._duplex = Duplex(connection, self._take, self._on_reply, self._on_lost)
        await self._subscribe([self._ticks])

    def _check(self) -> None:
        if self._ended is not None:
            raise StoreError(f"the connection that listens has ended: {self._ended}")

    async def _subscribe(self, channels: Sequence[bytes]) -> None:
        """Subscribe, and wait until each subscription is confirmed."""
        self._check()
        if not channels:
            return
        future = asyncio.get_running_loop().create_future()
        self._asked += len(channels)
        self._waiting.append((self._asked, future))
        self._write(packed(b"SUBSCRIBE", *channels))
        await future

    def _write(self, command: bytes) -> None:
        self._to_write.append(command)
        if self._duplex is not None:
            self._duplex.wake()

    def _take(self) -> bytes:
        pieces, self._to_write = self._to_write, []
        return b"".join(pieces)

    def _on_reply(self, reply: Reply) -> None:
        if isinstance(reply, ResponseError):
            self._lose(reply)
            return
        kind, channel, what = reply
        if kind == b"message":
            self._on_message(channel, what)
        elif kind == b"subscribe":
            self._confirmed += 1
            while self._waiting and self._waiting[0][0] <= self._confirmed:
                _, future = self._waiting.popleft()
                if not future.done():
                    future.set_result(None)

    def _on_message(self, channel: bytes, message: bytes) -> None:
        topic = self._topics.get(channel)
        if topic is None and channel != self._ticks:
            return
        head, _, block = message.partition(b"\n")
        clock, *before, mark, server = head.split(b" ")
        if server != self._server:
            self._lose(StoreError("the server is a replica now, or was one until now"))
        elif topic is None:
            self._on_tick(int(clock), int(mark))
        else:
            self._on_event(topic, Entry(int(clock), int(before[0]), block), int(mark))

    def _lose(self, reason: Exception) -> None:
        if self._duplex is not None:
            self._duplex.lose(reason)

    def _on_lost(self, reason: Exception) -> None:
        self._end(str(reason) or repr(reason))
        self._on_broken()

    def _end(self, reason: str) -> None:
        """Let nobody wait any more."""
        if self._ended is None:
            self._ended = reason
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(StoreError(f"the connection that listens broke: {reason}"))


def _look_at_error(task: asyncio.Task[None]) -> None:
    """Look at why connecting failed, since its callers may have been cancelled."""
    if not task.cancelled():
        task.exception()
