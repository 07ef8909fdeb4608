"""The application under load, and what can be seen from inside of it.

- `/state` bypasses the middleware, so that asking leaves no trace: everything that is alive
  in this process and belongs to a stream, and what the observer has been told.
- `/short-lived` is an application with a middleware of its own, which is replaced by a fresh one
  when it has been drained: a draining application takes no more streams.
- All else is one application. The paths differ in their settings, the queries say what a generator
  does: how many events of which size, how far apart, and how it ends.

Nothing here grows with the number of streams, or it would be counted as a leak.
"""

import asyncio
import ctypes
import gc
import json
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

import sse_middleware
from sse_middleware import (
    EncodingError,
    LegacyRoute,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
    format_sse_event,
)
from sse_middleware.observers import (
    EventsSent,
    FirstEvent,
    PingSent,
    StreamClosed,
    StreamOpened,
    StreamRecord,
    StreamStats,
)

SEND_TIMEOUT = 2.0
CLEANUP_TIMEOUT = 2.0
PATIENCE = 30.0
"""The `commit_after` of what may fail before its first event, and of what runs in a thread. A busy
machine may be late with either, and the status must not be sent before."""

FEW = 30
"""The streams that a short-lived application admits."""

OURS = (str(Path(sse_middleware.__file__).parent), __file__)
"""Whose generators and coroutines are counted."""


class FailureError(Exception):
    """What a generator raises where it is asked to."""


class Ledger:
    """Each stream that is opened is closed once, and nothing is told of it after that.

    Only the streams that are open are remembered.
    """

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.closings: Counter[tuple[str, str]] = Counter()
        """By what the client calls itself, and the reason."""
        self.wrong: list[str] = []
        self.told: Counter[str] = Counter()

    def __call__(self, record: StreamRecord) -> None:
        self.told[type(record).__name__] += 1
        stream = record.stream
        match record:
            case StreamOpened():
                self._note(stream.id not in self.open, record)
                self.open.add(stream.id)
            case StreamClosed(reason="refused"):
                self._note(stream.id not in self.open, record)
                self.closings[stream.client or "", record.reason] += 1
            case StreamClosed():
                self._note(stream.id in self.open, record)
                self.open.discard(stream.id)
                self.closings[stream.client or "", record.reason] += 1
            case FirstEvent() | EventsSent() | PingSent():
                self._note(stream.id in self.open, record)

    def _note(self, holds: bool, record: StreamRecord) -> None:
        if not holds and len(self.wrong) < 20:
            self.wrong.append(repr(record))


class Lives:
    """How many generators were entered and have not run their cleanup to its end, by their path."""

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, path: str, change: int) -> None:
        with self._lock:
            self.open[path] += change


class Life(AbstractAsyncContextManager[None], AbstractContextManager[None]):
    """The life of one generator, which awaits in its cleanup where it can.

    No generator itself: of two that nobody closes, the garbage collector closes both at a time.

    Args:
        request: what it answers.
        shielded: whether the cleanup is. That of a `StreamingResponse` must be: it is cancelled by
            Starlette's own scope, which cancels every ``await`` again.
    """

    def __init__(self, request: Request, *, shielded: bool = False) -> None:
        self._path = request.url.path
        self._shielded = shielded

    def __enter__(self) -> None:
        lives.count(self._path, 1)

    def __exit__(self, *_: object) -> None:
        lives.count(self._path, -1)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        if self._shielded:
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0.001)
        else:
            await asyncio.sleep(0.001)
        self.__exit__()


ledger = Ledger()
lives = Lives()


# --- the generators ---------------------------------------------------------------------------


class Plan:
    """What the query asks for.

    ``events``, of ``size`` bytes, ``pause`` seconds apart, the first one after ``first`` seconds;
    then ``end``: ``return``, ``raise``, or ``stay``. ``bad`` is the number of an event that can't
    be serialized, ``catch`` goes on after it.
    """

    def __init__(self, request: Request) -> None:
        query = request.query_params
        self.events = int(query.get("events", "0"))
        self.first = float(query.get("first", "0"))
        self.pause = float(query.get("pause", "0"))
        self.end = query.get("end", "return")
        self.bad = int(query.get("bad", "-1"))
        self.catch = "catch" in query
        self.text = "x" * int(query.get("size", "10"))

    def items(self) -> Iterator[dict[str, Any]]:
        for number in range(self.events):
            yield {"number": number, "text": self.text, "bad": number == self.bad}


async def numbers(request: Request) -> AsyncIterator[dict[str, Any]]:
    plan = Plan(request)
    async with Life(request):
        await asyncio.sleep(plan.first)
        for item in plan.items():
            try:
                yield item
            except EncodingError:
                if not plan.catch:
                    raise
            if plan.pause:
                await asyncio.sleep(plan.pause)
        await finish(plan)


async def finish(plan: Plan) -> None:
    if plan.end == "raise":
        raise FailureError
    if plan.end == "stay":
        await asyncio.Event().wait()


def numbers_in_thread(request: Request) -> Iterator[dict[str, Any]]:
    plan = Plan(request)
    with Life(request):
        for item in plan.items():
            yield item
            time.sleep(plan.pause)
        if plan.end == "raise":
            raise FailureError


async def foreign(request: Request) -> StreamingResponse:
    """Answer with events that the middleware did not make."""
    return StreamingResponse(chunks(request, as_event), media_type="text/event-stream")


async def ndjson(request: Request) -> StreamingResponse:
    return StreamingResponse(chunks(request, as_line), media_type="application/x-ndjson")


async def chunks(request: Request, encode: Callable[[Any], bytes]) -> AsyncIterator[bytes]:
    """As `numbers`. Starlette doesn't close it, so it is not a generator inside of another."""
    plan = Plan(request)
    async with Life(request, shielded=True):
        await asyncio.sleep(plan.first)
        for item in plan.items():
            yield encode(item)
            if plan.pause:
                await asyncio.sleep(plan.pause)
        await finish(plan)


def as_event(item: Any) -> bytes:
    return format_sse_event(data_str=json.dumps(item))


def as_line(item: Any) -> bytes:
    return json.dumps(item).encode() + b"\n"


async def ticks(_: Request) -> JSONResponse:
    """Answer with something else from time to time, to be polled."""
    return JSONResponse(int(time.monotonic() * 10))


async def echo(request: Request) -> AsyncIterator[Any]:
    async with Life(request):
        yield "ready"
        for item in await request.json():
            yield item


async def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse("plain")


def picky(item: Any) -> bytes:
    if item["bad"]:
        raise ValueError("can't be serialized")
    return json.dumps(item).encode()


def told(_: Exception) -> ServerSentEvent:
    return ServerSentEvent(event="error", data="told")


# --- the applications -------------------------------------------------------------------------


def client_key(connection: HTTPConnection) -> str:
    """Return what the client calls itself, so that observers can distinguish clients."""
    return connection.query_params.get("as", "")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    os.write(1, b"started\n")
    yield


def streaming(app: ASGIApp, max_streams: int) -> SSEMiddleware:
    return SSEMiddleware(
        app,
        legacy=[
            LegacyRoute("/ndjson", body="json-lines"),
            LegacyRoute("/ticks", poll=0.1, key=lambda _: "all"),
        ],
        max_streams=max_streams,
        max_streams_per_client=max_streams,
        client_key=client_key,
        observers=[ledger],
        ping_interval=0.5,
        commit_after=0.2,
        send_timeout=SEND_TIMEOUT,
        cleanup_timeout=CLEANUP_TIMEOUT,
        drain_grace=0.2,
    )


def routes() -> list[Route]:
    return [
        Route("/plain", plain),
        Route("/events", event_stream(commit_after=PATIENCE)(numbers)),
        Route("/pings", event_stream(ping_interval=0.1)(numbers)),
        Route("/compressed", event_stream(compression=True, ping_interval=0.1)(numbers)),
        Route("/in-thread", event_stream(commit_after=PATIENCE)(numbers_in_thread)),
        Route("/in-thread-compressed", event_stream(compression=True)(numbers_in_thread)),
        Route("/short", event_stream(max_duration=1.0)(numbers)),
        Route("/bored", event_stream(idle_timeout=0.5)(numbers)),
        Route("/told", event_stream(error_event=told)(numbers)),
        Route("/picky", event_stream(serializer=picky, commit_after=PATIENCE)(numbers)),
        Route("/foreign", foreign),
        Route("/ndjson", ndjson),
        Route("/ticks", ticks),
        Route("/echo", event_stream(echo), methods=["POST"]),
    ]


class ShortLived:
    """An application that is replaced when it has been drained; nothing keeps the old one alive."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        own = [Route("/drain", self.drain), Route("/drop", self.drop)]
        self.current = streaming(Starlette(routes=[*routes(), *own]), FEW)

    async def drain(self, request: Request) -> JSONResponse:
        """Answer how long the drain took, in seconds."""
        began = time.monotonic()
        await request.scope["sse_middleware"].drain()
        seconds = time.monotonic() - began
        return JSONResponse(seconds)

    async def drop(self, _: Request) -> JSONResponse:
        """Let a fresh application follow."""
        self.renew()
        return JSONResponse(content=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.current(scope, receive, send)


# --- what is alive ----------------------------------------------------------------------------


def alive() -> Counter[str]:
    """Count the objects of the package, and its running and suspended functions and ours."""
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        if str(kind.__module__).startswith("sse_middleware"):
            found[kind.__qualname__] += 1
        code = code_of(thing)
        if code is not None and code.co_filename.startswith(OURS):
            found[f"{kind.__name__} {code.co_qualname}"] += 1
    return found


def code_of(thing: Any) -> Any:
    match thing:
        case AsyncGeneratorType():
            return thing.ag_code
        case GeneratorType():
            return thing.gi_code
        case CoroutineType():
            return thing.cr_code
    return None


def tasks() -> Counter[str]:
    """Count the tasks, but for the one that asks, by what they run."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return Counter(getattr(task.get_coro(), "__qualname__", repr(task)) for task in others)


def files() -> Counter[str]:
    """Count the open descriptors by their kind."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the links, not what they lead to
        try:
            found[os.readlink(f"/proc/self/fd/{name}").partition(":")[0]] += 1  # noqa: PTH115
        except FileNotFoundError:
            continue  # that of the listing itself
    return found


def resident() -> int:
    """Return the resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def trim() -> None:
    """Give back what `free` has kept for later, where the C library can."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)


def counted(stats: StreamStats) -> dict[str, Any]:
    """Return the numbers of what is open at this moment."""
    return {name: getattr(stats, name) for name in ("open", "clients", "waiting", "draining")}


class Probe:
    """Answers `/state`, outside of the middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/state":
            await JSONResponse(self.state())(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def state(self) -> dict[str, Any]:
        for _ in range(3):  # a finalizer may make something that is garbage by itself
            gc.collect()
        untrimmed = resident()
        trim()
        return {
            "alive": alive(),
            "tasks": tasks(),
            "files": files(),
            "threads": threading.active_count(),
            "streams": self.streams(),
            "ledger": len(ledger.open),
            "entered": +lives.open,
            "wrong": ledger.wrong,
            "told": ledger.told,
            "closings": [[*key, number] for key, number in sorted(ledger.closings.items())],
            "untrimmed": untrimmed,
            "resident": resident(),
        }

    def streams(self) -> dict[str, Any]:
        stats = {"main": main.stats(), "short-lived": short_lived.current.stats()}
        return {name: counted(stat) for name, stat in stats.items()}


short_lived = ShortLived()
main = streaming(
    Starlette(routes=routes(), lifespan=lifespan),
    max_streams=10_000,
)


class Fork:
    """Two applications side by side, neither of them inside of the other's middleware."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (mounted if scope.get("path", "").startswith("/short-lived") else main)(
            scope, receive, send
        )


mounted = Starlette(routes=[Mount("/short-lived", short_lived)])
app = Probe(Fork())
