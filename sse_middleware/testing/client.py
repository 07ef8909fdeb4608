"""`EventClient`: opens the event streams of an application or of a server, in a test."""

from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import httpx

from sse_middleware.testing.errors import NoAnswerError, UsageError
from sse_middleware.testing.event_stream import EventStream
from sse_middleware.testing.http_methods import HttpMethods
from sse_middleware.testing.transport import AnyASGIApp, StreamingTransport, first_of

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

TIMEOUT = 5.0
"""Seconds to wait for an event or for a whole response, unless the test gives another timeout."""

_SEND_OPTIONS = ("auth", "follow_redirects")


class EventClient(HttpMethods[Coroutine[Any, Any, httpx.Response]]):
    """A client of event streams: ``async with EventClient(app) as client``.

    `stream` opens a stream. ``await client.post(...)`` and the other methods of HTTP are as in
    httpx, for requests that open none.

    Args:
        target: an ASGI application, whose lifespan runs too, or the base URL of a server.
        timeout: seconds that each wait for an event, or for a whole response, may take.
        headers: sent with every request.
        base_url: the base URL of requests, if the target is an application.
        transport: options of `StreamingTransport`, if the target is an application.
    """

    __test__ = False  # pytest would collect it by its name

    def __init__(
        self,
        target: AnyASGIApp | str,
        *,
        timeout: float = TIMEOUT,
        headers: Mapping[str, str] | None = None,
        base_url: str = "http://testserver",
        **transport: Any,
    ) -> None:
        self._timeout = timeout
        self._tasks: TaskGroup | None = None
        if isinstance(target, str):
            if transport:
                raise UsageError(f"{', '.join(transport)}: only for an application, not for a URL")
            options: dict[str, Any] = {"base_url": target}
        else:
            served = StreamingTransport(target, **{"run_lifespan": True, **transport})
            options = {"base_url": base_url, "transport": served}
        self.http = httpx.AsyncClient(headers=headers, timeout=None, **options)  # noqa: S113 - each wait has its own
        """The httpx client, for its cookies and its other attributes."""

    async def __aenter__(self) -> Self:
        """Start the application."""
        await self.http.__aenter__()
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Disconnect the open streams, and shut the application down."""
        tasks, self._tasks = self._tasks, None
        try:
            if tasks is not None:
                tasks.cancel_scope.cancel()
                await tasks.__aexit__(None, None, None)
        finally:
            await self.http.__aexit__(kind, error, trace)

    async def request(
        self,
        method: str,
        url: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as in httpx
        **request: Any,
    ) -> httpx.Response:
        """Send a request that opens no stream, and return its whole response.

        Args:
            method: the request's method.
            url: the request's URL, relative to the base URL.
            timeout: seconds that the whole response may take. Replaces the timeout of the client.
            request: as for ``httpx.AsyncClient.request``: headers, params, json, content.

        Raises:
            NoAnswerError: the response has not ended in time.
            Exception: what the application raised.
        """
        self._running_tasks()
        seconds = self._timeout if timeout is None else timeout
        with anyio.move_on_after(seconds):
            return await self.http.request(method, url, **request)
        raise NoAnswerError(
            f"{method} {url}: the response has not ended within {seconds:g} s; to read a stream "
            f"while it is sent, use client.stream({method!r}, {url!r})"
        )

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, *, last_event_id: str = "", **request: Any
    ) -> AsyncIterator[EventStream]:
        """Send a request and read its events. The end of the block disconnects.

        Args:
            method: the request's method.
            url: the request's URL, relative to the base URL.
            last_event_id: sent as ``Last-Event-ID``, unless it is empty.
            request: as for ``httpx.AsyncClient.stream``: headers, params, json, content.

        Raises:
            NoAnswerError: the status line did not come.
            Exception: what the application raised before its status line.
        """
        tasks = self._running_tasks()

        async def send(last_event_id: str) -> httpx.Response:
            return await self._send(method, url, last_event_id, **request)

        events = EventStream(send, tasks, self._timeout, last_event_id)
        await events.connect()
        try:
            yield events
        except BaseException as error:
            await first_of(error, events.disconnect)
            raise
        await events.disconnect()

    def _running_tasks(self) -> "TaskGroup":
        if self._tasks is None:
            raise UsageError("use the client as `async with EventClient(...) as client`")
        return self._tasks

    async def _send(
        self, method: str, url: str, last_event_id: str, **request: Any
    ) -> httpx.Response:
        options = {name: request.pop(name) for name in _SEND_OPTIONS if name in request}
        built = self.http.build_request(method, url, **request)
        if built.headers.get("accept", "*/*") == "*/*":
            built.headers["accept"] = "text/event-stream"
        if last_event_id:
            built.headers["last-event-id"] = last_event_id
        return await self.http.send(built, stream=True, **options)
