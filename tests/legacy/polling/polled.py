"""An endpoint that is polled, and whose answers a test decides."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from sse_middleware import LegacyRoute, SSEMiddleware
from sse_middleware.testing import EventClient, EventStream

EVENTS = {"accept": "text/event-stream"}


class Status:
    """An endpoint whose answer a test changes."""

    def __init__(self, body: str = "one", **answer: Any) -> None:
        self.body = body
        self.answer = answer
        self.requests: list[Request] = []
        self.times: list[float] = []
        self.failing: Exception | Response | None = None
        self.takes = 0.0
        self.cancelled = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        self.requests.append(request)
        self.times.append(anyio.current_time())
        try:
            await anyio.sleep(self.takes)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise
        if isinstance(self.failing, Exception):
            raise self.failing
        response = self.failing or PlainTextResponse(self.body, **self.answer)
        await response(scope, receive, send)


class Guarded(Status):
    """An endpoint that answers each user as a test decides, and notes who has called."""

    def __init__(self, body: str = "one", **answer: Any) -> None:
        super().__init__(body, **answer)
        self.callers: list[str] = []
        self.of: dict[str, Exception | Response] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        caller = Request(scope).headers.get("authorization", "")
        self.callers.append(caller)
        self.failing = self.of.get(caller)
        await super().__call__(scope, receive, send)


def served(app: Any, *, poll: float = 2.0, **options: Any) -> SSEMiddleware:
    return SSEMiddleware(app, legacy=[LegacyRoute("/{name:path}", poll=poll, **options)])


def by_user(request: Request) -> str | None:
    return request.headers.get("user")


def shared(_request: Request) -> str:
    return "all"


@asynccontextmanager
async def streams(
    client: EventClient, *users: str, path: str = "/status", **headers: str
) -> AsyncIterator[list[EventStream]]:
    """Open one stream after the other, each for a user."""
    async with anyio.create_task_group() as tasks:
        opened: list[EventStream] = []
        leave = anyio.Event()

        async def read(user: str, *, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
            own = {"authorization": user, **headers}
            async with client.stream("GET", path, headers=own) as stream:
                opened.append(stream)
                task_status.started()
                await leave.wait()

        for user in users:
            await tasks.start(read, user)
        try:
            yield opened
        finally:
            leave.set()


async def asked(client: EventClient, path: str = "/status", **headers: str) -> httpx.Response:
    """Ask for events, and return the whole response."""
    return await client.http.get(path, headers={**EVENTS, **headers})
