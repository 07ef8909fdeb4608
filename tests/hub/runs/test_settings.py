"""Settings: the middleware's, then the tag's, the run's and the response's. The last one counts."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import (
    EventSourceResponse,
    Hub,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
)
from tests.hub.runs.kit import answer_to, attaching, data_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

LEVELS = ("middleware", "tag", "run", "response")


async def silent() -> AsyncIterator[int]:
    await anyio.sleep(5)
    yield 1


async def failing() -> AsyncIterator[int]:
    yield 1
    raise RuntimeError


def served(hub: Hub, endpoint: Any, **settings: Any) -> SSEMiddleware:
    return SSEMiddleware(Starlette(routes=[Route("/", endpoint)]), hub=hub, **settings)


@pytest.mark.parametrize("wraps", [True, False], ids=["a response", "a viewer"])
@pytest.mark.parametrize("given", range(1, 5))
async def test_the_last_one_counts(hub: Hub, given: int, wraps: bool) -> None:
    said: dict[str, Any] = {one: {"ping": one} for one in LEVELS[:given]}

    @event_stream(**said.get("tag", {}))
    async def endpoint(_request: Request) -> Any:
        viewer = await hub.resumable("k", silent, **said.get("run", {}))
        return EventSourceResponse(viewer, **said.get("response", {})) if wraps else viewer

    app = served(hub, endpoint, ping_interval=1, **said["middleware"])
    body = (await answer_to(app)).content.decode()
    expected = LEVELS[: given if wraps else min(given, 3)][-1]
    assert f": {expected}\n" in body
    assert not any(f": {other}\n" in body for other in LEVELS if other != expected)


@pytest.mark.parametrize("given", range(4))
async def test_the_response_s_own_do_not_reach_the_run(hub: Hub, given: int) -> None:
    def settings_of(level: str) -> Any:
        if level not in LEVELS[4 - given :]:
            return {}
        return {"error_event": lambda _: ServerSentEvent(event="failed", data=level)}

    @event_stream(**settings_of("tag"))
    async def endpoint(_request: Request) -> EventSourceResponse:
        viewer = await hub.resumable("k", failing, **settings_of("run"))
        return EventSourceResponse(viewer, **settings_of("response"))

    await answer_to(served(hub, endpoint))
    told = ["run"] if given > 1 else []
    assert data_of((await answer_to(attaching(hub))).content) == [1, *told]


async def test_a_run_has_those_of_the_tag(hub: Hub) -> None:
    @event_stream(error_event=lambda _: ServerSentEvent(event="failed", data="tag"))
    async def endpoint(_request: Request) -> Any:
        return await hub.resumable("k", failing)

    def middleware_s(_: Exception) -> ServerSentEvent:
        return ServerSentEvent(event="failed", data="middleware")

    app = served(hub, endpoint, error_event=middleware_s)
    await answer_to(app)
    assert data_of((await answer_to(attaching(hub))).content) == [1, "tag"]


async def test_the_next_request_has_none_of_it(hub: Hub) -> None:
    @event_stream(error_event=lambda _: ServerSentEvent(event="failed", data="tag"))
    async def tagged(_request: Request) -> Any:
        return await hub.resumable("first", failing)

    async def plain(_request: Request) -> EventSourceResponse:
        return EventSourceResponse(await hub.resumable("k", failing))

    routes = [Route("/tagged", tagged), Route("/plain", plain)]
    app = SSEMiddleware(Starlette(routes=routes), hub=hub)
    await answer_to(app, url="/tagged")
    assert data_of((await answer_to(app, url="/plain")).content) == [1]
