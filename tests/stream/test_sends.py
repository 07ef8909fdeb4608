"""What comes between a stream and its server: some of it sees all messages, some only a few."""

from collections.abc import AsyncIterator

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware import EventSourceResponse, SSEMiddleware
from tests.served import events_of

pytestmark = pytest.mark.anyio


async def endpoint(_request: Request) -> EventSourceResponse:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await anyio.sleep(1)

    return EventSourceResponse(numbers())


class Marking:
    """A middleware that marks each message of a body, and counts the messages."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.types: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            self.types.append(message["type"])
            if message.get("body"):
                message["body"] = b"event: marked\n" + message["body"]
            await send(message)

        await self.app(scope, receive, marked)


async def marks(app: ASGIApp) -> list[tuple[str | None, object]]:
    async with events_of(app) as events:
        return [(event.event, event.json()) async for event in events]


@pytest.mark.parametrize("outside", [False, True])
async def test_a_middleware_in_between_sees_all_messages(*, outside: bool) -> None:
    app = Starlette(routes=[Route("/", endpoint)])
    marking = Marking(SSEMiddleware(app) if outside else app)
    found = await marks(marking if outside else SSEMiddleware(marking))
    assert found == [("marked", 0), ("marked", 1), ("marked", 2)]
    assert marking.types == ["http.response.start", *4 * ["http.response.body"]]


async def test_two_middlewares() -> None:
    app = SSEMiddleware(SSEMiddleware(Starlette(routes=[Route("/", endpoint)])))
    assert [data for _, data in await marks(app)] == [0, 1, 2]


async def test_a_response_that_a_middleware_does_not_know_is_adopted() -> None:
    app = Starlette(routes=[Route("/", endpoint)])

    async def forgetting(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "sse_middleware": None}, receive, send)

    middleware = SSEMiddleware(forgetting)
    async with events_of(middleware) as events:
        assert [event.json() async for event in events] == [0, 1, 2]
        assert middleware.stats().opened == 1
