"""Subscribers in an application whose `receive` another middleware has wrapped."""

from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from starlette.middleware.base import BaseHTTPMiddleware

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware
from tests.served import events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

INSIDE: ContextVar[str] = ContextVar("inside", default="")


async def pass_on(request: Any, call_next: Any) -> Any:
    return await call_next(request)


class InScope:
    """Receives in a task group, as Starlette's `BaseHTTPMiddleware` does, and sets a variable."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def receive_in_scope() -> Any:
            token = INSIDE.set("receive")
            try:
                async with anyio.create_task_group():
                    return await receive()
            finally:
                INSIDE.reset(token)

        await self.app(scope, receive_in_scope, send)


@pytest.mark.parametrize("wrap", [InScope, lambda app: BaseHTTPMiddleware(app, pass_on)])
async def test_a_stream_that_is_ended_early_leaves_what_its_receive_has_opened(wrap: Any) -> None:
    seen: list[str] = []

    def where(_: Any) -> bool:
        seen.append(INSIDE.get())
        return True

    async with Hub() as hub:

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            subscription = hub.subscribe("a", where=where)
            await EventSourceResponse(subscription, max_duration=3)(scope, receive, send)

        async with events_of(wrap(SSEMiddleware(endpoint))) as events:
            await events.next_id()
            await hub.publish("a", {"n": 1})
            assert [event.json() async for event in events if event.raw_data] == [{"n": 1}]
    assert seen == [""]
