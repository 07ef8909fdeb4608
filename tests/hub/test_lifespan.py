"""The hub of a middleware, and what servers do with a lifespan."""

import anyio
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from sse_middleware import Hub, SSEMiddleware

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_it_is_closed_before_the_server_hears_of_the_end() -> None:
    """As with hypercorn, which then cancels the lifespan."""
    hub = Hub()
    app = SSEMiddleware(Starlette(), hub=hub)
    asked = ["lifespan.shutdown", "lifespan.startup"]
    open_at: dict[str, bool] = {}

    async def receive() -> Message:
        return {"type": asked.pop()}

    async def send(message: Message) -> None:
        open_at[message["type"]] = hub.is_open
        if message["type"] == "lifespan.shutdown.complete":
            scope.cancel()

    with anyio.CancelScope() as scope:
        await app({"type": "lifespan"}, receive, send)
    assert open_at == {"lifespan.startup.complete": True, "lifespan.shutdown.complete": False}
    assert not scope.cancelled_caught
