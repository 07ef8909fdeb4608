"""A server that shows faults: it sends what a script says, byte by byte if need be.

Rules of this file:
- A script has one answer for each request, in order. The last one is for all further requests.
  Requests with some ``Last-Event-ID`` may have an answer of their own, however many there are.
- An answer is a sequence of steps. If it doesn't say how it ends, its body is complete.
- Each piece that is sent is a chunk of HTTP and a segment of TCP of its own. A short pause comes
  after it, so that it is read on its own. No test depends on that.
- Each connection has one request. So no client can mistake a drop for an old connection. Only
  answers that are complete say so: undici takes a broken body for complete after that.
- Everything that is asked is recorded. After `MOST` requests for one script, nothing is answered.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, pairwise
from threading import Condition, Thread
from types import MappingProxyType

from tests.patience import PATIENCE

HOST = "127.0.0.1"

MOST = 60
"""Requests that one script answers."""

PACE = 0.002
"""Seconds after each piece."""

EVENT_STREAM = "text/event-stream"

_RESET = struct.pack("ii", 1, 0)
"""For SO_LINGER: closing resets the connection."""


@dataclass
class Asked:
    """A request, and what became of its connection."""

    at: float
    """When it came, in seconds of `monotonic`."""
    method: str
    headers: Mapping[str, str]
    """By lower-case names."""
    body: bytes
    sent: int = 0
    """Bytes of the body that the client's side took."""
    left: bool = False
    """Whether the client has closed the connection."""

    @property
    def last_event_id(self) -> str | None:
        return self.headers.get("last-event-id")


class Exchange:
    """A request and its answer. The steps of an answer write to it."""

    def __init__(
        self, asked: Asked, shown: "Shown", writer: asyncio.StreamWriter, *, completes: bool
    ) -> None:
        self.asked = asked
        self.shown = shown
        self.gone = asyncio.Event()
        self.over = False
        self._completes = completes
        self._writer = writer
        self._chunked = False

    async def head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Status"]
        lines += ["Connection: close"] if self._completes else []
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._chunked = status != NO_CONTENT
        if self._chunked:
            lines.append("Transfer-Encoding: chunked")
        await self._write("\r\n".join([*lines, "", ""]).encode())

    async def piece(self, piece: bytes) -> None:
        await self._write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.asked.sent += len(piece)

    async def end(self) -> None:
        if self._chunked:
            await self._write(b"0\r\n\r\n")
        self.over = True

    def reset(self) -> None:
        found = self._writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.over = True

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


NO_CONTENT = 204

Step = Callable[[Exchange], Awaitable[None]]
Answer = tuple[Step, ...]


def head(status: int = 200, type: str = EVENT_STREAM, **headers: str) -> Step:
    """Send the status and the headers. An underscore in a name is a hyphen."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"Content-Type": type, "Cache-Control": "no-store"} if status != NO_CONTENT else {}

    async def step(exchange: Exchange) -> None:
        await exchange.head(status, named)

    return step


def send(*pieces: bytes) -> Step:
    """Send pieces of the body."""

    async def step(exchange: Exchange) -> None:
        for piece in pieces:
            await exchange.piece(piece)
            await asyncio.sleep(PACE)

    return step


def flood(piece: bytes, times: int) -> Step:
    """Send a piece again and again, as fast as the client reads."""

    async def step(exchange: Exchange) -> None:
        for _ in range(times):
            await exchange.piece(piece)

    return step


async def pause(exchange: Exchange) -> None:
    """Wait until the test lets the script go on."""
    await exchange.shown.gate.acquire()


async def drop(exchange: Exchange) -> None:
    """Close the connection though the body is not complete."""
    exchange.over = True


async def reset(exchange: Exchange) -> None:
    """Reset the connection."""
    exchange.reset()


async def hold(exchange: Exchange) -> None:
    """Be silent until the client leaves."""
    await exchange.gone.wait()
    exchange.over = True


BREAKING_OFF = (drop, reset, hold)


def stream(*pieces: bytes, then: Step | None = None) -> Answer:
    """Answer with an event stream. Without `then` its body is complete."""
    return (head(), send(*pieces), *([then] if then else []))


def cut(*pieces: bytes, lost: Step = drop) -> Answer:
    """Answer with a stream that breaks off when the test says so.

    Who reads is to have everything by then: with a broken body, Chromium forgets what was not read.
    """
    return (head(), send(*pieces), pause, lost)


def status(code: int, body: bytes = b"", type: str = "text/plain", **headers: str) -> Answer:
    """Answer with a status."""
    sent = [send(body)] if body else []
    return (head(code, type, **headers), *sent)


STOP: Answer = status(NO_CONTENT)
"""Tells a client not to come back."""

NO_ANSWERS: Mapping[str, Answer] = MappingProxyType({})


@dataclass
class Shown:
    """A script, and what was asked for it."""

    path: str
    answers: tuple[Answer, ...]
    preflight: Answer
    after: Mapping[str, Answer]
    condition: Condition
    loop: asyncio.AbstractEventLoop
    gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    asked: list[Asked] = field(default_factory=list)
    preflights: list[Asked] = field(default_factory=list)

    def go_on(self) -> None:
        """Let a script that waits go on."""
        self.loop.call_soon_threadsafe(self.gate.release)

    def wait(self, met: Callable[["Shown"], object]) -> None:
        """Wait for a condition.

        Raises:
            AssertionError: it was not met in time.
        """
        with self.condition:
            assert self.condition.wait_for(lambda: met(self), PATIENCE), self.asked

    def wait_asked(self, times: int) -> None:
        self.wait(lambda shown: len(shown.asked) >= times)

    def wait_left(self, number: int = -1) -> None:
        """Wait until the client has closed the connection of a request."""
        self.wait(lambda shown: shown.asked[number].left)

    @property
    def ids(self) -> list[str | None]:
        """The ``Last-Event-ID`` of each request."""
        return [asked.last_event_id for asked in self.asked]

    def assert_resumed_after(self, id_: str) -> int:
        """Return how many requests had no id. All that came later had this one, and some did.

        A client that takes silence for a loss may ask more than once, if the machine is slow.
        """
        first = self.ids.count(None)
        assert self.ids == [None] * first + [id_] * (len(self.ids) - first)
        assert 0 < first < len(self.ids)
        return first

    @property
    def pauses(self) -> list[float]:
        """The seconds between requests."""
        times = [asked.at for asked in self.asked]
        return [after - before for before, after in pairwise(times)]


class FaultServer:
    """A running server.

    Attributes:
        url: of the origin that has the pages, too.
        other: of another origin, with the same paths.
        files: served as they are, by path. Each is a type and a content.
    """

    def __init__(self) -> None:
        self.url = self.other = ""
        self.files = {"/page": ("text/html", b"<!doctype html><title>page</title>")}
        self._shown: dict[str, Shown] = {}
        self._numbers = count()
        self._condition = Condition()
        self._loop = asyncio.new_event_loop()
        self._no_script = Shown("", (), STOP, {}, self._condition, self._loop)

    def show(
        self, *answers: Answer, preflight: Answer = STOP, after: Mapping[str, Answer] = NO_ANSWERS
    ) -> Shown:
        """Have answers for the requests of one path. Those `after` an id are for that id."""
        path = f"/faults/{next(self._numbers)}"
        shown = Shown(path, answers, preflight, after, self._condition, self._loop)
        self._shown[path] = shown
        return shown

    async def start(self) -> list[asyncio.Server]:
        servers = [await asyncio.start_server(self._serve, HOST, 0) for _ in range(2)]
        ports = [server.sockets[0].getsockname()[1] for server in servers]
        self.url, self.other = (f"http://{HOST}:{port}" for port in ports)
        return servers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            target, asked = await _read_request(reader)
            shown, answer = self._answer(target, asked)
            exchange = Exchange(asked, shown, writer, completes=answer[-1] not in BREAKING_OFF)
            watching = asyncio.create_task(_watch(reader, exchange.gone))
            try:
                await _give(answer, exchange)
            except ConnectionError:
                exchange.gone.set()
            finally:
                watching.cancel()
                with self._condition:
                    asked.left = exchange.gone.is_set()
                    self._condition.notify_all()
        writer.close()

    def _answer(self, target: str, asked: Asked) -> tuple["Shown", Answer]:
        path = target.partition("?")[0]
        if path in self.files:
            kind, content = self.files[path]
            return self._no_script, status(200, content, kind)
        shown = self._shown.get(path)
        if shown is None:
            return self._no_script, status(404)
        with self._condition:
            requests = shown.preflights if asked.method == "OPTIONS" else shown.asked
            if len(requests) == MOST:
                return shown, (hold,)
            requests.append(asked)
            self._condition.notify_all()
        if asked.method == "OPTIONS":
            return shown, shown.preflight
        if after := shown.after.get(asked.last_event_id or ""):
            return shown, after
        return shown, shown.answers[min(len(requests), len(shown.answers)) - 1]


async def _give(answer: Answer, exchange: Exchange) -> None:
    for step in answer:
        await step(exchange)
        if exchange.over:
            return
    await exchange.end()


async def _watch(reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
    """Learn that the client leaves."""
    with suppress(ConnectionError):
        await reader.read()
    gone.set()


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, Asked]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return target, Asked(time.monotonic(), method, headers, body)


@contextmanager
def fault_server() -> Iterator[FaultServer]:
    """Run a server in a thread as long as the block lasts."""
    server = FaultServer()
    loop = server._loop
    servers = loop.run_until_complete(server.start())
    thread = Thread(target=loop.run_forever)
    thread.start()

    async def stop() -> None:
        for one in servers:
            one.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
