"""All streams are ended in good order: by the application, or by the end of its lifespan.

That a server's signal begins it is shown in `tests.shutdown` and `tests.e2e.test_drain`. What a
single stream does then is shown in `tests.stream.test_drained`.
"""

import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sse_middleware import CloseReason, EventSourceResponse, SSEMiddleware
from sse_middleware.registry.taken_slots import Full
from sse_middleware.testing import VirtualTime
from sse_middleware.testing.lifespan import Lifespan
from tests.patience import PATIENCE
from tests.registry.slots import OpenStream, admitted, registry_of
from tests.served import ClosedStreams, body_of, call, client_of, events_of
from tests.shutdown.servers import serve_like_hypercorn
from tests.stream.draining import GRACE, DrainedApp, idle, rest_of

pytestmark = pytest.mark.anyio
tidy = pytest.mark.usefixtures("nothing_left_behind")

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def _server() -> Iterator[None]:
    """Handle the signals as a server does."""
    before = [signal.getsignal(number) for number in SIGNALS]
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


class TestRegistry:
    async def test_spreads_the_ends_evenly(self) -> None:
        registry = registry_of(drain_spread=10)
        streams = [OpenStream() for _ in range(4)]
        for stream in streams:
            admitted(registry).opened(stream)
        registry.drain.begin()
        registry.drain.begin()
        assert [stream.delays for stream in streams] == [[0], [2.5], [5], [7.5]]

    async def test_reaches_a_stream_that_opens_after_it_has_begun(self) -> None:
        registry = registry_of(drain_spread=10)
        slot, stream = admitted(registry), OpenStream()
        registry.drain.begin()
        assert stream.delays == []
        assert slot.stream is None
        slot.opened(stream)
        assert stream.delays == [0]
        assert slot.draining

    async def test_ends_when_the_last_slot_is_given_back(self) -> None:
        registry = registry_of()
        slots = [admitted(registry) for _ in range(2)]
        done: list[int] = []

        async def drain(number: int) -> None:
            await registry.drain.run()
            done.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(drain, number)
            for slot in slots:
                await anyio.wait_all_tasks_blocked()
                assert done == []
                slot.give_back()
        assert sorted(done) == [0, 1]
        await registry.drain.run()

    async def test_ends_at_once_without_streams(self) -> None:
        registry = registry_of()
        with anyio.fail_after(1):
            await registry.drain.run()

    @pytest.mark.usefixtures("_server")
    async def test_stops_listening_for_the_end_of_the_server_when_it_has_ended(self) -> None:
        registry = registry_of(drain=True)
        before = [signal.getsignal(number) for number in SIGNALS]
        slot = admitted(registry)
        listening = [signal.getsignal(number) for number in SIGNALS]
        assert all(now is not then for now, then in zip(listening, before, strict=True))

        registry.drain.begin()
        slot.give_back()
        with anyio.fail_after(1):
            await registry.drain.run()

        after = [signal.getsignal(number) for number in SIGNALS]
        assert all(now is then for now, then in zip(after, before, strict=True))

    @pytest.mark.usefixtures("_server")
    @pytest.mark.parametrize("number", SIGNALS)
    async def test_begins_with_a_signal(self, number: int) -> None:
        registry = registry_of(drain=True)
        slot, stream = admitted(registry), OpenStream()
        slot.opened(stream)
        signal.raise_signal(number)
        with anyio.fail_after(1):
            await registry.drain.begun.wait()
        assert stream.delays == [0]
        slot.give_back()


async def test_a_drain_ends_when_another_hypercorn_serves() -> None:
    registry = registry_of(drain=True)
    for _ in range(2):
        stop = anyio.Event()

        async def request(stop: anyio.Event = stop) -> None:
            slot, stream = admitted(registry), OpenStream()
            slot.opened(stream)
            stop.set()
            with anyio.fail_after(1):
                await registry.drain.begun.wait()
            assert stream.delays == [0]
            assert registry.enter(None, None) is Full.DRAINING
            slot.give_back()

        await serve_like_hypercorn(request, stop)
        assert registry.enter(None, None) is Full.DRAINING  # nobody serves


async def test_the_applications_own_drain_does_not() -> None:
    registry, stop = registry_of(drain=True), anyio.Event()

    async def request() -> None:
        admitted(registry).give_back()
        await registry.drain.run()
        assert registry.enter(None, None) is Full.DRAINING
        stop.set()

    await serve_like_hypercorn(request, stop)


class TestStreams:
    @pytest.mark.parametrize("spread", [0.0, 10.0])
    async def test_end_one_after_another(self, spread: float) -> None:
        ended: list[float] = []

        async def items() -> AsyncIterator[int]:
            try:
                yield 0
                await anyio.sleep_forever()
                yield 0  # it could go on
            finally:
                ended.append(anyio.current_time())

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(items())(scope, receive, send)

        app = DrainedApp(answer, drain_spread=spread)
        async with client_of(app.middleware) as client, anyio.create_task_group() as tasks:

            async def read() -> None:
                async with client.stream("GET", "/") as events:
                    await rest_of(events)

            for _ in range(10):
                tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert app.middleware.stats().events == 10
            begin = anyio.current_time()
            await app.drain()
        delays = [time - begin - GRACE for time in sorted(ended)]
        assert delays == pytest.approx([spread * n / 10 for n in range(10)], abs=0.01)

    @tidy
    async def test_that_are_new_are_refused(self) -> None:
        responses = iter([EventSourceResponse(idle()), EventSourceResponse(idle())])

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await next(responses)(scope, receive, send)

        app = DrainedApp(answer)
        async with (
            client_of(app.middleware) as client,
            anyio.create_task_group() as tasks,
            client.stream("GET", "/") as events,
        ):
            await events.next()
            tasks.start_soon(app.drain)
            await anyio.sleep(GRACE / 2)
            response = await client.http.get("/")
            assert response.status_code == 503
            assert response.text == "the server is about to stop"
            assert app.middleware.stats().draining
        assert app.closed_streams.reasons == [CloseReason.REFUSED, CloseReason.CLIENT_DISCONNECTED]

    async def test_are_not_other_requests_which_are_answered(self) -> None:
        app = SSEMiddleware(PlainTextResponse("plain"))
        await app.drain()
        assert await body_of(app) == b"plain"


@tidy
class TestCalls:
    async def test_at_the_same_time_both_wait(self) -> None:
        app = DrainedApp(EventSourceResponse(idle()))
        took: list[float] = []

        async def drain() -> None:
            took.append(await app.drain())

        async with anyio.create_task_group() as tasks, events_of(app.middleware) as events:
            await events.next()
            tasks.start_soon(drain)
            await anyio.sleep(GRACE / 2)
            tasks.start_soon(drain)
            await rest_of(events)
        assert sorted(took) == pytest.approx([GRACE / 2, GRACE], abs=0.01)

    async def test_without_streams_do_not_wait(self) -> None:
        app = DrainedApp(EventSourceResponse(idle()))
        for _ in range(2):
            assert await app.drain() == pytest.approx(0, abs=0.01)

    async def test_may_come_from_a_request_of_the_application(self) -> None:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/drain":
                await scope["sse_middleware"].drain()
                text = str(scope["sse_middleware"].stats().closed[CloseReason.DRAINED])
                await PlainTextResponse(text)(scope, receive, send)
            else:
                await EventSourceResponse(idle())(scope, receive, send)

        app = DrainedApp(answer)
        async with client_of(app.middleware) as client, client.stream("GET", "/") as events:
            await events.next()
            assert (await client.http.get("/drain")).text == "1"

    async def test_may_look_from_a_synchronous_endpoint(self) -> None:
        seen: list[Any] = []

        def endpoint(request: Request) -> EventSourceResponse:
            context = request.scope["sse_middleware"]
            seen.append((context.draining.is_set(), context.stats().open))
            return EventSourceResponse([1])

        app = DrainedApp(Starlette(routes=[Route("/", endpoint)]))
        assert await body_of(app.middleware) == b"data: 1\n\n"
        assert seen == [(False, 0)]

    async def test_of_the_outer_of_two_middlewares_leave_the_streams_of_the_inner_one(self) -> None:
        outer_closed_streams = ClosedStreams()
        app = DrainedApp(EventSourceResponse(idle()))
        outer = SSEMiddleware(app.middleware, observers=[outer_closed_streams], max_streams=1)
        async with events_of(outer) as events:
            await events.next()
            assert outer.stats().open == 0
            await outer.drain()
            assert app.middleware.stats().open == 1
            assert await app.drain() == pytest.approx(GRACE, abs=0.01)
        assert app.closed_streams.reasons == [CloseReason.DRAINED]
        assert outer_closed_streams.reasons == []


class RunningLifespan:
    """The lifespan of an application, run by hand next to its requests."""

    def __init__(self, app: Any, tasks: Any) -> None:
        self._lifespan = Lifespan(app, {}, patience=10_000)
        self._tasks = tasks

    async def start(self) -> None:
        await self._lifespan.start(self._tasks)

    async def stop(self) -> float:
        begin = anyio.current_time()
        await self._lifespan.stop()
        return anyio.current_time() - begin


def starlette(**options: Any) -> Starlette:
    async def endpoint(_: Request) -> EventSourceResponse:
        return EventSourceResponse(idle())

    return Starlette(
        routes=[Route("/", endpoint)], middleware=[Middleware(SSEMiddleware, **options)]
    )


@tidy
class TestLifespan:
    async def test_drains_at_its_shutdown(self) -> None:
        closed_streams = ClosedStreams()
        app = starlette(observers=[closed_streams])
        async with anyio.create_task_group() as tasks:
            lifespan = RunningLifespan(app, tasks)
            await lifespan.start()
            async with events_of(app) as events:
                await events.next()
                assert await lifespan.stop() == pytest.approx(GRACE, abs=0.01)
                assert await rest_of(events) == []
        assert closed_streams.reasons == [CloseReason.DRAINED]

    async def test_another_one_begins_with_new_streams(self) -> None:
        closed_streams = ClosedStreams()
        app = starlette(observers=[closed_streams])
        both = [CloseReason.DRAINED, CloseReason.REFUSED]
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                lifespan = RunningLifespan(app, tasks)
                await lifespan.start()
                async with events_of(app) as events:
                    assert events.response.status_code == 200
                    await events.next()
                    await lifespan.stop()
                    assert closed_streams.reasons == both * number + [CloseReason.DRAINED]
                async with events_of(app) as events:
                    assert events.response.status_code == 503

    async def test_does_not_drain_where_that_is_switched_off(self) -> None:
        closed_streams = ClosedStreams()
        app = starlette(observers=[closed_streams], drain=False)
        async with anyio.create_task_group() as tasks:
            lifespan = RunningLifespan(app, tasks)
            await lifespan.start()
            async with events_of(app) as events:
                await events.next()
                assert await lifespan.stop() == pytest.approx(0, abs=0.01)
                assert closed_streams.reasons == []
        assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]

    async def test_where_that_is_switched_off_the_application_may_drain(self) -> None:
        app = DrainedApp(EventSourceResponse(idle()), drain=False)
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(GRACE, abs=0.01)


class TestThreads:
    @pytest.mark.parametrize(
        "virtual_time", ["asyncio"], indirect=True
    )  # once: it has its own loops
    @pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("asyncio", "trio")])
    def test_of_two_event_loops_each_drains_its_own_streams(
        self, backends: tuple[str, str], virtual_time: VirtualTime
    ) -> None:
        closed: list[Any] = []
        opened = threading.Semaphore(0)

        def observer(record: Any) -> None:
            if type(record).__name__ == "FirstEvent":
                opened.release()
            if type(record).__name__ == "StreamClosed":
                closed.append(record.reason)

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(idle(), drain_grace=0)(scope, receive, send)

        middleware = SSEMiddleware(answer, observers=[observer])

        async def stats() -> Any:
            return middleware.stats()

        with ExitStack() as stack:
            one, other = (
                stack.enter_context(start_blocking_portal(backend)) for backend in backends
            )
            calls = [portal.start_task_soon(call, middleware) for portal in (one, other)]
            for _ in range(2):
                assert opened.acquire(timeout=PATIENCE)
            one.call(middleware.drain)
            calls[0].result(10)
            assert closed == [CloseReason.DRAINED]
            assert other.call(stats).open == 1
            assert not other.call(stats).draining
            other.call(middleware.drain)
            calls[1].result(10)
            assert one.call(stats).draining
        assert closed == [CloseReason.DRAINED] * 2
