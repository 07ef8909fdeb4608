"""The hub of a middleware, and what servers do with a lifespan."""

from collections.abc import Sequence

import anyio
import pytest
from starlette.applications import Starlette
from starlette.types import Message, Receive, Scope, Send

from sse_middleware import Hub, SSEMiddleware
from sse_middleware.errors import ConfigurationError
from sse_middleware.hub.abc import Snapshot
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.testing import EventClient

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_it_is_closed_before_the_server_hears_of_the_end(anyio_backend_name: str) -> None:
    """As with hypercorn, which then cancels the lifespan. That is no error, also on trio."""
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
    on_trio = anyio_backend_name == "trio"
    assert open_at == {"lifespan.startup.complete": True, "lifespan.shutdown.complete": on_trio}
    assert not hub.is_open


async def test_a_task_group_of_the_application_is_still_open() -> None:
    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        async with anyio.create_task_group():
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})

    hub = Hub()
    async with EventClient(SSEMiddleware(application, hub=hub)):
        assert hub.is_open
    assert not hub.is_open


async def test_a_store_that_cannot_work_fails_the_startup() -> None:
    class Unfit(MemoryStore):
        async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
            raise ConfigurationError("it evicts keys")

    hub = Hub(store=Unfit)
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        told.append(message)

    with pytest.raises(ConfigurationError, match="it evicts keys"):
        await SSEMiddleware(Starlette(), hub=hub)({"type": "lifespan"}, receive, send)
    assert told == [{"type": "lifespan.startup.failed", "message": "it evicts keys"}]
    assert not hub.is_open
