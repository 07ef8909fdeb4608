"""`SyncEventClient`: the synchronous twin of `EventClient`, for plain ``def`` tests.

The application runs on an event loop in a thread of its own. There, virtual time stands still
whenever the test doesn't wait for a call.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from sse_middleware.events import ServerSentEvent
from sse_middleware.testing.client import EventClient
from sse_middleware.testing.errors import UsageError
from sse_middleware.testing.event_stream import EventStream
from sse_middleware.testing.http_methods import HttpMethods
from sse_middleware.testing.transport import AnyASGIApp
from sse_middleware.testing.virtual_time.clock import VirtualTime

T = TypeVar("T")


class _RealTime:
    """Replaces `VirtualTime` and its `Flow` where time is real."""

    def flowing(self) -> AbstractContextManager["_RealTime"]:
        return nullcontext(self)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


class _Loop:
    """An event loop in a thread of its own. Virtual time passes there only during a call."""

    def __init__(self, backend: str, time: VirtualTime | None) -> None:
        self._backend = time.backend if time else backend
        self._options = time.backend_options if time else {}
        self._time = time or _RealTime()
        self._portal: BlockingPortal | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the event loop within this block."""
        with self._time_held(), start_blocking_portal(self._backend, self._options) as portal:
            self._portal = portal
            try:
                yield
            finally:
                self._portal = None

    def run(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Call an asynchronous function in the loop, and return its result."""
        result: T = self._running_portal().call(self._run_flowing, function, args)
        return result

    @contextmanager
    def inside(self, manager: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Enter and leave an asynchronous context manager, both in one task of the loop."""
        with self._running_portal().wrap_async_context_manager(self._flowing(manager)) as value:
            yield value

    def _running_portal(self) -> BlockingPortal:
        if self._portal is None:
            raise UsageError("use the client as `with SyncEventClient(...) as client`")
        return self._portal

    @contextmanager
    def _time_held(self) -> Iterator[None]:
        if isinstance(self._time, _RealTime):
            yield
            return
        held, self._time.held = self._time.held, True
        try:
            yield
        finally:
            self._time.held = held

    async def _run_flowing(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        with self._time.flowing():
            return await function(*args)

    @asynccontextmanager
    async def _flowing(self, manager: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        with self._time.flowing() as flow:
            async with manager as value:
                with flow.paused():
                    yield value


class SyncEventClient(HttpMethods[httpx.Response]):
    """`EventClient` for plain ``def`` tests: ``with SyncEventClient(app) as client``.

    `stream` opens a stream. ``client.post(...)`` and the other methods of HTTP are as in httpx, for
    requests that open none.

    Args:
        target: an ASGI application, whose lifespan runs too, or the base URL of a server.
        backend: the event loop, ``"asyncio"`` or ``"trio"``.
        time: runs the event loop in virtual time. Its backend replaces `backend`.
        options: as for `EventClient`.
    """

    __test__ = False  # pytest would collect it by its name

    def __init__(
        self,
        target: AnyASGIApp | str,
        *,
        backend: str = "asyncio",
        time: VirtualTime | None = None,
        **options: Any,
    ) -> None:
        self._client = EventClient(target, **options)
        self._loop = _Loop(backend, time)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start the application."""
        with ExitStack() as stack:
            stack.enter_context(self._loop.running())
            stack.enter_context(self._loop.inside(self._client))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Disconnect the open streams, and shut the application down."""
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def stream(self, method: str, url: str, **request: Any) -> Iterator["SyncEventStream"]:
        """As `EventClient.stream`."""
        with self._loop.inside(self._client.stream(method, url, **request)) as events:
            yield SyncEventStream(self._loop, events)

    def request(self, method: str, url: str, **request: Any) -> httpx.Response:
        """As `EventClient.request`."""
        return self._loop.run(partial(self._client.request, method, url, **request))

    def sleep(self, seconds: float) -> None:
        """Let time pass on the application's event loop."""
        self._loop.run(anyio.sleep, seconds)


class OpenSyncEventClient(SyncEventClient):
    """A client that is open from the start. It may be used in a ``with`` block, which closes it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        super().__enter__()

    def __enter__(self) -> Self:
        """Return the client, which is open already."""
        return self


class SyncEventStream:
    """`EventStream` without ``await``: its members have the same names."""

    def __init__(self, loop: _Loop, events: EventStream) -> None:
        self._loop = loop
        self._events = events

    def __repr__(self) -> str:
        return repr(self._events)

    @property
    def response(self) -> httpx.Response:
        """The response, for its status and headers."""
        return self._events.response

    @property
    def body(self) -> bytes:
        """Every byte of the response so far, decompressed."""
        return self._events.body

    @property
    def received(self) -> list[ServerSentEvent]:
        """Every event so far, including those that no call has returned yet."""
        return [*self._events.received]

    @property
    def comments(self) -> list[str]:
        """Every comment so far, also those that no call has returned. Keep-alives are comments."""
        return [*self._events.comments]

    @property
    def reconnection_time(self) -> int | None:
        """The last ``retry`` of what the test has taken, in milliseconds."""
        return self._events.reconnection_time

    @property
    def last_event_id(self) -> str:
        """The last id of what the test has taken. A reconnect sends it."""
        return self._events.last_event_id

    def next(self, timeout: float | None = None) -> ServerSentEvent:
        """As `EventStream.next`."""
        return self._loop.run(self._events.next, timeout)

    def next_comment(self, timeout: float | None = None) -> str:
        """As `EventStream.next_comment`."""
        return self._loop.run(self._events.next_comment, timeout)

    def take(self, count: int) -> list[ServerSentEvent]:
        """As `EventStream.take`."""
        return self._loop.run(self._events.take, count)

    def __iter__(self) -> Self:
        """Iterate over the events to the end of the stream."""
        return self

    def __next__(self) -> ServerSentEvent:
        """Wait for the next event."""
        event = self._loop.run(_next_or_none, self._events)
        if event is None:
            raise StopIteration
        return event

    def disconnect(self) -> None:
        """As `EventStream.disconnect`."""
        self._loop.run(self._events.disconnect)

    def reconnect(self) -> None:
        """As `EventStream.reconnect`."""
        self._loop.run(self._events.reconnect)


async def _next_or_none(events: EventStream) -> ServerSentEvent | None:
    return await anext(events, None)
