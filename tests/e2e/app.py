"""The application that every server runs.

A test can't look into the server's process, so what happens there is written into a journal, under
a name that the client gives in the query string, and `/journal/{name}` answers once there is as
much in it as the client asks for. So no test has to guess how long something takes.

It runs on asyncio and on trio.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from sse_middleware import EventSourceResponse, ServerSentEvent, SSEMiddleware, event_stream
from sse_middleware.observers import StreamClosed, StreamRecord
from sse_middleware.stream.outbox import Outbox

PATIENCE = 20.0
"""Seconds that an answer about a stream waits: less than the client's sockets do."""

LONGER = 60.0
"""Seconds. As `cleanup_timeout` it has nothing pass because it was given up. As `commit_after` it
has each status wait for the first event, however slow the machine is."""

PAYLOAD = "x" * 1024


class Journal:
    """What happened under each name."""

    def __init__(self) -> None:
        self._entries: defaultdict[str, list[str]] = defaultdict(list)
        self._readers: list[anyio.Event] = []

    def add(self, name: str, entry: str) -> None:
        self._entries[name].append(entry)
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.set()

    async def read(self, name: str, count: int) -> list[str]:
        """Return the entries once there are `count` of them, or what there is after a while."""
        await self.until(lambda: len(self._entries[name]) >= count)
        return self._entries[name]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what comes with an entry, but not for ever."""
        with anyio.move_on_after(PATIENCE):
            while not condition():
                changed = anyio.Event()
                self._readers.append(changed)
                await changed.wait()


journal = Journal()
released: defaultdict[str, threading.Event] = defaultdict(threading.Event)


@asynccontextmanager
async def recorded(name: str) -> AsyncIterator[None]:
    """Record that a generator has started, and that its cleanup has run to its end."""
    journal.add(name, "started")
    try:
        yield
    finally:
        if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
            await anyio.sleep(0.01)  # on trio, no await of a cancelled block completes
        journal.add(name, "closed")


@contextmanager
def recorded_in_thread(name: str) -> Iterator[None]:
    """As `recorded`, for a generator that runs in a worker thread."""
    anyio.from_thread.run_sync(journal.add, name, "started")
    try:
        yield
    finally:
        anyio.from_thread.run_sync(journal.add, name, "closed")


class Witness:
    """Records that the application is done with a request, the middleware under test included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = QueryParams(scope.get("query_string", b"")).get("name")
        if name is None:
            await self.app(scope, receive, send)
            return
        observed = Observed(send)
        observed.call = self.app(scope, receive, observed.send)
        requests[name] = observed
        try:
            await observed.call
        finally:
            journal.add(name, "ended")


class Observed:
    """One request, seen from outside: which `send` is in flight, and where its task is."""

    def __init__(self, send: Send) -> None:
        self.call: object = None
        """The running call of the application."""
        self._send = send
        self._sends = 0
        self._sending = False

    async def send(self, message: Message) -> None:
        self._sends += 1
        self._sending = True
        try:
            await self._send(message)
        finally:
            self._sending = False

    def held_up_by(self) -> int | None:
        """Return the number of the `send` that the generator waits for, if it waits for one."""
        held_up = self._sending and stands_in(self.call, Outbox.room)
        return self._sends if held_up else None


def stands_in(call: object, function: Callable[..., object]) -> bool:
    """Whether a coroutine, or one that it awaits, is a suspended call of a function."""
    while call is not None:
        if getattr(call, "cr_code", None) is function.__code__:
            return True
        taken_by_hand = getattr(call, "gi_frame", None)
        waits_for = None if taken_by_hand is None else taken_by_hand.f_locals.get("work")
        call = waits_for or getattr(call, "cr_await", None)
    return False


requests: dict[str, Observed] = {}


def name_of(connection: HTTPConnection) -> str | None:
    """Take the name that a request gives for its client."""
    return connection.query_params.get("name")


def record_reason(record: StreamRecord) -> None:
    """Write why a stream has ended into a journal next to that of its generator."""
    if isinstance(record, StreamClosed):
        journal.add(f"{record.stream.client}-reasons", record.reason.value)


# --- what the tests ask about -----------------------------------------------------------------


async def read_journal(request: Request) -> JSONResponse:
    name, count = request.path_params["name"], int(request.query_params["count"])
    return JSONResponse(await journal.read(name, count))


async def settled(request: Request) -> JSONResponse:
    """Answer what is left of the streams of a name, once none is open or after a while."""
    stats, name = request.scope["sse_middleware"].stats, request.path_params["name"]
    await journal.until(lambda: not stats().open)
    now = stats()
    entries = [*await journal.read(name, 0)]
    told = [*await journal.read(f"{name}-reasons", 0)]
    return JSONResponse({"open": now.open, "journal": entries, "reasons": told})


async def held_up(request: Request) -> JSONResponse:
    """Answer which `send` holds the generator of a name up: its number, or null."""
    return JSONResponse(requests[request.path_params["name"]].held_up_by())


async def release(request: Request) -> JSONResponse:
    """Let the `next()` of a blocked generator return."""
    released[request.path_params["name"]].set()
    return JSONResponse(content=True)


async def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse("plain")


# --- streams that end -------------------------------------------------------------------------


async def count(request: Request) -> AsyncIterator[dict[str, int]]:
    async with recorded(request.query_params["name"]):
        for number in range(int(request.query_params["events"])):
            yield {"number": number}


async def count_with_pauses(request: Request) -> AsyncIterator[dict[str, int]]:
    async with recorded(request.query_params["name"]):
        for number in range(int(request.query_params["events"])):
            yield {"number": number}
            await anyio.lowlevel.checkpoint()


def count_in_thread(request: Request) -> Iterator[dict[str, int]]:
    with recorded_in_thread(request.query_params["name"]):
        for number in range(int(request.query_params["events"])):
            yield {"number": number}


async def echo(request: Request) -> AsyncIterator[Any]:
    """Read the body inside the generator, when the stream has long been opened."""
    async with recorded(request.query_params["name"]):
        for item in await request.json():
            yield item


async def echo_later(request: Request) -> AsyncIterator[Any]:
    """As `echo`, with the status line sent before the body is read."""
    async with recorded(request.query_params["name"]):
        yield "ready"
        for item in await request.json():
            yield item


# --- streams that fail ------------------------------------------------------------------------


async def refuse(request: Request) -> AsyncIterator[int]:
    async with recorded(request.query_params["name"]):
        raise HTTPException(404, "nothing by that name")
        yield 0


async def fail(request: Request) -> AsyncIterator[int]:
    async with recorded(request.query_params["name"]):
        raise RuntimeError("before the first event")
        yield 0


def fail_in_thread(request: Request) -> Iterator[int]:
    with recorded_in_thread(request.query_params["name"]):
        raise RuntimeError("before the first event")
        yield 0


async def break_off(request: Request) -> AsyncIterator[dict[str, int]]:
    async with recorded(request.query_params["name"]):
        async for item in _some(int(request.query_params["events"])):
            yield item
        raise RuntimeError("after the last event")


async def _some(events: int) -> AsyncIterator[dict[str, int]]:
    for number in range(events):
        yield {"number": number}


async def break_off_later(request: Request) -> AsyncIterator[dict[str, int]]:
    """Fail when what was yielded has long been sent."""
    name = request.query_params["name"]
    async with recorded(name):
        for number in range(int(request.query_params["events"])):
            yield {"number": number}
        await anyio.to_thread.run_sync(released[name].wait, PATIENCE)
        raise RuntimeError("after the last event")


def break_off_in_thread(request: Request) -> Iterator[dict[str, int]]:
    with recorded_in_thread(request.query_params["name"]):
        for number in range(int(request.query_params["events"])):
            yield {"number": number}
        raise RuntimeError("after the last event")


# --- streams that fall silent -----------------------------------------------------------------


async def idle(request: Request) -> AsyncIterator[str]:
    async with recorded(request.query_params["name"]):
        yield "first"
        await anyio.sleep_forever()
        yield ""  # it could go on


async def finishing(request: Request) -> AsyncIterator[str]:
    """Yield until its client has left, and then some more."""
    name = request.query_params["name"]
    async with recorded(name):
        while not await request.is_disconnected():
            yield "first"
            await anyio.sleep(0.01)
        for number in range(1000):
            yield str(number)
            await anyio.lowlevel.checkpoint()
        journal.add(f"{name}-work", "finished")


async def never(request: Request) -> AsyncIterator[str]:
    async with recorded(request.query_params["name"]):
        await anyio.sleep_forever()
        yield "never"


def blocked(request: Request) -> Iterator[str]:
    """Hold the thread until it is released, then yield for ever."""
    name = request.query_params["name"]
    with recorded_in_thread(name):
        yield "first"
        released[name].wait(PATIENCE)
        while True:
            yield "released"


# --- streams that go on when their client has read what there was ------------------------------

Step = dict[str, int | str]

STEPS = 20
"""How many events there are."""

PING = ServerSentEvent(event="ping", data="are you there")
"""A keep-alive that an ``EventSource`` hands to its page."""


async def read(request: Request) -> JSONResponse:
    """Take from a client that it has read one thing more."""
    journal.add(f"{request.path_params['name']}-read", "read")
    return JSONResponse(None)


async def until_read(name: str, count: int) -> None:
    """Wait until the client has reported this many things as read."""
    if len(await journal.read(f"{name}-read", count)) < count:
        raise TimeoutError(f"the client of {name} has read less than {count}")


async def steps(request: Request) -> EventSourceResponse:
    """Answer with events each of which only exists once the one before has been read."""

    async def items() -> AsyncIterator[Step]:
        for number in range(1, STEPS + 1):
            yield {"number": number, "name": f"widget {number}"}
            await until_read(name, number)

    name = request.query_params["name"]
    return EventSourceResponse(items(), ping_interval=None, compression=codings(request))


async def silence(request: Request) -> EventSourceResponse:
    """Answer with an event that only exists once a keep-alive has been read."""

    async def items() -> AsyncIterator[Step]:
        await until_read(name, 1)
        yield {"number": 1, "name": "heard"}

    name, wanted = request.query_params["name"], codings(request)
    return EventSourceResponse(
        items(), commit_after=QUICK, ping_interval=QUICK, ping=PING, compression=wanted
    )


def codings(request: Request) -> list[str]:
    """Offer the one coding that a path names."""
    coding = request.path_params["coding"]
    return [] if coding == "identity" else [coding]


async def page(_: Request) -> HTMLResponse:
    """Serve a page that tests put their scripts into, of the same origin as the streams."""
    return HTMLResponse("<!doctype html><title>A page</title>")


# --- streams that never fall silent -----------------------------------------------------------


async def flow_with_pauses(request: Request) -> AsyncIterator[str]:
    async with recorded(request.query_params["name"]):
        while True:
            yield PAYLOAD
            await anyio.lowlevel.checkpoint()


async def flow(request: Request) -> AsyncIterator[str]:
    async with recorded(request.query_params["name"]):
        while True:
            yield PAYLOAD


def flow_in_thread(request: Request) -> Iterator[str]:
    with recorded_in_thread(request.query_params["name"]):
        while True:
            yield PAYLOAD


# --- the application --------------------------------------------------------------------------


async def deny(websocket: WebSocket) -> None:
    """Answer a handshake by a stream, all of it at once: granian takes one message of a body."""

    async def items() -> AsyncIterator[str]:
        yield "denied"
        yield websocket.query_params["name"]

    await websocket.send_denial_response(EventSourceResponse(items()))


QUICK = 0.1
"""The short `ping_interval`, in seconds."""

STALLED = 0.5
"""The short `send_timeout`, in seconds: longer than a busy machine takes for a turn."""

app = Starlette(
    routes=[
        Route("/journal/{name}", read_journal),
        Route("/settled/{name}", settled),
        Route("/held-up/{name}", held_up),
        Route("/release/{name}", release),
        Route("/plain", plain),
        Route("/count", event_stream(count)),
        Route("/count-with-pauses", event_stream(count_with_pauses)),
        Route("/count-in-thread", event_stream(count_in_thread)),
        Route("/echo", event_stream(echo), methods=["POST", "PUT", "QUERY"]),
        Route("/echo-later", event_stream(echo_later), methods=["POST", "QUERY"]),
        Route("/refuse", event_stream(refuse)),
        Route("/fail", event_stream(fail)),
        Route("/fail-in-thread", event_stream(fail_in_thread)),
        Route("/break-off", event_stream(break_off)),
        Route("/break-off-later", event_stream(break_off_later)),
        Route("/break-off-in-thread", event_stream(break_off_in_thread)),
        Route("/idle", event_stream(idle)),
        Route("/finishing", event_stream(on_disconnect="finish")(finishing)),
        Route("/blocked", event_stream(blocked)),
        Route("/silent", event_stream(ping_interval=QUICK)(idle)),
        Route("/silent-in-thread", event_stream(ping_interval=QUICK)(blocked)),
        Route("/opens-early", event_stream(commit_after=0.05)(never)),
        Route("/opens-never", event_stream(commit_after=3600)(never)),
        Route("/page", page),
        Route("/read/{name}", read),
        Route("/steps/{coding}", steps),
        Route("/silence/{coding}", silence),
        Route("/flow", event_stream(flow)),
        Route("/flow-with-pauses", event_stream(flow_with_pauses)),
        Route("/flow-in-thread", event_stream(flow_in_thread)),
        Route("/flow-stalled", event_stream(send_timeout=STALLED)(flow)),
        Route("/flow-stalled-in-thread", event_stream(send_timeout=STALLED)(flow_in_thread)),
        WebSocketRoute("/denied", deny),
    ],
    middleware=[
        Middleware(Witness),
        Middleware(
            SSEMiddleware,
            client_key=name_of,
            observers=[record_reason],
            commit_after=LONGER,
            cleanup_timeout=LONGER,
        ),
    ],
)
