"""`Duplex`: one connection that is written to and read from at the same time.

Rules of this file:
- One task writes, one task reads. What uses the connection waits for neither, so a caller that is
  cancelled can't cut a command in two.
- A broken connection is told once, and never heals.
- redis-py connects again when it writes to a connection that it has disconnected. So a read never
  disconnects, and nothing is written once the connection is lost.
- It is always read from. So a server that closes it is noticed at once.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

Reply = Any
"""What the server answered. An error is an exception."""


class Duplex:
    """Writes to a connection, and reads from it, until it breaks.

    Args:
        connection: of redis-py, connected.
        take: returns what is to be written, ``b""`` for nothing.
        on_reply: called with each reply. It must not raise.
        on_broken: called once with the reason, unless `close` was called before.
    """

    def __init__(
        self,
        connection: Any,
        take: Callable[[], bytes],
        on_reply: Callable[[Reply], object],
        on_broken: Callable[[Exception], object],
    ) -> None:
        self._connection = connection
        self._take = take
        self._on_reply = on_reply
        self._on_broken = on_broken
        self._closed = False
        self._to_write = asyncio.Event()
        self._tasks = (
            asyncio.create_task(self._run(self._write)),
            asyncio.create_task(self._run(self._read)),
        )

    @property
    def is_closed(self) -> bool:
        """Whether its tasks have ended."""
        return all(task.done() for task in self._tasks)

    def wake(self) -> None:
        """Have written what there is."""
        self._to_write.set()

    def lose(self, reason: Exception) -> None:
        """Break the connection."""
        if not self._closed:
            self._closed = True
            self._end_tasks()
            self._on_broken(reason)

    def close(self) -> None:
        """Close the connection. Nothing is called any more."""
        if not self._closed:
            self._closed = True
            self._end_tasks()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    def _end_tasks(self) -> None:
        """End both tasks. The one that calls this ends by itself."""
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    async def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await asyncio.sleep(0)  # a loss is told later, also if the task factory is eager
            await work()
        except Exception as error:
            self.lose(error)
        finally:
            await self._connection.disconnect(nowait=True)

    async def _write(self) -> None:
        connection = self._connection
        while not self._closed:
            await self._to_write.wait()
            self._to_write.clear()
            while not self._closed and (batch := self._take()):
                await connection.send_packed_command(batch, check_health=False)

    async def _read(self) -> None:
        read = self._connection.read_response
        while not self._closed:
            try:
                reply = await read(disconnect_on_error=False)
            except RedisConnectionError:
                raise
            except ResponseError as error:
                reply = error
            self._on_reply(reply)


def pack(*parts: bytes) -> bytes:
    """Return the arguments of a command as RESP, without their number."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])


def packed(*parts: bytes) -> bytes:
    """Return a command as RESP."""
    return b"*%d\r\n%b" % (len(parts), pack(*parts))
