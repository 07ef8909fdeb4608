"""An application that is drained, and what its clients read of that."""

from collections.abc import AsyncIterator
from typing import Any

import anyio

from sse_middleware import SSEMiddleware
from sse_middleware.testing import EventStream
from tests.served import ClosedStreams

GRACE, CLEANUP = 1.0, 5.0
"""The defaults of `drain_grace` and `cleanup_timeout`, in seconds."""


class DrainedApp:
    """One middleware around one response or application, and how its streams were closed."""

    def __init__(self, content: Any, **settings: Any) -> None:
        self.closed_streams = ClosedStreams()
        self.middleware = SSEMiddleware(content, observers=[self.closed_streams], **settings)

    async def drain(self) -> float:
        """Drain, and return how many seconds that took."""
        begin = anyio.current_time()
        await self.middleware.drain()
        assert self.middleware.stats().open == 0
        return anyio.current_time() - begin


async def idle() -> AsyncIterator[int]:
    yield 0
    await anyio.sleep_forever()
    yield 0  # it could go on


async def rest_of(events: EventStream) -> list[Any]:
    return [event.model_dump(exclude_none=True) async for event in events]
