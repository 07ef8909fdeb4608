"""`StreamingTransport`: lets httpx call an ASGI application and read its streams as they come.

Rules of this file:
- The block of the client opens and leaves the task group in which the requests run. So the group
  encloses every request, and an exception of the test is not wrapped in an ``ExceptionGroup``.
- An error of the test comes first. What the application raises after it becomes a note of it.
- The classes of httpx come from the library that made the request, because ``httpx2`` has the same
  classes under another name.
"""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import anyio
import httpx
from starlette.types import Scope

from sse_middleware.testing.errors import UsageError
from sse_middleware.testing.exchange import PATIENCE, WINDOW, Exchange
from sse_middleware.testing.lifespan import Lifespan

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

AnyASGIApp = Callable[..., Awaitable[None]]
"""An ASGI application. Its arguments have other types in other frameworks."""


class StreamingTransport(httpx.AsyncBaseTransport):
    """Runs an application in this process, for ``httpx.AsyncClient(transport=...)``.

    It delivers the head and each chunk when the application sends them, so an endless stream can be
    read. Closing the response disconnects the client: this waits until the application has ended,
    and raises what it raised. Use the client with ``async with``, because the application runs in a
    task group of that block. This works with ``httpx2`` too.

    Args:
        app: an ASGI application.
        client: the address of the client, as the application sees it.
        root_path: where the application is mounted. It is put in front of each path, as servers do.
        state: the state that requests find in their scope, in addition to the lifespan's state.
        run_lifespan: whether to start the application and shut it down.
        window: unread bytes of a response at which the application's ``send`` waits.
        patience: seconds that the application has for its status line, to end after a disconnect,
            to start, and to shut down, each.
    """

    def __init__(
        self,
        app: AnyASGIApp,
        *,
        client: tuple[str, int] = ("127.0.0.1", 50000),
        root_path: str = "",
        state: Mapping[str, Any] | None = None,
        run_lifespan: bool = False,
        window: int = WINDOW,
        patience: float = PATIENCE,
    ) -> None:
        self._app = app
        self._client = client
        self._root_path = root_path
        self._state = dict(state or {})
        self._run_lifespan = run_lifespan
        self._window = window
        self._patience = patience
        self._lifespan: Lifespan | None = None
        self._tasks: TaskGroup | None = None
        self._exchanges: set[Exchange] = set()

    async def __aenter__(self) -> Self:
        """Open the task group of the requests, and start the application."""
        self._tasks = await anyio.create_task_group().__aenter__()
        if self._run_lifespan:
            self._lifespan = Lifespan(self._app, self._state, self._patience)
            try:
                await self._lifespan.start(self._tasks)
            except BaseException:
                await self._leave_tasks()
                raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Disconnect the open requests, and shut the application down.

        Raises what the application raised, unless the test has already failed.
        """
        first = error
        try:
            for exchange in [*self._exchanges]:
                first = await first_of(first, exchange.disconnect)
            if self._lifespan is not None:
                first = await first_of(first, self._lifespan.stop)
        finally:
            self._exchanges.clear()
            await self._leave_tasks()
        if first is not None and first is not error:
            raise first

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request. Returns when the head of its response has come.

        Raises:
            UsageError: the client was not opened with ``async with``.
            NoAnswerError: the head did not come in time.
            Exception: what the application raised before its head.
        """
        if self._tasks is None:
            raise UsageError("use the client as `async with AsyncClient(transport=...) as client`")
        library = sys.modules[type(request).__module__.partition(".")[0]]
        exchange = self._exchange(request)
        self._tasks.start_soon(self._serve, exchange)
        timeout = request.extensions.get("timeout", {}).get("read")
        try:
            with _read_timeout(library, timeout):
                head = await exchange.head()
        except BaseException:
            exchange.leave()
            raise
        response: httpx.Response = library.Response(
            head.status, headers=head.headers, stream=_body(library, exchange, timeout)
        )
        return response

    async def _serve(self, exchange: Exchange) -> None:
        self._exchanges.add(exchange)
        try:
            await exchange.serve()
        finally:
            if not exchange.failed:
                self._exchanges.discard(exchange)

    async def _leave_tasks(self) -> None:
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)

    def _exchange(self, request: httpx.Request) -> Exchange:
        return Exchange(
            self._app,
            self._scope(request),
            _chunks(request.stream),
            window=self._window,
            patience=self._patience,
        )

    def _scope(self, request: httpx.Request) -> Scope:
        url = request.url
        raw_path = url.raw_path.partition(b"?")[0]
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": url.scheme,
            "path": self._root_path + unquote(raw_path.decode("ascii")),
            "raw_path": self._root_path.encode() + raw_path,
            "query_string": url.query,
            "root_path": self._root_path,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "server": (url.host, url.port or (443 if url.scheme == "https" else 80)),
            "client": self._client,
            "extensions": {},
            "state": self._state.copy(),
        }


async def first_of(
    error: BaseException | None, end: Callable[[], Awaitable[None]]
) -> BaseException | None:
    """Call `end` and return the first error. A second error becomes a note of the first."""
    try:
        await end()
    except Exception as another:
        if error is None:
            return another
        error.add_note(f"afterwards: {another!r}")
    return error


async def _chunks(stream: Any) -> AsyncGenerator[bytes, None]:
    """Yield the body of the request. Then close its generators, which httpx leaves open."""
    chunks = aiter(stream)
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        for source in (chunks, getattr(stream, "_stream", None)):
            if isinstance(source, AsyncGenerator):
                await source.aclose()


def _body(library: ModuleType, exchange: Exchange, timeout: float | None) -> Any:
    """Return the body of the response, as a subclass of the library's own class."""

    class Body(library.AsyncByteStream):  # type: ignore[name-defined, misc]
        def __aiter__(self) -> Self:
            return self

        async def __anext__(self) -> bytes:
            with _read_timeout(library, timeout):
                chunk = await exchange.chunk()
            if not chunk:
                raise StopAsyncIteration
            return chunk

        async def aclose(self) -> None:
            # An error that closes the response goes on. Ours comes when the client's block ends.
            await exchange.disconnect(silent=sys.exception() is not None)

    return Body()


@contextmanager
def _read_timeout(library: ModuleType, seconds: float | None) -> Iterator[None]:
    """Raise the library's own ``ReadTimeout`` if the block takes longer."""
    with anyio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise library.ReadTimeout(f"nothing was sent for {seconds:g} s")
