"""Versions of uvicorn that say ``http.disconnect`` to each request when they are told to stop."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from sse_middleware import CloseReason, EventSourceResponse
from tests.served import call, observed
from tests.shutdown.servers import request_of, running

pytestmark = pytest.mark.anyio


class Cycle:
    """A request of uvicorn 0.43 and 0.44, which is imitated here."""

    shutting_down = False


class Protocol:
    """A connection, as far as the server asks."""

    cycle = Cycle()

    def shutdown(self) -> None:
        """Go on."""


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_such_a_disconnect_is_a_drain() -> None:
    async def endless() -> AsyncIterator[int]:
        while True:
            yield 1
            await anyio.sleep(1)

    app, closed_streams = observed(EventSourceResponse(endless(), drain_grace=0))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(message)

    async with running() as server:
        connections: Any = {Protocol()}
        server.server_state.connections |= connections

        async def told_to_stop() -> None:
            await anyio.sleep(3)
            server.should_exit = True

        with request_of(server):
            await call(app, leave=told_to_stop, send=send)
        server.server_state.connections -= connections
    assert closed_streams.reasons == [CloseReason.DRAINED]
    assert sent[-1]["more_body"] is False
    assert b"retry: " in sent[-1]["body"] or b"retry: " in sent[-2]["body"]
