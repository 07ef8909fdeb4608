"""Publishers that publish through workers by HTTP, and note what became of each event.

Rules of this file:
- A publisher awaits each answer. Several of them publish at the same time.
- What was refused is published again. If the outcome is unknown, it is published again with the
  same ``once=``, unless the store may have lost that: then nobody needs to have seen the event.
- All together they are not faster than their rate. What a fault holds up is not made up for.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from time import monotonic

from anyio.to_thread import run_sync

from .client import HOST
from .hub_record import Published

PUBLISHERS = 8

PAUSE = 0.02
"""Seconds after a refusal."""

CHANGES = 0.02
"""How often a publisher goes to another worker, by chance."""

FILLER = "x" * 60


class RefusedError(Exception):
    """Nothing was published."""


class UnknownError(Exception):
    """It may be published."""


class Publishers:
    """Publishes numbered events.

    Args:
        ports: where workers listen.
        topics: what is published to, at random.
        rate: events a second.
        random: of all choices.
        repeats: whether an event with an unknown outcome is published again.
    """

    def __init__(
        self,
        ports: Sequence[int],
        topics: Sequence[str],
        rate: float,
        random: Random,
        *,
        repeats: bool = True,
    ) -> None:
        self.published: list[Published] = []
        """All events, by number."""
        self.done = 0
        """How many of them were published, or have an unknown outcome."""
        self.refused = self.repeated = 0
        self.workers = dict[int, None]()
        """The processes that have answered, in order."""
        self._ports = ports
        self._topics = topics
        self._pause = 1 / rate
        self._next = 0.0
        self._random = random
        self._repeats = repeats
        self._unknown = set[int]()
        self._waiting: list[tuple[int, asyncio.Event]] = []

    @property
    def failed(self) -> int:
        """How many attempts were refused, or have an unknown outcome."""
        return self.refused + self.repeated + self.unknown

    @property
    def unknown(self) -> int:
        """How many events have an unknown outcome."""
        return len(self._unknown)

    async def know(self, count: int) -> None:
        """Ask again and again, until this many processes have answered."""
        while len(self.workers) < count:
            connection = _Connection(self)
            with suppress(RefusedError, UnknownError):
                await connection.ask("GET", "/publish/a")
            connection.close()
            await asyncio.sleep(0.01)  # nothing tells when a process listens

    async def until(self, count: int) -> None:
        """Wait until this many events are done."""
        reached = asyncio.Event()
        self._waiting.append((count, reached))
        self._tell()
        await reached.wait()

    async def run(self, count: int) -> None:
        """Publish until there are this many events."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(PUBLISHERS):
                tasks.create_task(self._run_one(count))

    async def publish_last(self) -> Mapping[str, int]:
        """Publish an event to each topic that everybody must see. Returns their numbers."""
        last = dict[str, int]()
        connection = _Connection(self)
        for topic in self._topics:
            while not await self._publish(connection, topic):
                pass
            last[topic] = len(self.published) - 1
        connection.close()
        return last

    async def _run_one(self, count: int) -> None:
        connection = _Connection(self)
        while len(self.published) < count:
            self._next = max(self._next + self._pause, monotonic())
            await self._publish(connection, self._random.choice(self._topics))
            if self._random.random() < CHANGES:
                connection.close()
            await asyncio.sleep(max(0, self._next - monotonic()))
        connection.close()

    async def _publish(self, connection: "_Connection", topic: str) -> bool:
        """Publish one event, however often it is refused. Returns whether it was acknowledged."""
        number, event = len(self.published), Published(topic, monotonic())
        self.published.append(event)
        body = json.dumps({"topic": topic, "number": number, "filler": FILLER}).encode()
        while not event.id:
            try:
                event.id = await connection.post(f"/publish/{topic}?once={number}", body)
                event.told = monotonic()
            except RefusedError:
                self.refused += 1
                await asyncio.sleep(PAUSE)
            except UnknownError:
                if not self._repeats:
                    self._unknown.add(number)
                    break
                self.repeated += 1
                await asyncio.sleep(PAUSE)
        self.done += 1
        self._tell()
        return bool(event.id)

    def _tell(self) -> None:
        for count, reached in self._waiting:
            if self.done >= count:
                reached.set()

    def port(self) -> int:
        """Choose a worker."""
        return self._random.choice(self._ports)


class _Connection:
    """A connection to one worker, until it breaks."""

    def __init__(self, publishers: Publishers) -> None:
        self._publishers = publishers
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, target: str, body: bytes) -> str:
        """Publish. Returns the event's id."""
        answered, text = await self.ask("POST", target, body)
        if b" 200 " in answered.partition(b"\r\n")[0]:
            return str(json.loads(text)["id"])
        self.close()  # the next attempt may be made elsewhere
        assert b" 503 " in answered.partition(b"\r\n")[0], (answered, text)
        raise UnknownError if b"unknown" in text else RefusedError

    async def ask(self, method: str, target: str, body: bytes = b"") -> tuple[bytes, bytes]:
        """Make a request. Returns the head and the body of the answer."""
        reader, writer = await self._connected()
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        try:
            writer.write(head.encode() + body)
            answered, text = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.close()
            raise UnknownError from error
        worker = int(answered.lower().partition(b"worker: ")[2].split()[0])
        self._publishers.workers[worker] = None
        return answered, text

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            try:
                port = self._publishers.port()
                self._reader, self._writer = await asyncio.open_connection(HOST, port)
            except OSError as error:
                raise RefusedError from error
        return self._reader, self._writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


async def wait_until(holds: Callable[[], object]) -> None:
    """Wait until something holds that nothing tells. It is asked in a thread."""
    while not await run_sync(holds):  # noqa: ASYNC110 - nothing sets an event
        await asyncio.sleep(0.01)


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read a response: its head and its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].split()[0]
    return head, await reader.readexactly(int(length))
