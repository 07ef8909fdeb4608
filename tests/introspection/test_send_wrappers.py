"""What a stream leaves out of the functions around `send`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware import EventSourceResponse, SSEMiddleware
from sse_middleware.introspection.send_wrappers import inside_wrappers, noting_start
from tests.served import body_of, call

pytestmark = pytest.mark.anyio


def starlette(endpoint: ASGIApp) -> ASGIApp:
    return Starlette(routes=[Route("/", _Endpoint(endpoint))])


def fastapi(endpoint: ASGIApp) -> ASGIApp:
    app = FastAPI()
    app.router.routes.append(Route("/", _Endpoint(endpoint)))
    return app


class _Endpoint:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


@pytest.mark.parametrize("framework", [starlette, fastapi])
async def test_all_wrappers_of_a_framework(framework: Callable[[ASGIApp], ASGIApp]) -> None:
    found: list[tuple[Send, Send]] = []

    async def endpoint(_scope: Scope, _receive: Receive, send: Send) -> None:
        found.append((send, inside_wrappers(send)))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    app, outer = framework(endpoint), list[Send]()

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        outer.append(send)
        await app(scope, receive, send)

    await call(noting)
    ((given, inside),) = found
    assert given is not inside
    # FastAPI measures requests, and so wraps `send` too, if OpenTelemetry was set up before.
    assert inside is outer[0] or inside.__module__.startswith("fastapi.telemetry")


async def _send(_message: Message) -> None:
    """Take a message."""


def counting(send: Send) -> Send:
    count = 0

    async def wrapper(message: Message) -> None:
        nonlocal count
        count += 1
        await send(message)

    return wrapper


def naming(send: Send) -> Send:
    response_started = False

    async def wrapper(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        await send({**message, "seen": response_started})

    return wrapper


def calling(send: Send) -> Send:
    response_started = False

    async def wrapper(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        response_started.bit_count()
        await send(message)

    return wrapper


def passing_heads_only(send: Send) -> Send:
    response_started = False

    async def wrapper(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
            await send(message)

    return wrapper


class Proxy:
    """What wrapt puts around a function: it has the class and the attributes of the function."""

    def __init__(self, send: Any, seen: list[Message] | None = None) -> None:
        self._send = send
        self._seen = [] if seen is None else seen

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return self._send.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._send, name)

    async def __call__(self, message: Message) -> None:
        self._seen.append(message)
        await self._send(message)


class Sender:
    async def send(self, message: Message) -> None:
        await _send(message)


@pytest.mark.parametrize(
    "send",
    [
        _send,
        counting(_send),
        naming(_send),
        calling(_send),
        Sender().send,
        passing_heads_only(_send),
        Proxy(noting_start(_send)),
        Proxy(Sender().send),
    ],
)
async def test_what_may_do_something_stays(send: Callable[[Any], Awaitable[None]]) -> None:
    assert inside_wrappers(send) is send


async def test_what_only_notes_the_start_is_left_out() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    wrapper = noting_start(noting_start(send))
    assert inside_wrappers(wrapper) is send
    messages: list[Message] = [{"type": "http.response.start"}, {"type": "http.response.body"}]
    for message in messages:
        await wrapper(message)
    assert sent == messages


@pytest.mark.parametrize("wrap", [starlette, fastapi, SSEMiddleware])
async def test_a_proxy_sees_each_message(wrap: Callable[[ASGIApp], ASGIApp]) -> None:
    seen: list[Message] = []

    async def items() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await anyio.sleep(1)

    async def observed(scope: Scope, receive: Receive, send: Send) -> None:
        response: Any = EventSourceResponse(items())
        await response(scope, receive, Proxy(send, seen))

    app = SSEMiddleware(wrap(observed))
    assert await body_of(app) == b"".join(message.get("body", b"") for message in seen)
