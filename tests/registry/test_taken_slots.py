"""The slots that are taken: single steps, and a model.

Whatever streams do and in whatever order, the slots that they hold are those of the model. Streams
are opened, refused, ended, broken, left, cancelled and drained at random. After each step the
registry's slots, and its counts for each client, must equal those of the model. At the end there
must be none.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from sse_middleware import CloseReason, EventSourceResponse, LegacyRoute, SSEMiddleware
from sse_middleware.errors import ConfigurationError
from sse_middleware.registry.taken_slots import Full
from sse_middleware.testing import VirtualTime
from tests.registry.slots import admitted, registry_of
from tests.served import OopsError


@pytest.mark.anyio
class TestAdmission:
    async def test_without_limits_every_stream_is_admitted(self) -> None:
        registry = registry_of()
        slots = [admitted(registry, "a") for _ in range(1000)]
        assert registry.stats().open == 1000
        for slot in slots:
            slot.give_back()
        assert registry.stats().open == registry.stats().clients == 0

    async def test_a_limit_on_all_streams(self) -> None:
        registry = registry_of(max_streams=2)
        first, _ = admitted(registry, "a"), admitted(registry)
        assert registry.enter("b", None) is Full.STREAMS
        first.give_back()
        admitted(registry, "b")
        assert registry.enter(None, None) is Full.STREAMS
        assert registry.stats().closed[CloseReason.REFUSED] == 2

    async def test_a_limit_on_the_streams_of_one_client(self) -> None:
        registry = registry_of(max_streams_per_client=2)
        first, _ = admitted(registry, "a"), admitted(registry, "a")
        assert registry.enter("a", None) is Full.CLIENT
        for client in ("b", "b", None, None, None):
            admitted(registry, client)
        assert registry.stats().clients == 2
        first.give_back()
        admitted(registry, "a")
        assert registry.enter("a", None) is Full.CLIENT

    async def test_the_limit_on_all_streams_comes_first(self) -> None:
        registry = registry_of(max_streams=1, max_streams_per_client=1)
        admitted(registry, "a")
        assert registry.enter("a", None) is Full.STREAMS

    async def test_a_refused_client_is_not_counted(self) -> None:
        registry = registry_of(max_streams=1, max_streams_per_client=1)
        slot = admitted(registry, "a")
        for number in range(100):
            registry.enter(f"client{number}", None)
        assert registry.stats().clients == 1
        slot.give_back()
        assert not registry._slots._clients

    async def test_during_a_drain_no_stream_is_admitted(self) -> None:
        registry = registry_of()
        registry.drain.begin()
        assert registry.enter("a", None) is Full.DRAINING
        assert registry.stats().draining


# The model

CLIENTS = ["a", "b", None]
KINDS = ["response", "sync", "foreign", "polled", "plain"]
OPENING = st.tuples(
    st.just("open"), st.sampled_from(KINDS), st.sampled_from([*CLIENTS, "raises", "nonsense"])
)
ENDING = st.tuples(
    st.sampled_from(["finish", "fail", "leave", "cancel", "stall"]), st.integers(0, 5)
)
STEPS = st.lists(st.one_of(OPENING, OPENING, ENDING), max_size=30)
LIMIT = st.one_of(st.none(), st.integers(1, 3))


class Request:
    """One request, whose client and whose endpoint do what the test says."""

    def __init__(self, kind: str, client: str | None) -> None:
        self.kind = kind
        self.client = client
        self.status: int | None = None
        self.error: BaseException | None = None
        self.ended = False
        self.server = anyio.CancelScope()
        self.go_on = anyio.Event()
        self.fails = False
        self.left = anyio.Event()
        self.stalls = False

    async def run(self, app: Any) -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/{self.kind}",
            "query_string": b"",
            "headers": [(b"accept", b"text/event-stream")],
            "test": self,
        }
        try:
            with self.server:
                await app(scope, self._receive, self._send)
        except Exception as error:
            self.error = error
        finally:
            self.ended = True

    async def wait(self) -> None:
        """Wait until the test goes on, in the endpoint."""
        await self.go_on.wait()
        if self.fails:
            raise OopsError

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self.stalls:
            await anyio.sleep_forever()
        await anyio.lowlevel.checkpoint()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    request: Request = scope["test"]

    async def numbers() -> AsyncIterator[int]:
        yield 1
        await request.wait()
        yield 2

    async def foreign() -> None:
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"1\n", "more_body": True})
        await request.wait()
        await send({"type": "http.response.body", "body": b"2\n", "more_body": False})

    match request.kind:
        case "response":
            await EventSourceResponse(numbers())(scope, receive, send)
        case "sync":
            await EventSourceResponse(iter([1, 2]))(scope, receive, send)
        case "foreign":
            await foreign()
        case _:
            await PlainTextResponse("plain")(scope, receive, send)


def client_key(connection: Any) -> Any:
    client = connection.scope["test"].client
    if client == "raises":
        raise OopsError
    return 5 if client == "nonsense" else client


class Model:
    """What the registry should hold."""

    def __init__(self, most: int | None, most_of_client: int | None) -> None:
        self.most = most
        self.most_of_client = most_of_client
        self.open: list[Request] = []
        self.draining = False

    def expected(self, request: Request) -> int | type[Exception]:
        """Return the status of a request, or what it raises."""
        if request.kind == "plain":
            return 200
        limited = self.most_of_client is not None
        if limited and request.client in ("raises", "nonsense"):
            return OopsError if request.client == "raises" else ConfigurationError
        if self.draining or len(self.open) == self.most:
            return 503
        if limited and request.client and self.clients()[request.client] == self.most_of_client:
            return 429
        if request.kind != "sync":  # which ends by itself
            self.open.append(request)
        return 200

    def clients(self) -> Counter[str]:
        limited = self.most_of_client is not None
        return Counter(one.client for one in self.open if one.client and limited)


async def play(
    steps: list[tuple[Any, ...]], most: int | None, most_of_client: int | None, *, drains: bool
) -> None:
    middleware = SSEMiddleware(
        application,
        legacy=[LegacyRoute("/polled", poll=1.0)],
        max_streams=most,
        max_streams_per_client=most_of_client,
        client_key=client_key,
        drain=False,
        send_timeout=3,
        ping_interval=2,
        drain_grace=0.5,
        cleanup_timeout=1,
    )
    registry = middleware._registries.current()
    model = Model(most, most_of_client)

    def check() -> None:
        assert len(registry._slots) == middleware.stats().open == len(model.open)
        assert registry._slots._clients == model.clients()
        assert middleware.stats().clients == len(model.clients())

    async with anyio.create_task_group() as tasks:
        for step, *details in steps:
            if step == "open":
                await opened(Request(*details), model, middleware, tasks)
            elif model.open:
                await end(model.open.pop(details[0] % len(model.open)), step)
            check()
        if drains:
            model.draining = True
            await middleware.drain()
            model.open.clear()
            for kind in KINDS:
                await opened(Request(kind, "a"), model, middleware, tasks)
        for request in model.open:
            await end(request, "leave")
        model.open.clear()
        check()
    stats = registry.stats()
    assert stats.opened == sum(stats.closed.values()) - stats.closed[CloseReason.REFUSED]


async def opened(request: Request, model: Model, app: Any, tasks: Any) -> None:
    expected = model.expected(request)
    tasks.start_soon(request.run, app)
    await anyio.sleep(1)  # of virtual time: until nothing more happens
    if isinstance(expected, int):
        assert (request.status, request.error) == (expected, None)
    else:
        assert isinstance(request.error, expected)
    assert request.ended == (request not in model.open)


async def end(request: Request, how: str) -> None:
    """End one request, and wait as long as that may take."""
    if request.kind == "polled" and how in ("finish", "fail"):
        how = "leave"  # it can do neither
    match how:
        case "finish" | "fail":
            request.fails = how == "fail"
            request.go_on.set()
        case "leave":
            request.left.set()
        case "cancel":
            request.server.cancel()
        case "stall":
            request.stalls = True
    await anyio.sleep(10)
    assert request.ended, how
    assert isinstance(request.error, OopsError if request.fails else type(None))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@settings(max_examples=100)
@given(steps=STEPS, most=LIMIT, most_of_client=LIMIT, drains=st.booleans())
def test_the_slots_held_are_those_of_the_model(
    backend: Any,
    steps: list[tuple[Any, ...]],
    most: int | None,
    most_of_client: int | None,
    drains: bool,
) -> None:
    async def main() -> None:
        await play(steps, most, most_of_client, drains=drains)
        if backend == "asyncio":
            assert len(asyncio.all_tasks()) == 1, "nothing is left behind"

    VirtualTime(backend).run(main)
