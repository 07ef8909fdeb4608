"""What an application has of an event loop ends with it, however it ends."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from typing import Any
from weakref import ref

import anyio
import pytest

from sse_middleware import EventSourceResponse, SSEMiddleware
from sse_middleware.request_context import SCOPE_KEY
from sse_middleware.shutdown.listener import listen
from sse_middleware.shutdown.os_signals import SignalHandler
from tests.patience import PATIENCE
from tests.shutdown.servers import SIGNALS, Server, handlers

MANY = 1200
"""More than Python allows calls to be nested."""

each_backend = pytest.mark.parametrize("backend", ["asyncio", "trio"])


class StreamError(Exception):
    """Ends a loop."""


class Application:
    """Streams two events, and keeps weak references to its event loops and registries."""

    def __init__(self) -> None:
        self.middleware = SSEMiddleware(self._answer)
        self.registries: list[ref[Any]] = []
        self.loops: list[ref[Any]] = []

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            self.registries.append(ref(scope[SCOPE_KEY].registry()))
            yield 2

        await EventSourceResponse(items())(scope, receive, send)

    async def stream(self) -> None:
        async def receive() -> Any:
            await anyio.sleep_forever()

        async def send(_: Any) -> None:
            """Take it."""

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await self.middleware(scope, receive, send)

    async def stream_in_asyncio(self) -> None:
        self.loops.append(ref(asyncio.get_running_loop()))
        await self.stream()

    async def stream_and_fail(self) -> None:
        await self.stream_in_asyncio()
        raise StreamError

    def alive(self) -> int:
        """Return how many of the loops and the registries there still are."""
        gc.collect()
        return sum(one() is not None for one in [*self.registries, *self.loops])


def length_of_chain(number: int) -> int:
    """Return how many of our handlers a signal passes."""
    length, handler = 0, signal.getsignal(number)
    while isinstance(handler, SignalHandler):
        length, handler = length + 1, handler._below
    return length


def assert_sigint_works() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interrupts() -> None:
    """Handle SIGINT as Python does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.usefixtures("interrupts")
class TestRuns:
    def test_of_asyncio_leave_nothing(self) -> None:
        app, before = Application(), handlers()
        for _ in range(MANY):
            asyncio.run(app.stream_in_asyncio())
        assert handlers() == before
        assert len(app.registries) == len(app.loops) == MANY
        assert app.alive() == 0
        assert_sigint_works()

    @each_backend
    def test_of_each_loop_leave_nothing(self, backend: str) -> None:
        app, before = Application(), handlers()
        for _ in range(3):
            anyio.run(app.stream, backend=backend)
            assert handlers() == before
        assert app.alive() == 0

    def test_that_fail_leave_nothing(self) -> None:
        app, before = Application(), handlers()
        for _ in range(3):
            with pytest.raises(StreamError):
                asyncio.run(app.stream_and_fail())
            assert handlers() == before
        assert app.alive() == 0

    def test_whose_loops_close_no_generators_leave_those_of_the_last_one(self) -> None:
        app = Application()
        for _ in range(MANY):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(app.stream_in_asyncio())
            loop.close()
        del loop
        assert [length_of_chain(number) for number in SIGNALS] == [1, 1]
        assert app.alive() == 2
        assert_sigint_works()

    def test_of_many_applications_whose_loops_close_no_generators(self) -> None:
        """Each application hears no more of the loops of others than of its own."""
        for _ in range(MANY):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(Application().stream_in_asyncio())
            loop.close()
        assert [length_of_chain(number) for number in SIGNALS] == [1, 1]
        gc.collect()
        assert [length_of_chain(number) for number in SIGNALS] == [0, 0]
        assert_sigint_works()

    def test_of_many_applications_in_one_loop(self) -> None:
        async def run() -> None:
            before = handlers()
            for _ in range(MANY):
                await Application().stream_in_asyncio()
            gc.collect()
            assert handlers() == before

        asyncio.run(run())

    def test_leave_the_handler_of_asyncio_to_the_next_one(self) -> None:
        """So Ctrl-C still cancels the main task, in place of interrupting it anywhere."""
        ended: list[str] = []

        async def run() -> None:
            signal.raise_signal(signal.SIGINT)
            try:
                await asyncio.sleep(PATIENCE)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        asyncio.run(Application().stream_in_asyncio())
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(run())
        assert ended == ["cancelled"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_may_last_while_others_end(self, server: Server) -> None:
        """A loop that was closed without a word lies below one that listens."""
        told: list[str] = []
        ended = asyncio.new_event_loop()
        loop = asyncio.new_event_loop()

        async def begin(name: str) -> None:
            listen(lambda: told.append(name))

        ended.run_until_complete(begin("ended"))
        loop.run_until_complete(begin("going on"))
        ended.close()
        signal.raise_signal(signal.SIGTERM)
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        assert told == ["going on"]
        assert server.received == [signal.SIGTERM]


def test_a_signal_passes_very_many_listeners(server: Server) -> None:
    told: list[int] = []

    async def run() -> None:
        listening = [listen(lambda number=number: told.append(number)) for number in range(MANY)]  # type: ignore[misc]
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0)
        assert sorted(told) == list(range(MANY))
        for one in listening:
            one.end()

    asyncio.run(run())
    assert server.received == [signal.SIGTERM]
