"""A proxy between a hub and Redis that can be told to do harm."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass(eq=False)
class Link:
    """A connection to the proxy, and its connection to the server."""

    hub: asyncio.StreamWriter
    server: asyncio.StreamWriter
    drops_replies: bool = False
    drops_commands: bool = False

    @property
    def is_closed(self) -> bool:
        return self.hub.transport.is_closing()

    def cut(self) -> None:
        for writer in (self.hub, self.server):
            writer.transport.abort()


class Proxy:
    """Passes on bytes, or doesn't. What is set holds for all connections, from now on.

    Args:
        port: of the server.
    """

    def __init__(self, port: int) -> None:
        self.target = port
        self.delay = 0.0
        """Seconds that each piece is late, in both directions."""
        self.cut_after: int | None = None
        """Of each connection: after how many bytes of replies it is cut."""
        self.drop_replies = False
        self.drop_commands = False
        self.port = 0
        self.cuts = 0
        self.links = set[Link]()
        """The connections that are open."""
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks = set[asyncio.Task[None]]()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def stop_reading(self) -> None:
        """Read from nobody any more, so that all buffers fill up."""
        self._passing.clear()

    def go_on(self) -> None:
        """Do no harm any more to new connections."""
        self.delay, self.cut_after = 0.0, None
        self.drop_replies = self.drop_commands = False
        self._passing.set()

    def cut(self) -> None:
        """Cut all connections."""
        for link in self.links:
            link.cut()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._accept, HOST, 0, limit=2**16)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, server_writer)
        self.links.add(link)
        for work in (
            self._pass(reader, server_writer, link, replies=False),
            self._pass(server_reader, writer, link, replies=True),
        ):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: Link,
        *,
        replies: bool,
    ) -> None:
        passed = 0
        try:
            while piece := await reader.read(2**16):
                await self._passing.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if self._drops(link, replies=replies):
                    continue
                if replies and self.cut_after is not None and passed + len(piece) > self.cut_after:
                    writer.write(piece[: max(0, self.cut_after - passed)])
                    await writer.drain()
                    self.cuts += 1
                    return
                passed += len(piece)
                writer.write(piece)
                await writer.drain()
        except OSError:
            pass
        finally:
            link.hub.close()
            link.server.close()
            self.links.discard(link)

    def _drops(self, link: Link, *, replies: bool) -> bool:
        if replies:
            return self.drop_replies or link.drops_replies
        return self.drop_commands or link.drops_commands
