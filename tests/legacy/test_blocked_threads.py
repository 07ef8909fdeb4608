"""Streams of others that wait for a worker thread of anyio after their clients have left.

Nothing can end such a thread, so the stream keeps its place until the thread has returned.
"""

import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from anyio import from_thread
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sse_middleware import CloseReason, SSEMiddleware
from tests.served import ClosedStreams

pytestmark = [
    pytest.mark.anyio,
    # Starlette leaves this generator to the garbage collector, and trio warns about it.
    pytest.mark.filterwarnings(
        "ignore:Async generator 'starlette.concurrency.iterate_in_threadpool':ResourceWarning"
    ),
]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: Any) -> Any:
    """Run in real time: an old anyio cancels shielded tasks without a pause, so no time passes."""
    return request.param


class Blocking:
    """An application whose synchronous generator blocks until it is released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.blocks = anyio.Event()
        self.blocked = 0

    def items(self) -> Iterator[bytes]:
        yield b"data: 1\n\n"
        self.blocked += 1
        from_thread.run_sync(self.blocks.set)
        self.release.wait()
        self.blocked -= 1

    def application(self, *, inside: bool) -> Any:
        async def events(_request: Request) -> Response:
            return StreamingResponse(self.items(), media_type="text/event-stream")

        async def passing(request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            return response

        app: Any = Starlette(routes=[Route("/", events)])
        return BaseHTTPMiddleware(app, dispatch=passing) if inside else app


class Visits:
    """Clients that read an event and leave. Their requests may go on after that."""

    def __init__(self, app: Any, blocking: Blocking, tasks: Any) -> None:
        self._app = app
        self._blocking = blocking
        self._tasks = tasks

    async def visit(self) -> int:
        """Open a stream, and leave when its thread blocks. Returns the status."""
        status = 0
        answered = anyio.Event()
        self._blocking.blocks = blocks = anyio.Event()

        async def receive() -> Any:
            await blocks.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            nonlocal status
            await anyio.lowlevel.checkpoint()
            status = message.get("status", status)
            if message.get("body"):
                answered.set()

        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": []}
        scope |= {"query_string": b"", "root_path": ""}
        self._tasks.start_soon(self._app, scope, receive, send)
        await answered.wait()
        if status == 200:
            await blocks.wait()
        return status


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "a middleware inside"])
async def test_keep_their_places_until_their_threads_return(
    inside: bool, anyio_backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    blocking, closed = Blocking(), ClosedStreams()
    app = SSEMiddleware(
        blocking.application(inside=inside), max_streams=2, observers=[closed], cleanup_timeout=0.05
    )
    async with anyio.create_task_group() as tasks:
        visits = Visits(app, blocking, tasks)
        try:
            assert [await visits.visit() for _ in range(2)] == [200, 200]
            if anyio_backend == "trio":  # there they are open until then
                await anyio.wait_all_tasks_blocked()
            else:
                assert await closed.wait_for(2) == [CloseReason.CLIENT_DISCONNECTED] * 2
                assert caplog.text.count("has waited for a worker thread") == 2
            assert await visits.visit() == 503
            assert blocking.blocked == 2
        finally:
            blocking.release.set()
    assert "swallowed" not in caplog.text
    async with anyio.create_task_group() as tasks:
        assert await Visits(app, blocking, tasks).visit() == 200
